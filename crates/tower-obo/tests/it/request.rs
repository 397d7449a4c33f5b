//! The token request, field by field, as Entra ID receives it.

use entra_emulator::{Endpoint, demo};

use crate::fixture::World;

const CP1: &str = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#;

#[tokio::test]
async fn the_exchange_asks_for_exactly_what_on_behalf_of_needs() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    world.accepted("alice", &token).await;
    let [request] = &world.entra.requests(Endpoint::Token)[..] else {
        panic!("one token request");
    };
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.path,
        format!("/{}/oauth2/v2.0/token", demo::CONTOSO)
    );
    let content_type = request.header("content-type").unwrap();
    assert_eq!(content_type, "application/x-www-form-urlencoded");
    let mut form = request.form();
    form.sort();
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let scope = "https://management.azure.com/user_impersonation";
    let expected = [
        ("assertion", token.as_str()),
        ("client_id", demo::API_CLIENT_ID),
        ("client_secret", demo::API_CLIENT_SECRET),
        ("grant_type", grant),
        ("requested_token_use", "on_behalf_of"),
        // The resource's scope alone: no offline_access, so no refresh token that could leak.
        ("scope", scope),
    ];
    let form: Vec<_> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(form, expected);
    let id = request.header("client-request-id").unwrap();
    assert_eq!(id.len(), 36, "an id that both sides log");
    assert_eq!(request.header("return-client-request-id"), Some("true"));
    assert!(request.header("authorization").is_none());
}

#[tokio::test]
async fn the_capability_to_answer_claims_challenges_is_declared_only_when_it_is_meant() {
    let world = World::with(|builder| builder.answer_claims_challenges()).await;
    let token = world.entra.user_token("alice");
    world.accepted("alice", &token).await;
    let requests = world.entra.requests(Endpoint::Token);
    assert_eq!(requests[0].parameter("claims").as_deref(), Some(CP1));
}
