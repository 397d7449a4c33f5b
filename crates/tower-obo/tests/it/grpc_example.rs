//! The example with tonic, run: calls with and without a token, as a client of gRPC sees them.

#[allow(dead_code, reason = "its `main` listens on a port of its own")]
#[path = "../../examples/tonic.rs"]
mod tonic_service;

use entra_emulator::{Emulator, Endpoint, demo};
use tokio::net::TcpListener;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower_obo::{Credential, Entra, OboLayer};

async fn service() -> (Emulator, HealthClient<Channel>) {
    let emulator = Emulator::builder().start().await.unwrap();
    let entra = Entra::tenant(demo::CONTOSO).authority(emulator.url());
    let secret = Credential::secret(demo::API_CLIENT_SECRET);
    let obo = OboLayer::builder(entra).client(demo::API_CLIENT_ID, secret);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { tonic_service::serve(obo, listener).await.unwrap() });
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    (emulator, HealthClient::new(channel))
}

async fn check(client: &mut HealthClient<Channel>, token: Option<&str>) -> Result<i32, Status> {
    let mut call = Request::new(HealthCheckRequest::default());
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        call.metadata_mut().insert("authorization", value);
    }
    client
        .check(call)
        .await
        .map(|answer| answer.into_inner().status)
}

#[tokio::test]
async fn a_call_with_a_token_reaches_the_service_with_who_calls_and_a_token_for_the_downstream() {
    let (emulator, mut client) = service().await;
    let token = emulator.user_token("alice");
    for _ in 0..2 {
        let status = check(&mut client, Some(&token)).await.unwrap();
        assert_eq!(status, i32::from(ServingStatus::Serving));
    }
    assert_eq!(emulator.count(Endpoint::Token), 1);
}

#[tokio::test]
async fn a_call_without_a_good_token_gets_a_status_of_grpc_and_the_challenge() {
    let (_emulator, mut client) = service().await;
    for token in [None, Some("none.of.ours")] {
        let status = check(&mut client, token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{token:?}: {status}");
        let challenge = status.metadata().get("www-authenticate").unwrap();
        assert!(
            challenge.to_str().unwrap().starts_with("Bearer"),
            "{challenge:?}"
        );
    }
}

#[tokio::test]
async fn a_user_who_may_not_is_told_so_in_the_form_of_grpc() {
    let (emulator, mut client) = service().await;
    let token = emulator.user_token_without_consent("alice");
    let status = check(&mut client, Some(&token)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
}
