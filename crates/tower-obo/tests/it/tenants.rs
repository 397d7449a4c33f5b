//! CL-08 … CL-13: versions, tenants, and whose key signs for whom.

use entra_emulator::{Endpoint, demo, directory::Tenant};
use http::StatusCode;
use serde_json::json;
use tower_obo::{AccessPolicy, Credential, Entra, TokenDefect};

use crate::fixture::{World, with_token};

/// The tenant of personal accounts.
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const UNKNOWN: &str = "77777777-7777-4777-8777-777777777777";

fn two_tenants() -> Entra {
    Entra::tenants([demo::CONTOSO, demo::FABRIKAM])
}

#[tokio::test]
async fn cl_08_both_versions_of_a_tenant_are_accepted_each_with_its_own_issuer() {
    for tenants in [
        Entra::tenant(demo::CONTOSO),
        two_tenants(),
        Entra::any_tenant(),
    ] {
        let world = World::of(tenants, |builder| builder).await;
        world.entra.grant_consent("alice");
        world.accepted("v2", &world.entra.token().sign()).await;
        world.accepted("v1", &world.entra.token().v1().sign()).await;
        let v2 = world.entra.token().claims()["iss"].clone();
        let v1 = world.entra.token().v1().claims()["iss"].clone();
        assert_ne!(v1, v2);
        let crossed = world.entra.token().claim("iss", v1).sign();
        world
            .invalid("v2 with the issuer of v1", TokenDefect::Issuer, &crossed)
            .await;
        let crossed = world.entra.token().v1().claim("iss", v2).sign();
        world
            .invalid("v1 with the issuer of v2", TokenDefect::Issuer, &crossed)
            .await;
        for version in ["", "3.0", "2", "1", "2.0 ", "1.00"] {
            let token = world.entra.token().claim("ver", version).sign();
            world
                .invalid(&format!("ver {version:?}"), TokenDefect::Claims, &token)
                .await;
        }
        let without = world.entra.token().without_claim("ver").sign();
        world.invalid("no ver", TokenDefect::Claims, &without).await;
    }
}

#[tokio::test]
async fn cl_09_tid_is_the_guid_of_the_issuers_tenant() {
    for (tenants, allowed) in [
        (
            Entra::tenant(demo::CONTOSO),
            (|_| false) as fn(&str) -> bool,
        ),
        (two_tenants(), |tid| tid == demo::FABRIKAM),
        (Entra::any_tenant(), |tid| {
            tid == demo::FABRIKAM || tid == demo::CONTOSO.to_uppercase()
        }),
    ] {
        let world = World::of(tenants, |builder| builder).await;
        let issuer = |tenant: &str| format!("{}/{tenant}/v2.0", world.entra.url());
        let others = [
            demo::FABRIKAM.to_owned(),
            format!("{{{}}}", demo::CONTOSO),
            demo::CONTOSO.replace('-', ""),
            demo::CONTOSO.to_uppercase(),
            "common".to_owned(),
            "organizations".to_owned(),
            "consumers".to_owned(),
            "contoso.example".to_owned(),
            "../x".to_owned(),
            format!("{}/../x", demo::CONTOSO),
            String::new(),
            "{tenantid}".to_owned(),
        ];
        for tid in others {
            let token = world.entra.token().claim("tid", tid.as_str()).sign();
            // What is no tenant of ours is refused as such; what might be one has another issuer.
            let defect = match allowed(&tid) {
                true => TokenDefect::Issuer,
                false => TokenDefect::Tenant,
            };
            world.invalid(&format!("tid {tid:?}"), defect, &token).await;
            if tid == demo::FABRIKAM || tid == demo::CONTOSO.to_uppercase() {
                continue;
            }
            // Neither does it help to say the same in the issuer.
            let token = world.entra.token().claim("tid", tid.as_str());
            let token = token.claim("iss", issuer(&tid)).sign();
            let case = format!("tid and iss {tid:?}");
            world.invalid(&case, TokenDefect::Tenant, &token).await;
        }
        let without = world.entra.token().without_claim("tid").sign();
        world
            .invalid("missing", TokenDefect::Tenant, &without)
            .await;
    }
    let world = World::start().await;
    let shouted = demo::CONTOSO.to_uppercase();
    let token = world.entra.token().tenant(shouted.as_str()).sign();
    world
        .invalid(
            "another spelling of the tenant",
            TokenDefect::Tenant,
            &token,
        )
        .await;
}

/// Entra ID writes GUIDs in lower case; people and portals do not always.
#[tokio::test]
async fn ids_may_be_configured_in_any_letter_case() {
    let shouted = [demo::CONTOSO.to_uppercase()];
    for tenants in [Entra::tenant(&*shouted[0]), Entra::tenants(&shouted)] {
        let world = World::of(tenants, |builder| {
            let secret = Credential::secret(demo::API_CLIENT_SECRET);
            builder.client(demo::API_CLIENT_ID.to_uppercase(), secret)
        })
        .await;
        let token = world.entra.user_token("alice");
        world.accepted("lower case in the token", &token).await;
    }
}

#[tokio::test]
async fn cl_10_a_tenant_that_is_not_listed_is_not_trusted() {
    let world = World::of(two_tenants(), |builder| builder).await;
    let erin = world.entra.user_token("erin");
    world.accepted("listed", &erin).await;
    world
        .accepted("listed", &world.entra.user_token("alice"))
        .await;
    let token = world.entra.token().tenant(UNKNOWN).sign();
    world
        .invalid("not listed", TokenDefect::Tenant, &token)
        .await;

    let contoso = World::start().await;
    let erin = contoso.entra.user_token("erin");
    contoso
        .invalid("of another tenant than ours", TokenDefect::Tenant, &erin)
        .await;
}

#[tokio::test]
async fn cl_11_a_key_signs_only_for_the_issuer_that_it_names() {
    let world = World::of(Entra::any_tenant(), |builder| builder).await;
    world.entra.grant_consent("alice");
    let (contoso, fabrikam, personal) = (
        world.entra.add_key(Some(demo::CONTOSO)).unwrap(),
        world.entra.add_key(Some(demo::FABRIKAM)).unwrap(),
        world.entra.add_key(Some(PERSONAL)).unwrap(),
    );
    let token = |kid: &str| world.entra.token().key(kid);
    // The first of them makes the core learn the new keys.
    world.accepted("its own", &token(&contoso).sign()).await;
    for kid in [&fabrikam, &personal] {
        world
            .invalid(
                "another tenant's key",
                TokenDefect::Issuer,
                &token(kid).sign(),
            )
            .await;
        world
            .invalid("v1 too", TokenDefect::Issuer, &token(kid).v1().sign())
            .await;
    }
    world
        .accepted("its own, v1", &token(&contoso).v1().sign())
        .await;
    let crossed = token(&contoso).tenant(demo::FABRIKAM).sign();
    world
        .invalid("the other way", TokenDefect::Issuer, &crossed)
        .await;
}

#[tokio::test]
async fn cl_11_nor_when_two_tenants_publish_one_key_id() {
    let world = World::without_keys(Entra::any_tenant(), |builder| builder).await;
    world.entra.grant_consent("alice");
    let kids =
        [demo::CONTOSO, demo::FABRIKAM].map(|tenant| world.entra.add_key(Some(tenant)).unwrap());
    let mut jwks = world.entra.jwks(None);
    for key in jwks["keys"].as_array_mut().unwrap() {
        if kids.iter().any(|kid| key["kid"] == **kid) {
            key["kid"] = "shared".into();
        }
    }
    world.entra.set_jwks(jwks);
    let signed = |kid: &str, tenant: &str| {
        let token = world.entra.token().key(kid).header("kid", "shared");
        token.tenant(tenant).sign()
    };
    let token = |kid: &str, tenant: &str| with_token(&signed(kid, tenant));
    for (kid, own, other) in [
        (&kids[0], demo::CONTOSO, demo::FABRIKAM),
        (&kids[1], demo::FABRIKAM, demo::CONTOSO),
    ] {
        let answer = world.refused("foreign", token(kid, other)).await;
        answer.has_defect("foreign", TokenDefect::Signature);
        world.is_valid("its own", &signed(kid, own)).await;
        // The emulator knows no such key id, so it refuses the exchange.
        let asked = world.exchanges_asked();
        let answer = world.send(token(kid, own)).await;
        assert_eq!(answer.problem_type(), "assertion-refused");
        assert_eq!(world.exchanges_asked(), asked + 1);
    }
}

#[tokio::test]
async fn cl_12_tokens_for_something_else_are_no_access_tokens() {
    let world = World::start().await;
    world.entra.grant_consent("alice");
    let id_token = world.entra.token().id_token().sign();
    let answer = world.refused("ID token", with_token(&id_token)).await;
    answer.lacks_scope("ID token", demo::API_SCOPE);
    let arm = world.entra.arm_token("alice");
    world
        .invalid("ARM token", TokenDefect::Audience, &arm)
        .await;
    let any = AccessPolicy::any_user();
    let policy = tower_obo::Policy::new(any);
    let request = with_token(&id_token);
    let answer = world.refused_by(policy, "any user", request).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    // Roles make no application of a user's ID token, whatever the policy wants.
    let with_roles = world
        .entra
        .token()
        .id_token()
        .claim("roles", json!(["Jobs.Run"]));
    let with_roles = with_roles.sign();
    for access in [
        AccessPolicy::any_role(["Jobs.Run"]),
        AccessPolicy::any_role(["Jobs.Run"]).allow_app_only(),
        AccessPolicy::any_role(["Jobs.Run"]).require_app_only(),
    ] {
        let policy = tower_obo::Policy::new(access);
        let request = with_token(&with_roles);
        let answer = world
            .refused_by(policy, "ID token with roles", request)
            .await;
        answer.has_defect("ID token with roles", TokenDefect::Type);
    }
}

#[tokio::test]
async fn cl_13_a_guest_is_served_in_the_tenant_of_the_token() {
    let world = World::of(two_tenants(), |builder| builder).await;
    let oid = "a11ce000-0000-4000-8000-0000000000f1";
    world.entra.update_directory(|directory| {
        let alice = directory.user_mut("alice").unwrap();
        alice.guest_in.insert(demo::FABRIKAM.into(), oid.into());
        directory.grant(entra_emulator::directory::Consent::new(
            demo::FABRIKAM,
            oid,
            demo::API_CLIENT_ID,
            demo::ARM_CLIENT_ID,
            [demo::ARM_SCOPE],
        ));
    });
    let home = json!(format!("https://sts.windows.net/{}/", demo::CONTOSO));
    let guest = || {
        world
            .entra
            .token()
            .tenant(demo::FABRIKAM)
            .claim("idp", home.clone())
    };
    world.accepted("guest", &guest().sign()).await;
    let asked = world.entra.requests(Endpoint::Token);
    let path = format!("/{}/oauth2/v2.0/token", demo::FABRIKAM);
    assert_eq!(asked.last().unwrap().path, path);

    let contoso = World::start().await;
    let token = contoso
        .entra
        .token()
        .tenant(demo::FABRIKAM)
        .claim("idp", home);
    contoso
        .invalid(
            "a guest of another tenant",
            TokenDefect::Tenant,
            &token.sign(),
        )
        .await;
}

#[tokio::test]
async fn cl_13_personal_accounts_are_served_where_their_tenant_is_allowed() {
    let world = World::start().await;
    let token = world.entra.token().tenant(PERSONAL).sign();
    world
        .invalid("not allowed", TokenDefect::Tenant, &token)
        .await;

    let world = World::of(Entra::tenants([PERSONAL]), |builder| builder).await;
    world.entra.update_directory(|directory| {
        let tenant = Tenant::new(PERSONAL, "Personal accounts", "live.example");
        directory.tenants.push(tenant);
    });
    let answer = world
        .get(&world.entra.token().tenant(PERSONAL).sign())
        .await;
    assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    let asked = world.entra.requests(Endpoint::Token);
    let path = format!("/{PERSONAL}/oauth2/v2.0/token");
    assert_eq!(asked.last().unwrap().path, path);
    // Where they sign in: `organizations` takes none.
    let body = json!({"error": "interaction_required", "claims": "{\"access_token\":{}}"});
    let fault = entra_emulator::Fault::status(400).json(&body);
    world.entra.fail(Endpoint::Token, fault, 1);
    let other = world.entra.token().tenant(PERSONAL).claim("uti", "other");
    let challenge = world.get(&other.sign()).await.challenge().unwrap();
    let uri = challenge.get("authorization_uri").unwrap();
    assert!(uri.ends_with("/common/oauth2/v2.0/authorize"), "{uri}");
}
