//! KS-01 … KS-05, KS-09: keys that come, go, stay away, or are made up.

use std::{sync::Arc, time::Duration};

use entra_emulator::{Endpoint, Fault, demo};
use http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;
use tower_obo::{Clock, Entra, TokenDefect};

use crate::{
    answer::Answer,
    fixture::{World, with_token},
    forge::{base64url, parts},
};

/// How long made-up key ids cause no further fetch.
const COOL_DOWN: Duration = Duration::from_secs(300);

const DAYS: i64 = 5 * 24 * 3600;

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
    // Whoever brings no token or a malformed one is told so all the same.
    let answer = world.refused("none", crate::fixture::request()).await;
    answer.asks_for_a_token("none");

    world.entra.clear_faults();
    world.clock.advance(Duration::from_secs(2));
    world.accepted("once the keys are there", &token).await;
    assert!(world.core.is_ready());
}

#[tokio::test]
async fn ks_02_the_last_good_keys_serve_for_a_day_and_no_longer() {
    let world = World::start().await;
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
    until("the new key", || {
        let policy = world.core.bind(crate::fixture::policy());
        let request = with_token(&new);
        let decision = world.core.decide(&(&request).into(), &policy);
        !matches!(decision, tower_obo::Decision::Refuse(_))
    })
    .await;
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

#[tokio::test]
async fn ks_03_made_up_key_ids_cause_one_fetch_and_ks_04_a_new_key_is_learned_after_it() {
    let world = Arc::new(World::start().await);
    let good = world.entra.user_token("alice");
    world.accepted("before", &good).await;
    let fetched = world.entra.count(Endpoint::Keys);
    flood(&world, &good, 10_000).await;
    assert_eq!(world.entra.count(Endpoint::Keys), fetched + 1);

    world.entra.rotate_keys();
    let new = world.entra.user_token("bob");
    world
        .invalid("not learned yet", TokenDefect::UnknownKey, &new)
        .await;
    flood(&world, &good, 100).await;
    assert_eq!(world.entra.count(Endpoint::Keys), fetched + 1);

    world.clock.advance(COOL_DOWN);
    flood(&world, &good, 100).await;
    world.accepted("learned", &new).await;
    assert_eq!(world.entra.count(Endpoint::Keys), fetched + 2);
}

/// Tokens that differ in their made-up key ids, a hundred at a time, with good ones in between.
async fn flood(world: &Arc<World>, good: &str, tokens: usize) {
    let asked = world.exchanges_asked();
    let mut tasks = JoinSet::new();
    for batch in 0..100 {
        let (world, good) = (Arc::clone(world), good.to_owned());
        tasks.spawn(async move {
            for at in 0..tokens / 100 {
                let kid = format!("made-up-{batch}-{at}");
                let header = json!({"alg": "RS256", "kid": kid}).to_string();
                let [_, payload, signature] = parts(&good);
                let token = format!("{}.{payload}.{signature}", base64url(header));
                let answer = world.get(&token).await;
                answer.is_invalid_token("made up");
            }
            assert_eq!(world.get(&good).await.status, StatusCode::OK);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(world.exchanges_asked(), asked);
}

/// A passing fault while the keys rotate must not cost everybody with a new token a whole cool-down.
#[tokio::test]
async fn ks_04_a_fetch_that_failed_is_made_up_for_soon() {
    let world = World::start().await;
    world.entra.rotate_keys();
    let token = world.entra.token().expires_in(DAYS).sign();
    world.entra.fail(Endpoint::Keys, Fault::status(500), 1);
    world
        .invalid("the fetch failed", TokenDefect::UnknownKey, &token)
        .await;
    world.clock.advance(Duration::from_secs(1));
    world.is_valid("a second later", &token).await;
}

#[tokio::test]
async fn ks_05_an_unknown_key_waits_for_the_fetch_under_way() {
    let world = Arc::new(World::start().await);
    world.entra.rotate_keys();
    let token = world.entra.user_token("alice");
    let fetched = world.entra.count(Endpoint::Keys);
    let hold = world.entra.hold(Endpoint::Keys);
    let mut waiting = JoinSet::new();
    for _ in 0..10 {
        let (world, token) = (Arc::clone(&world), token.clone());
        waiting.spawn(async move { world.get(&token).await.status });
    }
    hold.arrived(1).await;
    hold.release();
    while let Some(status) = waiting.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    assert_eq!(world.entra.count(Endpoint::Keys), fetched + 1);
    assert_eq!(world.exchanges_asked(), 1);
}

#[tokio::test]
async fn ks_05_and_does_not_wait_for_ever() {
    let world = Arc::new(World::start().await);
    world.entra.rotate_keys();
    let token = world.entra.user_token("alice");
    let hold = world.entra.hold(Endpoint::Keys);
    let waiting = tokio::spawn({
        let (world, token) = (Arc::clone(&world), token.clone());
        async move { world.get(&token).await }
    });
    hold.arrived(1).await;
    // With nothing else to do, time goes on to where somebody's patience ends.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    waiting.await.unwrap().is_invalid_token("in time");
    let waited = begun.elapsed();
    assert!(waited <= Duration::from_secs(2), "{waited:?}");
    tokio::time::resume();
    assert_eq!(hold.waiting(), 1, "the fetch itself goes on");
    hold.release();
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
