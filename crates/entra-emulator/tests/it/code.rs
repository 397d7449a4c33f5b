//! Redeeming codes and refresh tokens.

use entra_emulator::{Directory, Event, Signer, demo};
use serde_json::json;

use crate::browser::{Browser, redeem};
use crate::client_certificate::{JWT_BEARER, now};
use crate::support::{Answer, claims_of, start, start_with, token, token_at};

#[tokio::test]
async fn a_code_becomes_the_tokens_that_were_asked_for() {
    let emulator = start().await;
    let code = Browser::new(&emulator).code("alice", &[]).await;
    let tokens = redeem(&emulator, &code, &[("client_info", "1")]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(
        tokens.text("scope"),
        format!("{0}/access_as_user {0}/.default", demo::API_APP_ID_URI)
    );
    let access = claims_of(tokens.text("access_token"));
    assert_eq!(access["aud"], demo::API_CLIENT_ID);
    assert_eq!(access["azp"], demo::UI_CLIENT_ID);
    let id = claims_of(tokens.text("id_token"));
    for (name, value) in [
        ("aud", json!(demo::UI_CLIENT_ID)),
        (
            "iss",
            json!(format!("{}/{}/v2.0", emulator.url(), demo::CONTOSO)),
        ),
        ("nonce", json!("n0nce")),
        ("oid", json!(demo::ALICE_OID)),
        ("tid", json!(demo::CONTOSO)),
        ("name", json!("Alice Adams")),
        ("preferred_username", json!("alice@contoso.example")),
        ("ver", json!("2.0")),
    ] {
        assert_eq!(id[name], value, "{name}");
    }
    assert_ne!(id["sub"], access["sub"], "pairwise");
    let info = claims_of(&format!("x.{}.x", tokens.text("client_info")));
    assert_eq!(info, json!({"uid": demo::ALICE_OID, "utid": demo::CONTOSO}));
    assert!(!tokens.text("refresh_token").is_empty());
}

#[tokio::test]
async fn nothing_comes_that_was_not_asked_for() {
    let emulator = start().await;
    let code = Browser::new(&emulator)
        .code("alice", &[("scope", demo::API_DEFAULT_SCOPE)])
        .await;
    let tokens = redeem(&emulator, &code, &[]).await;
    for absent in ["id_token", "refresh_token", "client_info"] {
        assert!(tokens.body.get(absent).is_none(), "{absent}");
    }
    let code = Browser::new(&emulator)
        .code("alice", &[("scope", "openid")])
        .await;
    let tokens = redeem(&emulator, &code, &[]).await;
    assert_eq!(tokens.text("scope"), "openid");
    let id = claims_of(tokens.text("id_token"));
    assert!(id.get("preferred_username").is_none());
    // It is for Microsoft Graph's userinfo.
    let token = claims_of(tokens.text("access_token"));
    assert_eq!(token["aud"], demo::GRAPH_RESOURCE);
    assert_eq!(token["scp"], "openid");
}

#[tokio::test]
async fn a_code_works_once() {
    let emulator = start().await;
    let code = Browser::new(&emulator).code("alice", &[]).await;
    let (first, second) =
        tokio::join!(redeem(&emulator, &code, &[]), redeem(&emulator, &code, &[]));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    redeem(&emulator, &code, &[])
        .await
        .assert_refused(400, "invalid_grant", 54_005);
    let redeemed = emulator
        .events()
        .iter()
        .filter(|event| matches!(event, Event::CodeRedeemed { .. }))
        .count();
    assert_eq!(redeemed, 1);
}

#[tokio::test]
async fn a_code_is_bound_to_its_client_its_verifier_and_its_address() {
    let emulator = start().await;
    let code = Browser::new(&emulator).code("alice", &[]).await;
    let refused: &[(&[(&str, &str)], u16, &str, u32)] = &[
        (&[("code", "1.nonsense")], 400, "invalid_grant", 70_000),
        (&[("code", "")], 400, "invalid_request", 900_144),
        (&[("code_verifier", "")], 400, "invalid_grant", 501_481),
        (
            &[(
                "code_verifier",
                "something-else-that-is-long-enough-to-be-one",
            )],
            400,
            "invalid_grant",
            501_481,
        ),
        (&[("redirect_uri", "")], 400, "invalid_request", 900_144),
        (
            &[("redirect_uri", "http://localhost:8000/other")],
            400,
            "invalid_request",
            50_011,
        ),
        (
            &[("client_secret", "wrong")],
            401,
            "invalid_client",
            7_000_215,
        ),
        (
            &[
                ("client_id", demo::API_CLIENT_ID),
                ("client_secret", demo::API_CLIENT_SECRET),
            ],
            400,
            "invalid_grant",
            700_005,
        ),
        (
            &[(
                "scope",
                "api://a9100000-0000-4000-8000-00000000000a/.default https://management.azure.com/.default",
            )],
            400,
            "invalid_request",
            28_000,
        ),
    ];
    for (changes, status, error, code_number) in refused.iter().take(8) {
        println!("{changes:?}");
        redeem(&emulator, &code, changes)
            .await
            .assert_refused(*status, error, *code_number);
    }
    // None of these used it up.
    let (changes, status, error, number) = &refused[8];
    redeem(&emulator, &code, changes)
        .await
        .assert_refused(*status, error, *number);

    emulator.update_directory(|directory| {
        let app = directory.application_mut(demo::UI_CLIENT_ID).unwrap();
        app.redirect_uris
            .push("http://localhost:8000/second".to_owned());
    });
    let code = Browser::new(&emulator).code("alice", &[]).await;
    redeem(
        &emulator,
        &code,
        &[("redirect_uri", "http://localhost:8000/second")],
    )
    .await
    .assert_refused(401, "invalid_client", 500_112);
    assert_eq!(redeem(&emulator, &code, &[]).await.status, 200);
}

#[tokio::test]
async fn a_verifier_for_a_code_without_challenge_is_refused() {
    let emulator = start().await;
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    let mut browser = Browser::new(&emulator);
    let code = browser.code("alice", &without).await;
    redeem(&emulator, &code, &[])
        .await
        .assert_refused(400, "invalid_grant", 501_481);
    let tokens = redeem(&emulator, &code, &[("code_verifier", "")]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

#[tokio::test]
async fn a_code_lives_ten_minutes() {
    let emulator = start().await;
    let code = Browser::new(&emulator).code("alice", &[]).await;
    emulator.advance(std::time::Duration::from_secs(600));
    redeem(&emulator, &code, &[])
        .await
        .assert_refused(400, "invalid_grant", 70_008);
}

async fn refresh(
    emulator: &entra_emulator::Emulator,
    refresh_token: &str,
    changes: &[(&str, &str)],
) -> Answer {
    let mut form = vec![
        ("grant_type", "refresh_token"),
        ("client_id", demo::UI_CLIENT_ID),
        ("client_secret", demo::UI_CLIENT_SECRET),
        ("refresh_token", refresh_token),
    ];
    for (name, value) in changes {
        form.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.push((name, value));
        }
    }
    token(emulator, &form).await
}

#[tokio::test]
async fn a_refresh_token_brings_new_tokens() {
    let emulator = start().await;
    let code = Browser::new(&emulator).code("alice", &[]).await;
    let first = redeem(&emulator, &code, &[]).await;
    let second = refresh(&emulator, first.text("refresh_token"), &[]).await;
    assert_eq!(second.status, 200, "{}", second.body);
    let (old, new) = (
        claims_of(first.text("access_token")),
        claims_of(second.text("access_token")),
    );
    assert_eq!(old["oid"], new["oid"]);
    assert_ne!(old["uti"], new["uti"]);
    assert_ne!(first.text("refresh_token"), second.text("refresh_token"));
    assert!(second.body.get("id_token").is_some());
    // As at Entra, the old one goes on working.
    let third = refresh(&emulator, first.text("refresh_token"), &[]).await;
    assert_eq!(third.status, 200);
}

#[tokio::test]
async fn a_refresh_token_that_does_not_hold_is_refused() {
    let emulator = start().await;
    let code = Browser::new(&emulator).code("carol", &[]).await;
    let tokens = redeem(&emulator, &code, &[]).await;
    let good = tokens.text("refresh_token");
    refresh(&emulator, "1.nonsense", &[])
        .await
        .assert_refused(400, "invalid_grant", 70_000);
    let other = [
        ("client_id", demo::API_CLIENT_ID),
        ("client_secret", demo::API_CLIENT_SECRET),
    ];
    refresh(&emulator, good, &other)
        .await
        .assert_refused(400, "invalid_grant", 700_005);
    // A resource that the web app has no consent for.
    let scope = "https://management.azure.com/user_impersonation";
    refresh(&emulator, good, &[("scope", scope)])
        .await
        .assert_refused(400, "invalid_grant", 65_001);
    // A challenge that only the user can answer.
    let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
    let refused = refresh(&emulator, good, &[("claims", claims)]).await;
    refused.assert_refused(400, "interaction_required", 50_076);

    emulator.revoke_sessions("carol");
    refresh(&emulator, good, &[])
        .await
        .assert_refused(400, "invalid_grant", 50_173);
    emulator.advance(std::time::Duration::from_secs(90 * 86_400));
    refresh(&emulator, good, &[])
        .await
        .assert_refused(400, "invalid_grant", 70_008);
}

#[tokio::test]
async fn a_code_of_one_tenant_is_not_redeemed_in_another() {
    let emulator = start().await;
    let code = Browser::new(&emulator).code("alice", &[]).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", demo::UI_CLIENT_ID),
        ("client_secret", demo::UI_CLIENT_SECRET),
        ("code", &code),
        ("redirect_uri", demo::UI_REDIRECT_URI),
        ("code_verifier", crate::browser::VERIFIER),
    ];
    token_at(&emulator, demo::FABRIKAM, &form)
        .await
        .assert_refused(400, "invalid_grant", 70_000);
}

#[tokio::test]
async fn codes_and_refresh_tokens_are_redeemed_with_a_certificate_too() {
    let signer = Signer::generate().unwrap();
    let mut directory = Directory::demo();
    let ui = directory.application_mut(demo::UI_CLIENT_ID).unwrap();
    ui.secrets.clear();
    ui.certificates.push(signer.certificate().clone());
    let emulator = start_with(directory).await;

    let header = json!({"alg": "PS256", "x5t#S256": signer.certificate().thumbprint_sha256()});
    let claims = json!({
        "aud": emulator.token_url(demo::CONTOSO),
        "iss": demo::UI_CLIENT_ID,
        "sub": demo::UI_CLIENT_ID,
        "exp": now() + 600,
    });
    let good = signer.sign(&header, &claims);
    let foreign = Signer::generate().unwrap().sign(&header, &claims);
    let proof = |assertion| {
        [
            ("client_secret", ""),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion),
        ]
    };

    let code = Browser::new(&emulator).code("alice", &[]).await;
    let refused = redeem(&emulator, &code, &proof(&foreign)).await;
    refused.assert_refused(401, "invalid_client", 700_027);
    // A client that fails to prove itself has not used the code up.
    let first = redeem(&emulator, &code, &proof(&good)).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let token = claims_of(first.text("access_token"));
    assert_eq!(token["azpacr"], "2", "a certificate");

    let refreshing = first.text("refresh_token");
    let refused = refresh(&emulator, refreshing, &proof(&foreign)).await;
    refused.assert_refused(401, "invalid_client", 700_027);
    let second = refresh(&emulator, refreshing, &proof(&good)).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_eq!(claims_of(second.text("access_token"))["azpacr"], "2");
}
