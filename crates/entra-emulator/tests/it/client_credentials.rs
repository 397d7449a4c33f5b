//! Tokens that applications have for themselves.

use entra_emulator::directory::{Application, Assignment};
use entra_emulator::{Emulator, Event, Signer, demo};
use serde_json::json;

use crate::client_certificate::{JWT_BEARER, now};
use crate::support::{Answer, claims_of, client, exchange, start, token_at};

/// The web app asks for itself; `changes` replace parameters, or with an empty value take them away.
async fn ask(emulator: &Emulator, tenant: &str, changes: &[(&str, &str)]) -> Answer {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", demo::UI_CLIENT_ID),
        ("client_secret", demo::UI_CLIENT_SECRET),
        ("scope", demo::API_DEFAULT_SCOPE),
    ];
    for (name, value) in changes {
        form.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.push((name, value));
        }
    }
    token_at(emulator, tenant, &form).await
}

#[tokio::test]
async fn an_application_gets_the_roles_that_were_assigned_to_it() {
    let emulator = start().await;
    let answer = ask(&emulator, demo::CONTOSO, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for absent in ["refresh_token", "id_token", "scope"] {
        assert!(answer.body.get(absent).is_none(), "{absent}");
    }
    let claims = claims_of(answer.text("access_token"));
    let issuer = format!("{}/{}/v2.0", emulator.url(), demo::CONTOSO);
    for (name, value) in [
        ("aud", json!(demo::API_CLIENT_ID)),
        ("iss", json!(issuer)),
        ("azp", json!(demo::UI_CLIENT_ID)),
        ("azpacr", json!("1")),
        ("idtyp", json!("app")),
        ("roles", json!([demo::API_ROLE])),
        ("tid", json!(demo::CONTOSO)),
        ("ver", json!("2.0")),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert_eq!(claims["oid"], claims["sub"], "the service principal");
    assert_ne!(claims["oid"], demo::UI_CLIENT_ID);
    for absent in ["scp", "name", "preferred_username"] {
        assert!(claims.get(absent).is_none(), "{absent}");
    }
    let issued = Event::AppTokenIssued {
        client_id: demo::UI_CLIENT_ID.to_owned(),
        resource: demo::API_CLIENT_ID.to_owned(),
    };
    assert_eq!(emulator.events(), [issued]);
}

#[tokio::test]
async fn roles_are_of_one_tenant_and_only_those_that_the_api_exposes() {
    let emulator = start().await;
    let of = async |tenant| claims_of(ask(&emulator, tenant, &[]).await.text("access_token"));
    let contoso = of(demo::CONTOSO).await;
    let fabrikam = of(demo::FABRIKAM).await;
    assert!(fabrikam.get("roles").is_none(), "{fabrikam}");
    assert_ne!(contoso["oid"], fabrikam["oid"]);
    emulator.update_directory(|directory| {
        let (ui, api) = (demo::UI_CLIENT_ID, demo::API_CLIENT_ID);
        let more = Assignment::new(demo::CONTOSO, ui, api, ["Other.Role"]);
        directory.assignments.push(more);
    });
    assert_eq!(of(demo::CONTOSO).await["roles"], json!([demo::API_ROLE]));
    emulator.update_directory(|directory| {
        let api = directory.application_mut(demo::API_CLIENT_ID).unwrap();
        api.app_roles.push("Other.Role".to_owned());
        api.idtyp = false;
    });
    let both = of(demo::CONTOSO).await;
    assert_eq!(both["roles"], json!([demo::API_ROLE, "Other.Role"]));
    assert!(both.get("idtyp").is_none(), "an optional claim");
}

#[tokio::test]
async fn an_api_may_ask_for_an_assignment() {
    let emulator = start().await;
    emulator.update_directory(|directory| {
        let api = directory.application_mut(demo::API_CLIENT_ID).unwrap();
        api.assignment_required = true;
    });
    assert_eq!(ask(&emulator, demo::CONTOSO, &[]).await.status, 200);
    ask(&emulator, demo::FABRIKAM, &[])
        .await
        .assert_refused(400, "invalid_grant", 501_051);
}

#[tokio::test]
async fn only_the_default_scope_of_one_resource_can_be_asked_for() {
    let emulator = start().await;
    let api = demo::API_APP_ID_URI;
    let single = format!("{api}/{}", demo::API_SCOPE);
    let mixed = format!("{api}/.default openid");
    let two = format!("{api}/.default https://management.azure.com/.default");
    for (scope, error, code) in [
        (single.as_str(), "invalid_scope", 1_002_012),
        ("openid", "invalid_scope", 1_002_012),
        (".default", "invalid_scope", 1_002_012),
        (&mixed, "invalid_scope", 1_002_012),
        (&two, "invalid_request", 28_000),
        ("api://nothing/.default", "invalid_resource", 500_011),
        ("", "invalid_request", 900_144),
    ] {
        ask(&emulator, demo::CONTOSO, &[("scope", scope)])
            .await
            .assert_refused(400, error, code);
    }
}

#[tokio::test]
async fn there_is_no_token_without_a_tenant_or_a_credential() {
    let emulator = start().await;
    ask(&emulator, "common", &[])
        .await
        .assert_refused(400, "invalid_request", 9_001_023);
    ask(&emulator, demo::CONTOSO, &[("client_secret", "")])
        .await
        .assert_refused(401, "invalid_client", 7_000_218);
    let public = "00000000-0000-4000-8000-0000000000b1";
    emulator.update_directory(|directory| {
        let app = Application::new(demo::CONTOSO, public, "Public");
        directory.applications.push(app);
    });
    let changes = [("client_secret", ""), ("client_id", public)];
    ask(&emulator, demo::CONTOSO, &changes)
        .await
        .assert_refused(401, "invalid_client", 7_000_218);
}

#[tokio::test]
async fn a_certificate_is_as_good_as_a_secret_and_the_token_says_which_it_was() {
    let emulator = start().await;
    let signer = Signer::generate().unwrap();
    emulator.update_directory(|directory| {
        let ui = directory.application_mut(demo::UI_CLIENT_ID).unwrap();
        ui.certificates.push(signer.certificate().clone());
    });
    let header = json!({"alg": "PS256", "x5t#S256": signer.certificate().thumbprint_sha256()});
    let claims = json!({
        "aud": emulator.token_url(demo::CONTOSO),
        "iss": demo::UI_CLIENT_ID,
        "sub": demo::UI_CLIENT_ID,
        "exp": now() + 600,
    });
    let changes = [
        ("client_secret", ""),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", &*signer.sign(&header, &claims)),
    ];
    let answer = ask(&emulator, demo::CONTOSO, &changes).await;
    assert_eq!(claims_of(answer.text("access_token"))["azpacr"], "2");
}

#[tokio::test]
async fn resource_manager_knows_an_application_and_it_has_no_subscriptions() {
    let emulator = start().await;
    let scope = [("scope", "https://management.azure.com/.default")];
    let answer = ask(&emulator, demo::CONTOSO, &scope).await;
    let token = answer.text("access_token");
    let claims = claims_of(token);
    assert_eq!(claims["ver"], "1.0");
    assert_eq!(claims["aud"], "https://management.azure.com");
    assert_eq!(claims["idp"], claims["iss"]);
    assert!(claims.get("roles").is_none());
    let list = client()
        .get(format!(
            "{}/subscriptions?api-version=2022-12-01",
            emulator.arm_url()
        ))
        .bearer_auth(token);
    let list = Answer::of(list.send().await.unwrap()).await;
    assert_eq!((list.status, &list.body["value"]), (200, &json!([])));
}

#[tokio::test]
async fn an_applications_own_token_is_no_assertion_of_a_user() {
    let emulator = start().await;
    let answer = ask(&emulator, demo::CONTOSO, &[]).await;
    exchange(&emulator, answer.text("access_token"), &[])
        .await
        .assert_refused(400, "unauthorized_client", 7_000_114);
}
