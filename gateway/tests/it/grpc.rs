//! gRPC calls are refused in the form of gRPC: trailers only, the outcome in `grpc-status`.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use entra_emulator::{Endpoint, Fault};
use http::{HeaderMap, Request};

use crate::{
    client::in_time,
    http2::connect,
    rig::{PUBLIC, Rig},
    upstream::{Reply, Seen, ok},
};

const ROUTES: &str = "[[route]]\npath = '/pkg.Service/*'\ndownstream = 'arm'\n\
     [[route]]\npath = '/get'\nmethods = ['GET']\n\
     [[route]]\npath = '/open/*'\naccess = 'public'";

/// A call without a message, with this token if there is one.
fn call(path: &str, token: &str) -> Request<()> {
    let mut call = Request::post(format!("http://gw{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    if !token.is_empty() {
        call = call.header("authorization", format!("Bearer {token}"));
    }
    call.body(()).unwrap()
}

/// The head of the answer, which is all of it, in the form that gRPC calls trailers only.
async fn refused(rig: &Rig, call: Request<()>) -> HeaderMap {
    let (mut client, _connection) = connect(rig).await;
    let (answer, _) = client.send_request(call, true).unwrap();
    let answer = in_time(answer).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(answer.body().is_end_stream(), "{answer:?}");
    let headers = answer.headers();
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["cache-control"], "no-store");
    assert!(!headers["grpc-message"].is_empty());
    assert_eq!(headers.get_all("x-request-id").iter().count(), 1);
    assert_eq!(headers.get_all("grpc-status").iter().count(), 1);
    headers.clone()
}

#[tokio::test]
async fn hd_15_a_grpc_call_without_a_fit_token_is_refused_with_the_challenge_in_the_metadata() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    let emulator = rig.emulator.as_ref().unwrap();
    let path = "/pkg.Service/Method";
    for (token, status, error) in [
        (String::new(), "16", None),
        ("garbage".to_owned(), "16", Some("invalid_token")),
        (
            emulator.token().claim("scp", "other").sign(),
            "7",
            Some("insufficient_scope"),
        ),
        (rig.token("carol"), "16", Some("insufficient_claims")),
    ] {
        let headers = refused(&rig, call(path, &token)).await;
        assert_eq!(headers["grpc-status"], status, "{error:?}");
        let challenge = headers["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        match error {
            Some(error) => assert!(challenge.contains(&format!("error=\"{error}\""))),
            None => assert!(!challenge.contains("error")),
        }
    }
    emulator.fail(
        Endpoint::Token,
        Fault::status(429).header("retry-after", "7"),
        1,
    );
    let headers = refused(&rig, call(path, &rig.token("alice"))).await;
    assert_eq!(headers["grpc-status"], "14");
    assert_eq!(headers["retry-after"], "7");
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn hd_15_what_the_gateway_refuses_itself_has_the_form_of_grpc_too() {
    let rig = Rig::new(
        ROUTES,
        |_| ok(),
        |config| {
            config.limits.target_bytes = 1024;
            config.allowed_hosts = vec!["gw".parse().unwrap()];
        },
    )
    .await;
    let mut elsewhere = call("/open/x", "");
    *elsewhere.uri_mut() = "http://elsewhere/open/x".parse().unwrap();
    let long = format!("/open/{}", "x".repeat(2000));
    let mut two_hosts = call("/open/x", "");
    two_hosts
        .headers_mut()
        .insert("host", "other".parse().unwrap());
    for (case, status) in [
        (call("/nowhere", ""), "12"),
        (call("/get", ""), "12"),
        (call("/open/%zz", ""), "3"),
        (two_hosts, "3"),
        (call(&long, ""), "8"),
        (elsewhere, "14"),
    ] {
        let uri = case.uri().clone();
        let headers = refused(&rig, case).await;
        assert_eq!(headers["grpc-status"], status, "{uri}");
        let message = headers["grpc-message"].to_str().unwrap();
        if uri.path() == "/open/%zz" {
            assert!(message.contains("a `%25` that"), "{message}");
        }
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn hd_15_too_many_calls_and_a_bad_upstream_are_unavailable_and_a_silent_one_too_late() {
    let silent = Rig::public_with(
        |_| Reply::Hang(String::new()),
        |config| {
            config.limits.requests = 1;
            config.limits.response_timeout = Duration::from_secs(2);
        },
    )
    .await;
    let first = refused(&silent, call("/x", ""));
    let second = async {
        silent.upstream.until_seen(1).await;
        refused(&silent, call("/x", "")).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first["grpc-status"], "4");
    assert_eq!(second["grpc-status"], "14");
    assert_eq!(second["retry-after"], "1");

    let broken = Rig::new(PUBLIC, |_| Reply::Close(String::new()), |_| {}).await;
    let headers = refused(&broken, call("/x", "")).await;
    assert_eq!(headers["grpc-status"], "14");
}

#[tokio::test]
async fn hd_15_a_claims_challenge_of_the_upstream_reaches_a_grpc_caller_in_the_metadata() {
    let claims = STANDARD.encode(r#"{"access_token":{"nbf":{"essential":true}}}"#);
    let challenge = format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nwww-authenticate: Bearer \
         error=\"insufficient_claims\", claims=\"{claims}\"\r\n\r\n"
    );
    let reply = challenge.clone();
    let rig = Rig::new(ROUTES, move |_| Reply::Keep(reply.clone()), |_| {}).await;
    let headers = refused(&rig, call("/pkg.Service/Method", &rig.token("alice"))).await;
    assert_eq!(headers["grpc-status"], "16");
    let challenge = headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains(&format!("claims=\"{claims}\"")));
    assert_eq!(rig.upstream.seen().len(), 1);
}

/// As gRPC servers say it: status 200, and all in the headers.
fn unauthenticated() -> Reply {
    let claims = STANDARD.encode(r#"{"access_token":{"nbf":{"essential":true}}}"#);
    Reply::Keep(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\
         grpc-status: 16\r\nwww-authenticate: Bearer error=\"insufficient_claims\", claims=\"{claims}\"\r\n\r\n"
    ))
}

#[tokio::test]
async fn ex_12_a_challenge_in_the_form_of_grpc_drops_the_token_as_well() {
    let rig = Rig::new(ROUTES, |_| unauthenticated(), |_| {}).await;
    let token = rig.token("alice");
    for _ in 0..2 {
        let headers = refused(&rig, call("/pkg.Service/Method", &token)).await;
        assert_eq!(headers["grpc-status"], "16");
        let challenge = headers["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains("insufficient_claims"), "{challenge}");
        assert!(challenge.contains("authorization_uri="), "{challenge}");
    }
    assert_eq!(rig.upstream.seen().len(), 1, "refused by the gateway");
}

#[tokio::test]
async fn ex_12_a_grpc_call_is_sent_again_with_a_token_for_the_claims() {
    let first = AtomicBool::new(true);
    let script = move |_: &Seen| match first.swap(false, Ordering::SeqCst) {
        true => unauthenticated(),
        false => Reply::Keep(
            "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\
             grpc-status: 0\r\n\r\n"
                .to_owned(),
        ),
    };
    let rig = Rig::new(ROUTES, script, |config| config.retry_challenges = true).await;
    let (mut client, _connection) = connect(&rig).await;
    let call = call("/pkg.Service/Method", &rig.token("alice"));
    let (answer, _) = client.send_request(call, true).unwrap();
    let answer = in_time(answer).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "0", "{answer:?}");
    let seen = rig.upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].all("authorization"), seen[1].all("authorization"));
}

#[tokio::test]
async fn others_than_grpc_calls_are_refused_in_the_form_of_http() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    // There is no gRPC over HTTP/1.
    let kinds = [
        "application/grpc",
        "application/grpc-web",
        "application/grpcx",
        "text/plain",
    ];
    for kind in kinds {
        for (path, status) in [("/pkg.Service/Method", 401), ("/nowhere", 404)] {
            let answer = rig
                .exchange(format!(
                    "POST {path} HTTP/1.1\r\nHost: gw\r\nContent-Type: {kind}\r\n\
                     Content-Length: 0\r\n\r\n"
                ))
                .await;
            assert_eq!(answer.status, status, "{kind}");
            assert!(answer.all("grpc-status").is_empty());
        }
    }
}

/// Whoever reads the status to know whether a connection can be trusted must not see 200 there.
#[tokio::test]
async fn h1_03_bad_framing_is_said_in_the_form_of_http_whatever_the_content_type_says() {
    let rig = Rig::public().await;
    for (field, status) in [
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Host: other", 400),
    ] {
        let answer = rig
            .exchange(format!(
                "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Type: application/grpc\r\n\
                 {field}\r\n\r\n0\r\n\r\n"
            ))
            .await;
        assert_eq!(answer.status, status, "{field}");
        assert!(answer.all("grpc-status").is_empty(), "{field}");
    }
    rig.assert_nothing_reached_the_upstream();
}
