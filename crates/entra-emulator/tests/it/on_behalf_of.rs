//! The On-Behalf-Of exchange: what it gives.

use entra_emulator::directory::{Application, Mfa, Scope};
use entra_emulator::{Directory, Event, demo};
use serde_json::json;

use crate::support::{Answer, claims_of, client, exchange, header_of, start, start_with};

#[tokio::test]
async fn a_users_token_becomes_a_token_for_arm() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    let answer = exchange(&emulator, &assertion, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.text("token_type"), "Bearer");
    assert_eq!(
        answer.text("scope"),
        "https://management.azure.com/user_impersonation"
    );
    let lifetime = answer.body["expires_in"].as_i64().unwrap();
    assert!((3_600..5_400).contains(&lifetime), "{lifetime}");
    assert_eq!(answer.body["ext_expires_in"], answer.body["expires_in"]);
    for absent in ["refresh_token", "id_token", "client_info"] {
        assert!(answer.body.get(absent).is_none(), "{absent}");
    }

    let claims = claims_of(answer.text("access_token"));
    for (name, value) in [
        ("aud", json!("https://management.azure.com")),
        (
            "iss",
            json!(format!("{}/{}/", emulator.url(), demo::CONTOSO)),
        ),
        ("tid", json!(demo::CONTOSO)),
        ("oid", json!(demo::ALICE_OID)),
        ("appid", json!(demo::API_CLIENT_ID)),
        ("appidacr", json!("1")),
        ("scp", json!("user_impersonation")),
        ("ver", json!("1.0")),
        ("upn", json!("alice@contoso.example")),
        ("amr", json!(["pwd"])),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert!(claims.get("xms_cc").is_none());
    assert!(answer.text("access_token").len() > 1_200);

    let Some(Event::Exchanged { username, uti, .. }) = emulator.events().pop() else {
        panic!("{:?}", emulator.events());
    };
    assert_eq!(username, "alice@contoso.example");
    assert_eq!(claims["uti"], uti.as_str());
    assert_eq!(emulator.exchanges(), 1);
}

#[tokio::test]
async fn the_answer_has_entras_headers_and_echoes_the_request_id() {
    let emulator = start().await;
    let id = "5d9c2c59-6b6b-4a0c-8d3b-3c0fbd1f5f11";
    let response = client()
        .post(emulator.token_url(demo::CONTOSO))
        .header("client-request-id", id)
        .form(&[("grant_type", "nonsense")])
        .send()
        .await
        .unwrap();
    let answer = Answer::of(response).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    assert_eq!(answer.header("client-request-id"), id);
    assert_eq!(answer.header("x-ms-request-id"), answer.text("trace_id"));
    assert_eq!(answer.text("correlation_id"), id);
    assert!(!answer.header("x-ms-ests-server").is_empty());
}

#[tokio::test]
async fn the_secret_may_come_as_basic() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", assertion.as_str()),
        ("scope", "https://management.azure.com/.default"),
        ("requested_token_use", "on_behalf_of"),
    ];
    for (secret, status) in [(demo::API_CLIENT_SECRET, 200), ("wrong", 401)] {
        let response = client()
            .post(emulator.token_url(demo::CONTOSO))
            .basic_auth(demo::API_CLIENT_ID, Some(secret))
            .form(&form)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status);
    }
}

#[tokio::test]
async fn what_is_asked_for_besides_is_given() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    let answer = exchange(
        &emulator,
        &assertion,
        &[
            (
                "scope",
                "https://management.core.windows.net//.default openid profile offline_access",
            ),
            ("client_info", "1"),
            (
                "claims",
                r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#,
            ),
            ("x-client-SKU", "a parameter nobody knows"),
        ],
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.text("scope"),
        "https://management.core.windows.net//user_impersonation https://management.core.windows.net//.default"
    );
    let claims = claims_of(answer.text("access_token"));
    assert_eq!(claims["aud"], "https://management.core.windows.net/");
    assert_eq!(claims["xms_cc"], json!(["cp1"]));
    let id_token = claims_of(answer.text("id_token"));
    assert_eq!(id_token["aud"], demo::API_CLIENT_ID);
    assert_eq!(id_token["preferred_username"], "alice@contoso.example");
    assert!(!answer.text("refresh_token").is_empty());
    assert!(!answer.text("client_info").is_empty());
}

#[tokio::test]
async fn a_v1_assertion_is_exchanged_too() {
    let emulator = start().await;
    emulator.grant_consent("alice");
    let assertion = emulator.token().user("alice").v1().sign();
    assert_eq!(claims_of(&assertion)["aud"], demo::API_APP_ID_URI);
    let answer = exchange(&emulator, &assertion, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn a_guest_gets_a_token_of_the_tenant_they_are_a_guest_of() {
    let guest = "9e570000-0000-4000-8000-0000000000aa";
    let mut directory = Directory::demo();
    directory
        .user_mut("erin")
        .unwrap()
        .guest_in
        .insert(demo::CONTOSO.to_owned(), guest.to_owned());
    directory.grant(entra_emulator::directory::Consent::new(
        demo::CONTOSO,
        guest,
        demo::API_CLIENT_ID,
        demo::ARM_CLIENT_ID,
        [demo::ARM_SCOPE],
    ));
    let emulator = start_with(directory).await;
    let assertion = emulator.token().user("erin").tenant(demo::CONTOSO).sign();
    assert_eq!(claims_of(&assertion)["oid"], guest);
    let answer = exchange(&emulator, &assertion, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let claims = claims_of(answer.text("access_token"));
    assert_eq!(claims["tid"], demo::CONTOSO);
    assert_eq!(claims["oid"], guest);
}

#[tokio::test]
async fn the_resource_decides_on_the_tokens_version() {
    let id = "d0d00000-0000-4000-8000-000000000099";
    let mut other = Application::new(demo::CONTOSO, id, "Another API");
    other.app_id_uris = vec!["api://another".to_owned()];
    other.scopes = vec![Scope::new("read", "Read")];
    let mut directory = Directory::demo();
    directory.applications.push(other);
    directory.user_mut("alice").unwrap().mfa = Mfa::Required;
    directory.grant(entra_emulator::directory::Consent::new(
        demo::CONTOSO,
        demo::ALICE_OID,
        demo::API_CLIENT_ID,
        id,
        ["read"],
    ));
    let emulator = start_with(directory).await;
    let assertion = emulator.user_token("alice");
    let answer = exchange(&emulator, &assertion, &[("scope", "api://another/read")]).await;
    // No policy of this API asks for a second factor, unlike ARM's.
    assert_eq!(answer.status, 200, "{}", answer.body);
    let claims = claims_of(answer.text("access_token"));
    assert_eq!(claims["ver"], "2.0");
    assert_eq!(claims["aud"], id);
    assert_eq!(claims["azp"], demo::API_CLIENT_ID);
    assert_eq!(
        claims["iss"],
        format!("{}/{}/v2.0", emulator.url(), demo::CONTOSO)
    );
    let header = header_of(answer.text("access_token"));
    assert_eq!(header["kid"], emulator.current_kid());
    assert!(header.get("x5t").is_none());
}
