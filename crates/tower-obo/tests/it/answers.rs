//! The form of refusals besides problem+json: gRPC, closures, extensions, and axum's extractors.

use axum::{Router, body::Body as AxumBody, routing::get};
use entra_emulator::demo;
use http::{HeaderValue, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_obo::{
    AccessPolicy, Actor, DownstreamToken, Policy, Principal, Rejection, RejectionKind, TokenDefect,
};

use crate::{
    challenge::Challenge,
    fixture::{Body, World, policy, request, with_token},
};

fn with_type(kind: &str, mut request: Request<Body>) -> Request<Body> {
    let kind = HeaderValue::from_str(kind).unwrap();
    request.headers_mut().insert(CONTENT_TYPE, kind);
    request
}

#[tokio::test]
async fn a_grpc_call_is_refused_in_the_form_of_grpc() {
    let world = World::start().await;
    let expired = world.entra.token().expired().sign();
    let scopeless = world.entra.token().claim("scp", "other").sign();
    let unknown_user = world.entra.user_token_without_consent("alice");
    let twice = crate::fixture::with_authorization(&[b"Bearer a.b.c", b"Bearer a.b.c"]);
    world.entra.fail(
        entra_emulator::Endpoint::Token,
        entra_emulator::Fault::status(429),
        1,
    );
    let throttled = with_token(&world.entra.user_token("bob"));
    for (case, request, status, error) in [
        ("throttled", throttled, "14", None),
        ("no token", request(), "16", Some(None)),
        (
            "expired",
            with_token(&expired),
            "16",
            Some(Some("invalid_token")),
        ),
        ("malformed", twice, "16", Some(Some("invalid_request"))),
        (
            "no scope",
            with_token(&scopeless),
            "7",
            Some(Some("insufficient_scope")),
        ),
    ] {
        for kind in [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC; a=b",
        ] {
            let answer = world.send(with_type(kind, request.clone())).await;
            assert_eq!(answer.status, StatusCode::OK, "{case}");
            assert_eq!(answer.header("content-type"), Some("application/grpc"));
            assert_eq!(answer.header("grpc-status"), Some(status), "{case}");
            let message = answer.header("grpc-message").unwrap();
            assert_eq!(message, answer.rejection.as_ref().unwrap().detail());
            assert_eq!(answer.body, "", "{case}: trailers only");
            let challenge = Challenge::of(&answer.headers);
            let named = challenge.as_ref().map(|challenge| challenge.get("error"));
            assert_eq!(named, error, "{case}");
            assert_eq!(answer.header("retry-after").is_some(), status == "14");
        }
    }
    world.clock.advance(std::time::Duration::from_secs(10));
    let refused = with_type("application/grpc", with_token(&unknown_user));
    let answer = world.send(refused).await;
    assert_eq!(answer.header("grpc-status"), Some("7"), "after an exchange");
    for kind in [
        "application/grpc-web",
        "application/grpcx",
        "application/json",
    ] {
        let answer = world.refused(kind, with_type(kind, request())).await;
        answer.asks_for_a_token(kind);
    }
}

#[tokio::test]
async fn an_outer_layer_finds_the_rejection_in_the_response() {
    let world = World::start().await;
    let expired = world.entra.token().expired().sign();
    let answer = world.get(&expired).await;
    let rejection = answer.rejection.unwrap();
    let expected = RejectionKind::InvalidToken(TokenDefect::Expired);
    assert_eq!(rejection.kind(), expected);
    assert_eq!(rejection.actor(), Actor::Caller);
    let correlation = answer.headers.get("x-none");
    assert!(correlation.is_none());
    let id = serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
    assert_eq!(id["correlation_id"], rejection.correlation_id());
    let good = world.get(&world.entra.user_token("alice")).await;
    assert!(good.rejection.is_none());
    let shown = format!("{rejection:?}");
    assert!(!shown.contains(&expired));
}

async fn whoami(principal: Principal, arm: DownstreamToken) -> String {
    let oid = principal.object_id().unwrap_or_default().to_owned();
    format!("{oid} {} {}", arm.name(), arm.expose().len() > 100)
}

async fn text(app: Router, request: Request<Body>) -> (StatusCode, String) {
    let request = request.map(AxumBody::new);
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn axum_handlers_take_the_caller_and_the_downstream_token() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let app = || {
        Router::new()
            .route("/", get(whoami))
            .layer(world.core.layer(policy()).unwrap())
    };
    for _ in 0..2 {
        let expected = format!("{} arm true", demo::ALICE_OID);
        let answer = text(app(), with_token(&token)).await;
        assert_eq!(answer, (StatusCode::OK, expected));
    }
    let (status, body) = text(app(), request()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("missing-token"), "{body}");
}

#[tokio::test]
async fn a_handler_that_asks_for_what_no_layer_gives_fails_and_says_nothing() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let router = || Router::new().route("/", get(whoami));
    let validated = Policy::new(AccessPolicy::any_scope([demo::API_SCOPE]));
    let failed = (StatusCode::INTERNAL_SERVER_ERROR, String::new());
    for app in [
        router(),
        router().layer(world.core.layer(Policy::public()).unwrap()),
        router().layer(world.core.layer(validated).unwrap()),
    ] {
        assert_eq!(text(app, with_token(&token)).await, failed);
    }
}

#[tokio::test]
async fn what_is_shown_of_a_request_head_is_no_token() {
    let request = with_token("caller-token-must-not-be-seen");
    let shown = format!("{:?}", tower_obo::Head::from(&request));
    assert!(!shown.contains("must-not-be-seen"), "{shown}");
    let mut request = Request::new(());
    *request.uri_mut() = "/path?code=query-must-not-be-seen".parse().unwrap();
    let shown = format!("{:?}", tower_obo::Head::from(&request));
    assert!(!shown.contains("must-not-be-seen"), "{shown}");
}

#[test]
fn rejections_can_be_sent_between_threads() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Rejection>();
    check::<Principal>();
    check::<DownstreamToken>();
    check::<tower_obo::Downstreams>();
    check::<tower_obo::Core>();
    check::<tower_obo::OboLayer>();
}
