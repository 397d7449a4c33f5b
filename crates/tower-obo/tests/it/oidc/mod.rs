//! A provider that is not Entra ID: its tokens, its token endpoint (RFC 8693), and that neither provider's
//! tokens pass for the other's.

mod client;
pub(crate) mod provider;
mod succeeding;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use entra_emulator::{Signer, demo};
use http::StatusCode;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_obo::{
    AccessPolicy, Algorithm, Clock as _, Credential, Downstream, KeySource as _, OboLayer, Policy,
    RefreshReason, RemoteKeys, TokenDefect, Validator,
};

use self::provider::{ISSUED, Provider, SECRET, field, policy, secret};
use crate::{
    answer::Answer,
    fixture::{World, with_token},
};

#[tokio::test]
async fn a_users_token_is_exchanged_at_the_endpoint_that_the_issuers_document_names() {
    let provider = Provider::start().await;
    let core = provider.core(provider.oidc(), secret()).await;
    let alice = provider.token(&json!({}));
    provider.issues("for.orders.alice");
    for _ in 0..3 {
        let answer = provider.send(&core, policy(), &alice).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    let seen = provider.upstream.last();
    assert_eq!(seen.authorization(), "Bearer for.orders.alice");
    let principal = seen.admitted.unwrap().principal().unwrap().clone();
    assert_eq!(principal.issuer(), provider.issuer);
    assert_eq!(principal.subject(), Some("alice"));

    let [(None, form)] = &provider.asked()[..] else {
        panic!("{:?}", provider.asked());
    };
    let mut form = form.clone();
    form.sort();
    let expected = [
        ("audience", "orders-api"),
        ("client_id", "shop-api"),
        ("client_secret", SECRET),
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("requested_token_type", ISSUED),
        ("scope", "orders"),
        ("subject_token", &*alice),
        ("subject_token_type", ISSUED),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form, expected);
}

#[tokio::test]
async fn the_client_shows_its_secret_in_the_header_or_signs_where_that_was_chosen() {
    let provider = Provider::start().await;
    let alice = provider.token(&json!({}));
    provider.issues("opaque");
    let core = provider
        .core(provider.oidc().secret_in_header(), secret())
        .await;
    provider.send(&core, policy(), &alice).await;
    let (authorization, form) = provider.asked().remove(0);
    let pair = authorization.unwrap();
    let pair = STANDARD
        .decode(pair.strip_prefix("Basic ").unwrap())
        .unwrap();
    assert_eq!(pair, b"shop-api:s3cret%2Fof%3Athe%2Bshop");
    assert_eq!(
        (field(&form, "client_id"), field(&form, "client_secret")),
        (None, None)
    );

    let file = std::env::temp_dir().join(format!("tower-obo-oidc-{}.pem", std::process::id()));
    let pem = provider.signer.private_key_pem() + &provider.signer.certificate_pem();
    std::fs::write(&file, pem).unwrap();
    let signed = Credential::certificate(file.clone());
    let core = provider
        .core(provider.oidc().secret_in_header(), signed)
        .await;
    let other = provider.token(&json!({"jti": "another"}));
    for token in [&alice, &other] {
        let answer = provider.send(&core, policy(), token).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    std::fs::remove_file(&file).unwrap();
    let asked = provider.asked();
    let assertions = [1, 2].map(|at| field(&asked[at].1, "client_assertion").unwrap());
    // Its `jti` is for one use (OpenID Connect Core §9).
    assert_ne!(assertions[0], assertions[1]);
    let (authorization, form) = provider.asked().remove(1);
    assert_eq!(authorization, None);
    assert_eq!(field(&form, "client_id"), Some("shop-api"));
    let assertion = field(&form, "client_assertion").unwrap();
    let claims = crate::forge::decoded(crate::forge::parts(assertion)[1]);
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], format!("{}/token", provider.issuer));
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&json!("shop-api"), &json!("shop-api"))
    );
}

#[tokio::test]
async fn an_answer_that_is_not_what_was_asked_for_is_not_used() {
    let provider = Provider::start().await;
    let core = provider.core(provider.oidc(), secret()).await;
    let alice = provider.token(&json!({}));
    let of_bob = provider.token(&json!({"sub": "bob", "aud": "orders-api"}));
    let good = json!({"access_token": "t", "token_type": "bearer", "expires_in": 300,
        "issued_token_type": ISSUED});
    for (name, value) in [
        (
            "issued_token_type",
            json!("urn:ietf:params:oauth:token-type:id_token"),
        ),
        ("issued_token_type", json!(null)),
        ("token_type", json!("N_A")),
        ("token_type", json!("DPoP")),
        ("expires_in", json!(null)),
        ("access_token", json!(alice)),
        ("access_token", json!(of_bob)),
    ] {
        let mut answer = good.clone();
        answer[name] = value.clone();
        provider.will(200, answer);
        let answer = provider.send(&core, policy(), &alice).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{name}: {value}");
        assert_eq!(
            answer.problem_type(),
            "unusable-identity-provider",
            "{name}"
        );
        // It stands for a moment.
        provider.clock.advance(std::time::Duration::from_secs(5));
    }
    assert_eq!(provider.upstream.calls(), 0);
    provider.will(200, good);
    let answer = provider.send(&core, policy(), &alice).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

/// A `sub` means nothing without its issuer: such a token may be for the user of the API's own domain.
#[tokio::test]
async fn a_token_of_another_issuer_is_for_the_api_to_judge() {
    let provider = Provider::start().await;
    let core = provider.core(provider.oidc(), secret()).await;
    let elsewhere = json!({"iss": "https://orders.example", "sub": "4711", "aud": "orders-api"});
    provider.issues(&provider.token(&elsewhere));
    let alice = provider.token(&json!({}));
    let answer = provider.send(&core, policy(), &alice).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test]
async fn a_refused_exchange_says_who_has_to_act() {
    let provider = Provider::start().await;
    let core = provider.core(provider.oidc(), secret()).await;
    for (number, (status, error, expected, kind)) in [
        (400, "invalid_request", 401, "assertion-refused"),
        (400, "invalid_target", 502, "gateway-misconfigured"),
        (400, "invalid_scope", 502, "gateway-misconfigured"),
        (401, "invalid_client", 502, "gateway-misconfigured"),
        (403, "access_denied", 403, "account-refused"),
        (429, "slow_down", 503, "throttled"),
    ]
    .into_iter()
    .enumerate()
    {
        let user = provider.token(&json!({"sub": format!("user-{number}")}));
        let text = "audience not found: secret hint";
        provider.will(status, json!({"error": error, "error_description": text}));
        let answer = provider.send(&core, policy(), &user).await;
        assert_eq!(answer.status, expected, "{error}: {}", answer.body);
        assert_eq!(answer.problem_type(), kind, "{error}");
        answer.does_not_hold("hint", error);
        // Whatever is remembered of it, for whomever, ends.
        provider.clock.advance(std::time::Duration::from_secs(31));
    }
}

#[tokio::test]
async fn a_token_of_the_provider_is_judged_by_issuer_audience_time_and_key() {
    use TokenDefect as D;
    let provider = Provider::start().await;
    let core = provider.core(provider.oidc(), secret()).await;
    let stranger = Signer::generate().unwrap();
    let now = provider.clock.now().as_unix();
    let forged = |kid: &str| {
        let claims = json!({"iss": provider.issuer, "aud": "shop-api", "exp": now + 300, "sub": "a",
            "scope": "orders", "realm_access": {"roles": ["customer"]}});
        stranger.sign(&json!({"alg": "RS256", "kid": kid}), &claims)
    };
    for (token, defect) in [
        (
            provider.token(&json!({"iss": format!("{}/", provider.issuer)})),
            D::Issuer,
        ),
        (
            provider.token(&json!({"iss": provider.issuer.to_uppercase()})),
            D::Issuer,
        ),
        (provider.token(&json!({"aud": "account"})), D::Audience),
        (
            provider.token(&json!({"aud": ["account", "shop-ui"]})),
            D::Audience,
        ),
        (provider.token(&json!({"exp": now - 61})), D::Expired),
        (provider.token(&json!({"nbf": now + 61})), D::NotYetValid),
        (provider.token(&json!({"typ": "ID"})), D::Type),
        (forged(provider.signer.kid()), D::Signature),
        (forged("another"), D::UnknownKey),
    ] {
        let answer = provider.send(&core, policy(), &token).await;
        answer.has_defect("oidc", defect);
    }
    for changes in [
        json!({"realm_access": {"roles": ["visitor"]}}),
        json!({"sub": "shop-ui"}),
    ] {
        let answer = provider
            .send(&core, policy(), &provider.token(&changes))
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{changes}");
    }
    assert!(provider.asked().is_empty());
    // A list of audiences that holds ours is a good one here.
    provider.issues("opaque");
    let several = provider.token(&json!({"aud": ["account", "shop-api"]}));
    let answer = provider.send(&core, policy(), &several).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

/// Whatever one provider's token says of itself, the other's core does not take it: not even with the
/// other's claims in it, nor where both publish one key.
#[tokio::test]
async fn neither_providers_tokens_pass_for_the_others() {
    let world = World::start().await;
    let provider = Provider::start().await;
    let core = provider.core(provider.oidc(), secret()).await;
    let of_entra = world.entra.token();
    for (case, token) in [
        ("plain", of_entra.clone()),
        (
            "for the other audience",
            of_entra.clone().claim("aud", "shop-api"),
        ),
        (
            "with the other issuer",
            of_entra
                .clone()
                .claim("aud", "shop-api")
                .claim("iss", &*provider.issuer),
        ),
    ] {
        let answer = provider.send(&core, policy(), &token.sign()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{case}");
    }
    let entra = json!({"aud": demo::API_CLIENT_ID, "tid": demo::CONTOSO, "ver": "2.0", "nbf": 1,
        "scp": demo::API_SCOPE});
    let issuer = format!("{}/{}/v2.0", world.entra.url(), demo::CONTOSO);
    let mut pretends = entra.clone();
    pretends["iss"] = json!(issuer);
    for (case, claims) in [
        ("plain", &json!({})),
        ("claims", &entra),
        ("issuer", &pretends),
    ] {
        let answer = world.get(&provider.token(claims)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{case}");
    }
    // Entra ID's issuer is no more trusted where its keys are: the issuer is what was configured.
    provider.said.lock().unwrap().jwks = world.entra.jwks(None);
    let shared = provider.cold(provider.oidc(), secret(), |builder| builder);
    let token = world.entra.token().claim("aud", "shop-api").sign();
    let answer = provider.send(&shared, policy(), &token).await;
    answer.has_defect(
        "another issuer with a key that is known",
        TokenDefect::Issuer,
    );
    assert!(provider.asked().is_empty());
    assert_eq!(world.exchanges_asked(), 0);
}

#[tokio::test]
async fn a_document_of_another_issuer_gives_no_keys_and_no_endpoint() {
    let provider = Provider::start().await;
    let alice = provider.token(&json!({}));
    for change in [
        json!({"issuer": format!("{}/", provider.issuer)}),
        json!({"issuer": "https://id.example"}),
        json!({"jwks_uri": "http://id.example/keys"}),
        json!({"token_endpoint": "http://id.example/token"}),
        json!({"token_endpoint": null}),
    ] {
        let good = provider.said.lock().unwrap().document.clone();
        for (name, value) in change.as_object().unwrap() {
            provider.said.lock().unwrap().document[name] = value.clone();
        }
        let core = provider.cold(provider.oidc(), secret(), |builder| builder);
        let answer = provider.send(&core, policy(), &alice).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{change}");
        assert!(!core.is_ready(), "{change}");
        provider.said.lock().unwrap().document = good;
    }
}

#[tokio::test]
async fn grants_are_those_that_the_provider_has() {
    let provider = Provider::start().await;
    let core = provider.core(provider.oidc(), secret()).await;
    let world = World::start().await;
    let own = Downstream::client_credentials("own", ["orders"]);
    let exchanged = Downstream::token_exchange("orders").audience("a");
    let users = |downstream: &Downstream| {
        let access = AccessPolicy::any_scope_or_role([demo::API_SCOPE], ["customer"]);
        Policy::new(access).downstream(downstream.clone())
    };
    let alice = provider.token(&json!({}));
    provider.will(
        200,
        json!({"access_token": "own", "token_type": "Bearer", "expires_in": 300}),
    );
    let answer = provider.send(&core, users(&own), &alice).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let (_, form) = provider.asked().remove(0);
    assert_eq!(field(&form, "grant_type"), Some("client_credentials"));
    assert_eq!(field(&form, "scope"), Some("orders"));

    let arm = Downstream::azure_resource_manager();
    for (core, downstream, problem) in [
        (&core, &arm, "On-Behalf-Of is a grant of Entra ID"),
        (&core, &own.clone().audience("a"), "is for token exchange"),
        (&world.core, &exchanged, "Entra ID has no token exchange"),
    ] {
        let errors = core.bind(users(downstream)).unwrap_err().to_string();
        assert!(errors.contains(problem), "{errors}");
    }
}

/// A layer alone takes another provider as it takes Entra ID.
#[tokio::test]
async fn a_layer_exchanges_at_another_provider_without_a_core_of_ones_own() {
    let provider = Provider::start().await;
    let layer = OboLayer::builder(provider.oidc())
        .client("shop-api", secret())
        .require_scope("orders")
        .downstream(Downstream::token_exchange("stock").audience("stock-api"))
        .configure(|core| core.with_clock(provider.clock.clone()))
        .build()
        .unwrap();
    let service = layer.layer(provider.upstream.clone());
    provider.issues("for.stock.alice");
    let answer = service.oneshot(with_token(&provider.token(&json!({}))));
    let answer = Answer::of(answer.await.unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let sent = provider.upstream.last().authorization();
    assert_eq!(sent, "Bearer for.stock.alice");
    let (_, form) = provider.asked().remove(0);
    assert_eq!(field(&form, "audience"), Some("stock-api"));
    assert_eq!(field(&form, "scope"), None);
}

#[tokio::test]
async fn keys_of_another_provider_and_a_validator_do_without_a_core() {
    let provider = Provider::start().await;
    let keys = RemoteKeys::builder(provider.oidc()).build().unwrap();
    keys.refresh(RefreshReason::NoKeys).unwrap().await;
    let keys = keys.current().unwrap();
    let validator = Validator::builder()
        .audience("shop-api")
        .oidc(&provider.oidc())
        .with_algorithms([Algorithm::Rs256]);
    let token = provider.token(&json!({}));
    let now = provider.clock.now();
    let user = validator.build().validate(&token, &keys, now).unwrap();
    assert_eq!(user.subject(), Some("alice"));
    let entra = Validator::builder()
        .audience("shop-api")
        .any_tenant()
        .build();
    assert!(entra.validate(&token, &keys, now).is_err());
}
