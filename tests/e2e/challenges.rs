//! What Resource Manager refuses a token for reaches whoever can mend it.

use entra_emulator::{Endpoint, Fault};
use obo_demo::{Demo, Options};
use obo_tests::api::subscriptions;
use reqwest::header::WWW_AUTHENTICATE;
use serde_json::Value;

/// `{"access_token":{}}`
const CLAIMS: &str = "eyJhY2Nlc3NfdG9rZW4iOnt9fQ==";

#[tokio::test]
async fn ex_12_a_claims_challenge_of_the_upstream_reaches_the_caller_and_the_token_is_dropped() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let emulator = demo.emulator();
    let token = emulator.user_token("alice");
    let gateway = demo.gateway().url();
    assert_eq!(subscriptions(gateway, Some(&token)).await.status(), 200);

    let challenge = format!(
        "Bearer authorization_uri=\"https://login.windows.net/\", error=\"invalid_token\", \
         error_description=\"User session has been revoked\", claims=\"{CLAIMS}\""
    );
    let fault = Fault::status(401).header("www-authenticate", challenge.as_str());
    emulator.fail(Endpoint::Arm, fault, 1);
    let answer = subscriptions(gateway, Some(&token)).await;
    assert_eq!(answer.status(), 401);
    let passed_on: Vec<_> = answer.headers().get_all(WWW_AUTHENTICATE).iter().collect();
    let [passed_on] = passed_on[..] else {
        panic!("one challenge, not {passed_on:?}");
    };
    let passed_on = passed_on.to_str().unwrap();
    assert!(
        passed_on.contains("error=\"insufficient_claims\""),
        "{passed_on}"
    );
    assert!(
        passed_on.contains(&format!("claims=\"{CLAIMS}\"")),
        "{passed_on}"
    );
    assert!(
        passed_on.contains(emulator.url()),
        "where to sign in: {passed_on}"
    );
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], "urn:tower-obo:problem:insufficient-claims");

    // A client that goes on with the old token gets the same answer, and causes nothing.
    let asked = || {
        (
            emulator.count(Endpoint::Token),
            emulator.count(Endpoint::Arm),
        )
    };
    assert_eq!(asked(), (1, 2));
    for _ in 0..20 {
        let again = subscriptions(gateway, Some(&token)).await;
        assert_eq!(again.status(), 401);
        let challenge = again.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(
            challenge.contains(&format!("claims=\"{CLAIMS}\"")),
            "{challenge}"
        );
    }
    assert_eq!(asked(), (1, 2));
    // A user who has done what was asked comes with a new one.
    let new = emulator.user_token("alice");
    assert_eq!(subscriptions(gateway, Some(&new)).await.status(), 200);
    demo.shutdown().await;
}

#[tokio::test]
async fn ex_13_an_upstream_that_always_says_401_is_passed_on_and_causes_no_storm() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let emulator = demo.emulator();
    let token = emulator.user_token("alice");
    emulator.fail(
        Endpoint::Arm,
        Fault::status(401).header("x-ms-request-id", "its-own"),
        20,
    );
    for _ in 0..20 {
        let answer = subscriptions(demo.gateway().url(), Some(&token)).await;
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["x-ms-request-id"], "its-own");
    }
    assert_eq!(emulator.count(Endpoint::Token), 2);
    demo.shutdown().await;
}
