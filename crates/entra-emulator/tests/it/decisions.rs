//! Token requests opened up: what was checked, and why they were refused.

use std::time::Duration;

use entra_emulator::{Endpoint, Fault, demo};

use crate::support::{client, exchange, start, token};

#[tokio::test]
async fn an_exchange_says_what_was_checked() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    exchange(&emulator, &assertion, &[]).await;
    let decisions = emulator.decisions();
    let [decision] = &decisions[..] else {
        panic!("{decisions:?}");
    };
    assert_eq!(decision.grant, "on_behalf_of");
    assert_eq!(decision.client, "Subscriptions API");
    assert_eq!(decision.user, "alice@contoso.example");
    assert_eq!(decision.tenant, demo::CONTOSO);
    assert_eq!(
        decision.scope,
        "https://management.azure.com/user_impersonation"
    );
    assert_eq!(decision.refused, None);
    let passed = decision.passed.join("; ");
    for check in [
        "by its secret",
        "signed by one of our keys",
        "is for Subscriptions API",
        "enabled",
        "not revoked",
        "consented to",
    ] {
        assert!(passed.contains(check), "{check}: {passed}");
    }
}

#[tokio::test]
async fn a_fault_that_came_in_place_of_an_answer_is_said() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    emulator.fail(Endpoint::Token, Fault::status(429), 1);
    emulator.fail(Endpoint::Token, Fault::slow(Duration::ZERO), 1);
    emulator.fail(Endpoint::Keys, Fault::status(503), 1);
    exchange(&emulator, &assertion, &[]).await;
    exchange(&emulator, &assertion, &[]).await;
    let decisions = emulator.decisions();
    let [throttled, late] = &decisions[..] else {
        panic!("{decisions:?}");
    };
    assert_eq!(throttled.fault.as_deref(), Some("status 429"));
    assert_eq!(throttled.grant, "on_behalf_of");
    assert_eq!(throttled.tenant, demo::CONTOSO);
    assert_eq!(throttled.client, demo::API_CLIENT_ID);
    assert!(throttled.passed.is_empty() && throttled.refused.is_none());
    // This one came late, and was an answer.
    assert!(late.fault.is_none() && !late.passed.is_empty());
    let home = client().get(emulator.url()).send().await.unwrap();
    let home = home.text().await.unwrap();
    assert!(home.contains("<strong>status 429</strong>"), "{home}");
}

#[tokio::test]
async fn a_refusal_says_how_far_it_came_and_nothing_secret_is_kept() {
    let emulator = start().await;
    let assertion = emulator.user_token("carol");
    exchange(&emulator, &assertion, &[]).await;
    exchange(
        &emulator,
        &assertion,
        &[("client_secret", "my-wrong-secret")],
    )
    .await;
    token(
        &emulator,
        &[
            ("grant_type", "password"),
            ("client_id", "who"),
            ("password", "my-password"),
        ],
    )
    .await;
    let decisions = emulator.decisions();
    let [mfa, secret, grant] = &decisions[..] else {
        panic!("{decisions:?}");
    };
    let refused = mfa.refused.as_ref().unwrap();
    assert_eq!(
        (refused.code, refused.status, refused.challenge),
        (50076, 400, true)
    );
    assert!(mfa.passed.last().unwrap().contains("consented to"));
    let refused = secret.refused.as_ref().unwrap();
    assert_eq!(
        (refused.code, refused.status, refused.challenge),
        (7_000_215, 401, false)
    );
    assert!(secret.passed.is_empty() && secret.client == demo::API_CLIENT_ID);
    assert_eq!((&*grant.grant, &*grant.client), ("password", "who"));

    let text = client()
        .get(format!("{}/emulator/token-requests", emulator.url()))
        .header("x-entra-emulator", "1")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(text.contains("\"code\":50076"), "{text}");
    let signature = assertion.rsplit('.').next().unwrap();
    for kept in [
        "my-wrong-secret",
        "my-password",
        demo::API_CLIENT_SECRET,
        signature,
    ] {
        assert!(!text.contains(kept), "{kept}: {text}");
    }
}
