//! What is not let through: the right answer, and nothing of it reaches the backend.

use entra_emulator::{Endpoint, demo as ids};
use obo_demo::{Demo, Options};
use obo_tests::api::{client, subscriptions};
use reqwest::{Response, header::WWW_AUTHENTICATE};
use serde_json::{Value, json};

async fn refused(demo: &Demo, token: Option<&str>) -> (u16, String, Value) {
    let exchanges = demo.emulator().count(Endpoint::Token);
    let answer = subscriptions(demo.gateway().url(), token).await;
    let read = read(answer, token).await;
    assert_eq!(demo.backend().requests(), 0, "the backend sees nothing");
    assert_eq!(
        demo.emulator().count(Endpoint::Token),
        exchanges,
        "nor does Entra ID"
    );
    read
}

/// Status, challenge and problem; nothing of the token is in any of them.
async fn read(answer: Response, token: Option<&str>) -> (u16, String, Value) {
    let status = answer.status().as_u16();
    let request_id = answer.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let headers = format!("{:?}", answer.headers());
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let challenge = answer.headers().get(WWW_AUTHENTICATE);
    let challenge = challenge
        .map_or("", |value| value.to_str().unwrap())
        .to_owned();
    let body = answer.text().await.unwrap();
    for part in token.into_iter().flat_map(|token| token.split('.')) {
        assert!(part.len() < 8 || !(headers.contains(part) || body.contains(part)));
    }
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["request_id"], request_id);
    assert!(
        problem["correlation_id"]
            .as_str()
            .is_some_and(|id| id.len() == 36)
    );
    (status, challenge, problem)
}

#[tokio::test]
async fn no_token_is_answered_with_a_bare_challenge() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let (status, challenge, problem) = refused(&demo, None).await;
    assert_eq!((status, challenge.as_str()), (401, "Bearer realm=\"\""));
    assert_eq!(problem["actor"], "caller");
    demo.shutdown().await;
}

#[tokio::test]
async fn tampered_expired_and_foreign_tokens_are_invalid() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let emulator = demo.emulator();
    let good = emulator.user_token("alice");
    let mut tampered = good.clone().into_bytes();
    let middle = good.find('.').unwrap() + 40;
    tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
    for (what, token) in [
        ("tampered", String::from_utf8(tampered).unwrap()),
        (
            "expired",
            emulator
                .token()
                .user("alice")
                .claim("exp", json!(1_700_000_000))
                .sign(),
        ),
        ("of another tenant", emulator.token().user("erin").sign()),
        ("for another API", emulator.arm_token("alice")),
        ("no token at all", "abc.def.ghi".to_owned()),
    ] {
        let (status, challenge, problem) = refused(&demo, Some(&token)).await;
        assert_eq!(status, 401, "{what}");
        assert!(
            challenge.contains("error=\"invalid_token\""),
            "{what}: {challenge}"
        );
        assert_eq!(
            problem["type"], "urn:tower-obo:problem:invalid-token",
            "{what}"
        );
    }
    demo.shutdown().await;
}

#[tokio::test]
async fn tokens_that_do_not_grant_the_access_are_forbidden() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let emulator = demo.emulator();
    for (what, token) in [
        ("app-only", emulator.token().app_only().sign()),
        (
            "an ID token",
            emulator
                .token()
                .user("alice")
                .id_token()
                .claim("aud", json!(ids::API_CLIENT_ID))
                .sign(),
        ),
        (
            "another scope",
            emulator
                .token()
                .user("alice")
                .claim("scp", json!("other"))
                .sign(),
        ),
    ] {
        let (status, challenge, _) = refused(&demo, Some(&token)).await;
        assert_eq!(status, 403, "{what}");
        assert!(
            challenge.contains("error=\"insufficient_scope\""),
            "{what}: {challenge}"
        );
        assert!(
            challenge.contains("scope=\"access_as_user\""),
            "{what}: {challenge}"
        );
    }
    demo.shutdown().await;
}

#[tokio::test]
async fn a_user_who_has_to_do_more_gets_the_claims_and_one_without_consent_is_told() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let emulator = demo.emulator();
    let carol = emulator.user_token("carol");
    let answer = subscriptions(demo.gateway().url(), Some(&carol)).await;
    let (status, challenge, problem) = read(answer, Some(&carol)).await;
    assert_eq!(status, 401);
    assert!(
        challenge.contains("error=\"insufficient_claims\""),
        "{challenge}"
    );
    assert!(challenge.contains("claims=\"ey"), "{challenge}");
    assert!(problem["aadsts"].as_str().unwrap().starts_with("AADSTS500"));

    let bob = emulator.user_token_without_consent("bob");
    let answer = subscriptions(demo.gateway().url(), Some(&bob)).await;
    let (status, challenge, problem) = read(answer, Some(&bob)).await;
    assert_eq!((status, challenge.as_str()), (403, ""));
    assert_eq!(problem["type"], "urn:tower-obo:problem:consent-required");
    assert_eq!(problem["aadsts"], "AADSTS65001");
    assert_eq!(demo.backend().requests(), 0);
    demo.shutdown().await;
}

#[tokio::test]
async fn paths_and_methods_that_no_route_has_are_not_there() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let token = demo.emulator().user_token("alice");
    let gateway = demo.gateway().url();
    let get = client()
        .get(format!("{gateway}/admin"))
        .bearer_auth(&token)
        .send();
    assert_eq!(get.await.unwrap().status(), 404);
    let post = client()
        .post(format!("{gateway}/subscriptions"))
        .bearer_auth(&token)
        .send();
    let post = post.await.unwrap();
    assert_eq!(post.status(), 405);
    assert!(post.headers()["allow"].to_str().unwrap().contains("GET"));
    assert_eq!(demo.backend().requests(), 0);
    demo.shutdown().await;
}
