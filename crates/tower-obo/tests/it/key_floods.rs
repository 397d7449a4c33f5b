//! KS-01, KS-03, KS-04: key ids that are made up, in any number.

use std::{sync::Arc, time::Duration};

use entra_emulator::{Endpoint, Fault, demo};
use http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;
use tower_obo::{Clock, Entra, TokenDefect};

use crate::{
    fixture::World,
    forge::{base64url, parts},
    keys::{COOL_DOWN, DAYS, PATIENCE},
};

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

/// An authority in trouble is asked no more often than one that is well: one fetch a cool-down.
#[tokio::test]
async fn ks_03_made_up_key_ids_cause_one_fetch_during_a_fault_too() {
    let world = Arc::new(World::callers_alone(|builder| builder.with_key_wait(PATIENCE)).await);
    world.entra.grant_consent("alice");
    let good = world.entra.token().expires_in(DAYS).sign();
    world.accepted("before", &good).await;
    let asked = || world.entra.count(Endpoint::Discovery);
    let (before, began) = (asked(), world.clock.now());
    world
        .entra
        .fail(Endpoint::Discovery, Fault::status(503), 1_000_000);
    for _ in 0..10 {
        flood(&world, &good, 1_000).await;
        assert_eq!(asked(), before + 1);
        world.clock.advance(COOL_DOWN / 10 - Duration::from_secs(1));
    }
    world.clock.set(began + COOL_DOWN);
    flood(&world, &good, 100).await;
    assert_eq!(asked(), before + 2);
    world.entra.clear_faults();
    world.entra.rotate_keys();
    let new = world.entra.token().expires_in(DAYS).sign();
    world
        .invalid("not learned yet", TokenDefect::UnknownKey, &new)
        .await;
    world.clock.advance(COOL_DOWN);
    world
        .is_valid("KS-04: learned at the next fetch", &new)
        .await;
}

/// Nobody's requests hammer an authority that has given no keys yet, whatever they name.
#[tokio::test]
async fn ks_01_ks_03_made_up_key_ids_cause_no_more_fetches_where_there_are_no_keys() {
    let contoso = Entra::tenant(demo::CONTOSO);
    let world = World::without_keys(contoso, |builder| builder).await;
    let world = Arc::new(world);
    let entra = &world.entra;
    entra.fail(Endpoint::Discovery, Fault::status(503), 1_000_000);
    let good = entra.user_token("alice");
    let asked = || world.entra.count(Endpoint::Discovery);
    // Asked for again after 1, 2, 4 and 8 seconds, then every 10.
    for (seconds, fetches) in [
        (0, 1),
        (1, 2),
        (1, 2),
        (1, 3),
        (4, 4),
        (8, 5),
        (9, 5),
        (1, 6),
    ] {
        world.clock.advance(Duration::from_secs(seconds));
        let mut tasks = JoinSet::new();
        for batch in 0..20 {
            let (world, good) = (Arc::clone(&world), good.clone());
            tasks.spawn(async move {
                for at in 0..20 {
                    let header = json!({"alg": "RS256", "kid": format!("made-up-{batch}-{at}")});
                    let [_, payload, signature] = parts(&good);
                    let header = base64url(header.to_string());
                    let token = format!("{header}.{payload}.{signature}");
                    assert_eq!(world.get(&token).await.status.as_u16(), 503);
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(asked(), fetches, "{seconds} s later");
    }
    assert_eq!(world.exchanges_asked(), 0);
}

/// The pace of the background is its own: a flood changes nothing about it.
#[tokio::test]
async fn ks_03_made_up_key_ids_do_not_hasten_the_background_during_a_fault() {
    let world = Arc::new(World::with(|builder| builder.with_key_wait(PATIENCE)).await);
    world.entra.grant_consent("alice");
    let good = world.entra.token().expires_in(DAYS).sign();
    world.accepted("before", &good).await;
    let asked = || world.entra.count(Endpoint::Discovery);
    let (before, begun) = (asked(), tokio::time::Instant::now());
    world
        .entra
        .fail(Endpoint::Discovery, Fault::status(503), 1_000_000);
    for _ in 0..3 {
        flood(&world, &good, 1_000).await;
    }
    // The flood's one, and one each after 1, 2, 4 ... s.
    let passed = begun.elapsed().as_secs();
    let most = 1 + u64::from((passed + 1).ilog2());
    let fetches = asked() - before;
    assert!((1..=most).contains(&fetches), "{fetches} in {passed} s");
}
