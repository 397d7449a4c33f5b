//! KS-01 … KS-05, KS-09: keys that come, go, stay away, or are made up.

use std::time::Duration;

use entra_emulator::{Endpoint, Fault, demo};
use http::StatusCode;
use serde_json::json;
use tower_obo::{Clock, Decision, Entra, RejectionKind, TokenDefect};

use crate::{
    answer::Answer,
    fixture::{World, with_token},
    forge::{base64url, parts},
};

/// How long made-up key ids cause no further fetch.
pub(crate) const COOL_DOWN: Duration = Duration::from_secs(300);

pub(crate) const DAYS: i64 = 5 * 24 * 3600;

fn unavailable(answer: &Answer, case: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{case}");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&wait), "{case}: {wait}");
    assert!(answer.challenge().is_none(), "{case}");
}

#[tokio::test]
async fn ks_01_without_keys_nobody_is_served_until_they_come() {
    let contoso = Entra::tenant(demo::CONTOSO);
    let world = World::without_keys(contoso, |builder| builder).await;
    let token = world.entra.user_token("alice");
    world
        .entra
        .fail(Endpoint::Discovery, Fault::status(500), 1_000);
    assert!(!world.core.is_ready());
    world.core.start();
    for attempt in 0..3 {
        let case = format!("attempt {attempt}");
        let answer = world.refused(&case, with_token(&token)).await;
        unavailable(&answer, &case);
        assert_eq!(answer.problem_type(), "keys-not-loaded");
        assert!(!world.core.is_ready());
        world.clock.advance(Duration::from_secs(2));
    }
    // Whoever brings no token or one that no key could make good is told so all the same.
    let answer = world.refused("none", crate::fixture::request()).await;
    answer.asks_for_a_token("none");
    let policy = world.core.bind(crate::fixture::policy()).unwrap();
    let [header, payload, signature] = parts(&token);
    let unsigned = base64url(json!({"alg": "none", "kid": "x"}).to_string());
    for (defect, token) in [
        (TokenDefect::Form, "x".to_owned()),
        (
            TokenDefect::Encoding,
            format!("{header}.{payload}=.{signature}"),
        ),
        (
            TokenDefect::Algorithm,
            format!("{unsigned}.{payload}.{signature}"),
        ),
        (
            TokenDefect::Audience,
            world.entra.token().claim("aud", "api://other").sign(),
        ),
        (
            TokenDefect::Tenant,
            world.entra.token().claim("tid", demo::FABRIKAM).sign(),
        ),
        (
            TokenDefect::Expired,
            world.entra.token().expires_in(-3600).sign(),
        ),
    ] {
        let decision = world.core.decide(&(&with_token(&token)).into(), &policy);
        let Decision::Refuse(rejection) = decision else {
            panic!("{defect:?}: {decision:?}");
        };
        assert_eq!(rejection.kind(), RejectionKind::InvalidToken(defect));
    }

    world.entra.clear_faults();
    world.clock.advance(Duration::from_secs(2));
    world.accepted("once the keys are there", &token).await;
    assert!(world.core.is_ready());
}

/// Long enough that no machine is too slow for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn ks_02_the_last_good_keys_serve_for_a_day_and_no_longer() {
    let world = World::callers_alone(|builder| builder.with_key_wait(PATIENCE)).await;
    let fetched_at = world.clock.now();
    let good = world.entra.token().expires_in(DAYS).sign();
    let weak = json!({"kty": "RSA", "kid": "weak", "n": base64url([0xff; 128]), "e": "AQAB"});
    let bad = [
        Fault::status(500),
        Fault::status(404),
        Fault::status(204),
        Fault::status(200),
        Fault::status(200).body("<html><body>Maintenance</body></html>"),
        Fault::status(200).json(&json!({"keys": []})),
        Fault::status(200).json(&json!({"keys": {}})),
        Fault::status(200).json(&json!({})),
        Fault::status(200).json(&json!([])),
        Fault::status(200).json(&json!({"keys": [weak]})),
        Fault::status(200).json(&json!({"keys": [{"kty": "oct", "kid": "o", "k": "AAAA"}]})),
        Fault::status(200).body(format!("{{\"keys\":[{}", " ".repeat(64 * 1024 * 1024))),
        Fault::status(200).body("{\"keys\":[".repeat(10_000)),
    ];
    for (at, fault) in bad.into_iter().enumerate() {
        let case = format!("answer {at}");
        world.clock.advance(COOL_DOWN);
        let fetched = world.entra.count(Endpoint::Keys);
        world.entra.fail(Endpoint::Keys, fault, 1);
        let unknown = world.entra.token().expires_in(DAYS);
        world
            .invalid(
                &case,
                TokenDefect::UnknownKey,
                &unknown.header("kid", "made-up").sign(),
            )
            .await;
        assert_eq!(world.entra.count(Endpoint::Keys), fetched + 1, "{case}");
        world.entra.clear_faults();
        world.is_valid(&case, &good).await;
    }
    let broken = || {
        world
            .entra
            .fail(Endpoint::Discovery, Fault::status(500), 1_000);
    };
    broken();
    world
        .clock
        .set(fetched_at + Duration::from_secs(24 * 3600 - 1));
    world.is_valid("the last second", &good).await;
    world.clock.advance(Duration::from_secs(1));
    let answer = world.refused("too old", with_token(&good)).await;
    unavailable(&answer, "too old");
    assert!(!world.core.is_ready());
    world.entra.clear_faults();
    world.clock.advance(Duration::from_secs(10));
    world.is_valid("recovered", &good).await;
}

/// Nobody asks for it, and no key is unknown: the timer alone finds the new key.
#[tokio::test]
async fn keys_are_refreshed_in_the_background_within_twelve_hours() {
    let world = World::without_keys(Entra::tenant(demo::CONTOSO), |builder| builder).await;
    world.core.start();
    until("the first fetch", || world.core.is_ready()).await;
    let fetched = world.entra.count(Endpoint::Keys);
    world.entra.rotate_keys();
    for (hours, times) in [(11, 0), (1, 1)] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(hours * 3600)).await;
        tokio::time::resume();
        let due = || world.entra.count(Endpoint::Keys) == fetched + times;
        until("the refresh", due).await;
    }
    // The new set is in use as soon as its fetch has been read.
    let new = world.entra.user_token("alice");
    until("the new key", || is_known(&world, &new)).await;
    assert_eq!(world.entra.count(Endpoint::Keys), fetched + 1);
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(ended.is_ok(), "{what} never came");
}

/// Nobody's request has it tried again at once; the next one that may finds the key.
#[tokio::test]
async fn ks_04_after_a_fetch_that_failed_the_next_one_that_is_due_learns_the_key() {
    for (endpoint, fault) in [
        (Endpoint::Keys, Fault::status(500)),
        (Endpoint::Discovery, Fault::status(503)),
        (Endpoint::Keys, Fault::reset()),
    ] {
        let world = World::callers_alone(|builder| builder.with_key_wait(PATIENCE)).await;
        world.entra.rotate_keys();
        let token = world.entra.token().expires_in(DAYS).sign();
        let asked = || world.entra.count(endpoint);
        let before = asked();
        world.entra.fail(endpoint, fault, 1);
        for _ in 0..2 {
            world
                .invalid("the fetch failed", TokenDefect::UnknownKey, &token)
                .await;
        }
        assert_eq!(asked(), before + 1);
        world.clock.advance(COOL_DOWN);
        world.is_valid("the next fetch", &token).await;
    }
}

/// A fault of a moment must not cost those who come with a new key the whole cool-down.
#[tokio::test]
async fn ks_04_a_fetch_that_failed_is_tried_again_in_the_background_whoever_asks() {
    let world = World::with(|builder| builder.with_key_wait(PATIENCE)).await;
    world.entra.rotate_keys();
    let token = world.entra.token().expires_in(DAYS).sign();
    let asked = || world.entra.count(Endpoint::Keys);
    let before = asked();
    world.entra.fail(Endpoint::Keys, Fault::status(500), 2);
    world
        .invalid("the fetch failed", TokenDefect::UnknownKey, &token)
        .await;
    // After one second, and after two more, by nobody's request.
    for (seconds, fetches) in [(1, 2), (2, 3)] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        until("the next attempt", || asked() == before + fetches).await;
    }
    until("the new key", || is_known(&world, &token)).await;
    assert_eq!(asked(), before + 3);
}

/// Whether the token's key is there, without a fetch for it.
fn is_known(world: &World, token: &str) -> bool {
    let policy = world.core.bind(crate::fixture::policy()).unwrap();
    let decision = world.core.decide(&(&with_token(token)).into(), &policy);
    !matches!(decision, Decision::Refuse(_))
}

#[tokio::test]
async fn ks_02_ks_03_the_age_of_keys_and_the_cool_down_are_settings() {
    let (age, cool_down) = (Duration::from_secs(3600), Duration::from_secs(10));
    let world = World::with(|builder| {
        builder
            .with_key_max_age(age)
            .with_unknown_key_cool_down(cool_down)
    })
    .await;
    let fetched_at = world.clock.now();
    let good = world.entra.token().expires_in(DAYS).sign();
    let made_up = world
        .entra
        .token()
        .expires_in(DAYS)
        .header("kid", "made-up");
    let made_up = made_up.sign();
    let fetched = world.entra.count(Endpoint::Keys);
    for (passed, times) in [(0, 1), (9, 1), (1, 2)] {
        world.clock.advance(Duration::from_secs(passed));
        let case = format!("{passed} s later");
        world
            .invalid(&case, TokenDefect::UnknownKey, &made_up)
            .await;
        assert_eq!(world.entra.count(Endpoint::Keys), fetched + times, "{case}");
    }
    world
        .entra
        .fail(Endpoint::Discovery, Fault::status(500), 1_000);
    let end = fetched_at + cool_down + age;
    world.clock.set(end.saturating_sub(Duration::from_secs(1)));
    world.is_valid("the last second", &good).await;
    world.clock.set(end);
    let answer = world.refused("too old", with_token(&good)).await;
    unavailable(&answer, "too old");
}

#[test]
fn settings_that_would_accept_or_ask_without_end_are_refused() {
    let (client, secret) = (demo::API_CLIENT_ID, tower_obo::Credential::secret("s"));
    let errors = tower_obo::Core::builder(Entra::tenant(demo::CONTOSO))
        .client(client, secret)
        .with_algorithms([])
        .with_unknown_key_cool_down(Duration::ZERO)
        .with_key_max_age(Duration::from_secs(60))
        .build()
        .unwrap_err();
    let wrong: Vec<_> = errors.iter().map(|error| error.setting).collect();
    assert_eq!(
        wrong,
        ["unknown_key_cool_down", "key_max_age", "algorithms"]
    );
}

#[test]
fn settings_that_would_refuse_everything_or_cannot_be_counted_are_refused() {
    let (client, secret) = (demo::API_CLIENT_ID, tower_obo::Credential::secret("s"));
    let errors = tower_obo::Core::builder(Entra::tenant(demo::CONTOSO))
        .client(client, secret)
        .max_exchanges(usize::MAX)
        .with_max_token_bytes(0)
        .build()
        .unwrap_err();
    let wrong: Vec<_> = errors.iter().map(|error| error.setting).collect();
    assert_eq!(wrong, ["max_exchanges", "max_token_bytes"]);
}

/// It was twelve hours ahead when the machine came up, and has been corrected since.
#[tokio::test]
async fn ks_04_a_clock_that_is_set_back_does_not_stretch_the_cool_down() {
    let world = World::start().await;
    let (now, ahead) = (world.clock.now(), Duration::from_secs(12 * 3600));
    world.clock.advance(ahead);
    let made_up = world
        .entra
        .token()
        .expires_in(DAYS)
        .header("kid", "made-up");
    world
        .invalid("made up", TokenDefect::UnknownKey, &made_up.sign())
        .await;
    world.clock.set(now);
    world.entra.rotate_keys();
    world
        .is_valid("a new key", &world.entra.token().sign())
        .await;
}

/// The v2.0 document, which is asked for first, is a good one.
#[tokio::test]
async fn ks_02_a_fault_of_the_v1_document_alone_leaves_the_last_good_issuers() {
    for fault in [
        Fault::status(500),
        Fault::status(302).header("location", "https://evil.example/"),
        Fault::status(200).body("<html>"),
        Fault::status(200).json(&json!({"issuer": format!("https://evil.example/{}/", demo::CONTOSO),
            "jwks_uri": "https://evil.example/keys", "token_endpoint": "https://evil.example/token"})),
    ] {
        let world = World::callers_alone(|builder| builder).await;
        let case = format!("{fault:?}");
        world.clock.advance(COOL_DOWN);
        let fetched = world.entra.count(Endpoint::Discovery);
        // What may pass is tried once more.
        for fault in [&Fault::slow(Duration::ZERO), &fault].repeat(2) {
            world.entra.fail(Endpoint::Discovery, fault.clone(), 1);
        }
        let made_up = world.entra.token().header("kid", "made-up").sign();
        world
            .invalid(&case, TokenDefect::UnknownKey, &made_up)
            .await;
        assert!(world.entra.count(Endpoint::Discovery) >= fetched + 2, "{case}");
        let token = world.entra.token().v1().sign();
        world.is_valid(&case, &token).await;
    }
}

#[tokio::test]
async fn ks_09_a_key_that_is_withdrawn_takes_its_tokens_with_it_and_no_others() {
    let world = World::start().await;
    let (old, alice) = (world.entra.current_kid(), world.entra.user_token("alice"));
    world.entra.rotate_keys();
    let bob = world.entra.user_token("bob");
    world.accepted("old key", &alice).await;
    world.accepted("new key", &bob).await;
    let asked = world.exchanges_asked();

    assert!(world.entra.withdraw_key(&old));
    world.accepted("before the refresh", &alice).await;
    world.clock.advance(COOL_DOWN);
    let made_up = world.entra.token().header("kid", "made-up").sign();
    world
        .invalid("it sets off a refresh", TokenDefect::UnknownKey, &made_up)
        .await;
    world
        .invalid("withdrawn", TokenDefect::UnknownKey, &alice)
        .await;
    let again = world.entra.token().key(&old).sign();
    world
        .invalid(
            "another of the withdrawn key",
            TokenDefect::UnknownKey,
            &again,
        )
        .await;
    world.accepted("the other key's", &bob).await;
    assert_eq!(world.exchanges_asked(), asked, "nobody was exchanged again");
}
