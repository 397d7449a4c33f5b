//! Handlers under test, without a layer and without Entra ID.

use axum::{Router, body::Body, response::Response, routing::get};
use http::{Request, StatusCode, header::WWW_AUTHENTICATE};
use tower::ServiceExt;
use tower_obo::{
    Clock as _, DownstreamToken, Downstreams, ExchangeError, ExchangeErrorKind, Principal,
    RejectionKind, SystemClock, TestCaller,
};

use crate::downstreams::challenge;

async fn handler(
    principal: Principal,
    arm: DownstreamToken,
    downstreams: Downstreams,
) -> Result<String, Response> {
    let graph = downstreams.get("graph").await;
    let graph = graph.map_err(|rejection| rejection.to_response())?;
    let who = principal.object_id().unwrap();
    Ok(format!("{who}: {} and {}", arm.expose(), graph.expose()))
}

#[tokio::test]
async fn a_handler_is_tested_by_its_arguments_or_behind_its_router() {
    let alice = TestCaller::user("alice")
        .downstream("arm", "for-arm")
        .downstream("graph", "for-graph");
    let admitted = alice.admitted();
    let said = handler(
        alice.principal(),
        alice.downstream_token(),
        admitted.downstreams(),
    );
    let expected = "alice: for-arm and for-graph";
    assert_eq!(said.await.unwrap(), expected);

    let app = Router::new().route("/", get(handler));
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(admitted);
    let answer = app.oneshot(request).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), 1_024).await;
    assert_eq!(body.unwrap(), expected);
}

#[tokio::test]
async fn a_handler_is_tested_with_a_downstream_that_is_refused() {
    let error = ExchangeError::new(ExchangeErrorKind::InsufficientClaims, "a second factor")
        .with_claims(r#"{"a":1}"#);
    let alice = TestCaller::user("alice")
        .refused("graph", error)
        .downstream("arm", "for-arm");
    let admitted = alice.admitted();
    let answer = handler(
        alice.principal(),
        alice.downstream_token(),
        admitted.downstreams(),
    );
    let answer = answer.await.unwrap_err();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let challenge = answer.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.contains("insufficient_claims"), "{challenge}");
}

#[tokio::test]
async fn a_token_of_a_test_is_dropped_when_it_is_challenged() {
    let admitted = TestCaller::user("alice")
        .downstream("arm", "for-arm")
        .admitted();
    let arm = admitted.first_downstream().unwrap();
    let rejection = arm.challenged(&challenge()).unwrap();
    assert_eq!(rejection.kind(), RejectionKind::InsufficientClaims);
    let again = admitted.downstreams().get("arm").await.unwrap_err();
    assert_eq!(again.claims(), rejection.claims());
}

#[test]
fn a_caller_of_a_test_is_whom_it_was_said_to_be() {
    let user = TestCaller::user("alice")
        .tenant("contoso")
        .client("app")
        .scope("read")
        .role("admin")
        .claim("name", "Alice")
        .answers_claims_challenges();
    let (admitted, user) = (user.admitted(), user.principal());
    assert_eq!(user.tenant_id(), "contoso");
    assert_eq!(user.client_id(), Some("app"));
    assert_eq!(user.subject(), Some("alice"));
    assert!(user.issuer().contains("contoso"));
    assert!(user.has_scope("read") && user.has_role("admin"));
    assert_eq!(user.claim("name"), Some("Alice"));
    assert!(user.answers_claims_challenges() && !user.is_app_only());
    assert!(user.expires_at() > SystemClock.now());
    assert!(admitted.first_downstream().is_none());
    assert!(admitted.principal().unwrap().has_scope("read"));
    assert!(TestCaller::application("job").principal().is_app_only());
}
