//! What Resource Manager refuses a token for reaches whoever can mend it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use entra_emulator::{Endpoint, Fault};
use obo_demo::{Demo, Options};
use obo_tests::api::subscriptions;
use reqwest::header::WWW_AUTHENTICATE;
use serde_json::{Value, json};

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

/// Continuous access evaluation, from end to end: who says `cp1` gets tokens that a revoked session ends at
/// once, and the user's client is told what to bring.
#[tokio::test]
async fn ex_12_a_session_that_is_revoked_ends_at_the_next_request_and_a_new_sign_in_goes_on() {
    let options = |capable: bool| {
        let options = Options::free_ports();
        options.gateway(move |config| config.entra.answer_claims_challenges = capable)
    };
    let demo = Demo::start(options(true)).await.unwrap();
    let emulator = demo.emulator();
    let gateway = demo.gateway().url();
    emulator.grant_consent("alice");
    let sign_in = || {
        let token = emulator.token().user("alice");
        token.claim("xms_cc", json!(["cp1"])).sign()
    };
    let token = sign_in();
    assert_eq!(subscriptions(gateway, Some(&token)).await.status(), 200);
    let request = &emulator.requests(Endpoint::Token)[0];
    let declared = request.parameter("claims").unwrap();
    assert!(declared.contains("cp1"), "{declared}");

    emulator.revoke_sessions("alice");
    for _ in 0..3 {
        let answer = subscriptions(gateway, Some(&token)).await;
        assert_eq!(answer.status(), 401);
        let challenge = answer.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        let challenges = http_auth::parse_challenges(challenge).unwrap();
        let value = |name: &str| {
            let mut params = challenges[0].params.iter();
            let (_, value) = params.find(|(known, _)| *known == name).unwrap();
            value.to_unescaped()
        };
        assert_eq!(value("error"), "insufficient_claims");
        let claims = STANDARD.decode(value("claims")).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["access_token"]["nbf"]["essential"], true, "{claims}");
    }
    // Resource Manager has seen the token once more, and nobody since.
    let arm = emulator.count(Endpoint::Arm);
    assert_eq!((arm, emulator.count(Endpoint::Token)), (2, 1));

    let again = sign_in();
    assert_eq!(subscriptions(gateway, Some(&again)).await.status(), 200);
    demo.shutdown().await;

    // Who does not say it keeps the token until it ends, as Entra ID has it.
    let demo = Demo::start(options(false)).await.unwrap();
    let gateway = demo.gateway().url();
    let token = demo.emulator().user_token("alice");
    assert_eq!(subscriptions(gateway, Some(&token)).await.status(), 200);
    demo.emulator().revoke_sessions("alice");
    assert_eq!(subscriptions(gateway, Some(&token)).await.status(), 200);
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
