//! One exchange for all processes.

use std::time::Duration;

use entra_emulator::Endpoint;
use http::StatusCode;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt};
use tower_obo::{Lookup, RedisStore};

use super::{KEY, LONG, Process, lines::Lines, patient, server::RedisServer};
use crate::fixture::{World, with_token};

#[tokio::test]
async fn a_token_that_one_process_exchanged_serves_the_next_one() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let first = Process::start(&world, patient(&redis));
    let second = Process::start(&world, patient(&redis));
    let one = first.get(&token).await;
    assert_eq!(first.lookups.last(), Some(Lookup::Miss));
    let other = second.get(&token).await;
    assert_eq!(second.lookups.last(), Some(Lookup::Hit));
    assert_eq!(one, other);
    assert_eq!(world.exchanges_asked(), 1);
    assert_eq!(
        first.downstream().expires_at(),
        second.downstream().expires_at()
    );
    // Another user's token is another entry.
    let bob = world.entra.user_token("bob");
    assert_ne!(second.get(&bob).await, one);
    assert_eq!(world.exchanges_asked(), 2);
}

#[tokio::test]
async fn at_the_same_moment_one_process_exchanges_and_the_other_waits() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let processes = [(); 4].map(|()| Process::start(&world, patient(&redis)));
    let hold = world.entra.hold(Endpoint::Token);
    let release = async {
        timeout(LONG, hold.arrived(1)).await.unwrap();
        hold.release();
    };
    let [a, b, c, d] = &processes;
    let (a, b, c, d, ()) = tokio::join!(
        a.get(&token),
        b.get(&token),
        c.get(&token),
        d.get(&token),
        release
    );
    assert_eq!(world.exchanges_asked(), 1);
    assert!([b, c, d].iter().all(|other| *other == a));
    redis.one_token().await;
}

#[tokio::test]
async fn ca_09_a_process_waits_a_tenth_of_a_second_for_another_and_no_longer() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let slow = Process::start(&world, patient(&redis));
    let other = Process::start(&world, RedisStore::new(redis.url(), KEY));
    // Its connection is there and its keys are loaded, however long that took.
    while other.lookups.last() != Some(Lookup::Miss) {
        other.get(&world.entra.user_token("bob")).await;
    }
    let before = world.exchanges_asked();
    let hold = world.entra.hold(Endpoint::Token);
    let release = async {
        timeout(LONG, hold.arrived(1)).await.unwrap();
        let begun = Instant::now();
        let names = redis.names();
        let claim = names.iter().find(|name| name.ends_with(":claim")).unwrap();
        let ask = redis::cmd("PTTL").arg(claim).query(&mut redis.look());
        let life: i64 = ask.unwrap();
        assert!((1..=2_000).contains(&life), "{life} ms");
        let second = async {
            timeout(LONG, hold.arrived(2)).await.unwrap();
            let waited = begun.elapsed();
            assert!(waited >= Duration::from_millis(80), "{waited:?}");
            assert!(waited < Duration::from_secs(2), "{waited:?}");
            hold.release();
        };
        tokio::join!(other.get(&token), second);
    };
    tokio::join!(slow.get(&token), release);
    assert_eq!(world.exchanges_asked() - before, 2);
    assert_eq!(other.lookups.last(), Some(Lookup::Busy));
}

#[tokio::test]
async fn an_exchange_that_fails_makes_nobody_wait() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let process = Process::start(&world, patient(&redis));
    let fault = entra_emulator::Fault::status(200).body("no token");
    world.entra.fail(Endpoint::Token, fault, 1);
    assert_eq!(process.status(&token).await, StatusCode::BAD_GATEWAY);
    // Much sooner than the claim ends by itself.
    let emptied = timeout(Duration::from_secs(1), redis.until_empty()).await;
    assert!(emptied.is_ok(), "{:?}", redis.names());
    world.clock.advance(Duration::from_secs(5));
    process.get(&token).await;
}

#[tokio::test]
async fn a_renewal_of_one_process_serves_the_others() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    world.entra.grant_consent("alice");
    let token = world.entra.token().expires_in(100_000).sign();
    let first = Process::start(&world, patient(&redis));
    let second = Process::start(&world, patient(&redis));
    let old = first.get(&token).await;
    assert_eq!(second.get(&token).await, old);
    let end = first.downstream().expires_at();
    let life = end.saturating_since(tower_obo::Clock::now(&world.clock));
    world.clock.advance(life.mul_f64(0.82));
    for process in [&first, &second] {
        // The first request with it sets the renewal off; what came of it is looked at a little later.
        let begun = Instant::now();
        while process.get(&token).await == old {
            assert!(begun.elapsed() < LONG, "no renewal");
            let left = end.saturating_since(tower_obo::Clock::now(&world.clock));
            assert!(left > life / 8, "not renewed, but at its end");
            world.clock.advance(Duration::from_secs(1));
            sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(second.get(&token).await, first.get(&token).await);
    assert_eq!(second.lookups.last(), Some(Lookup::Hit));
    assert_eq!(world.exchanges_asked(), 2);
}

/// Entra ID asks this process to slow down; what others have is there all the same.
#[tokio::test]
async fn ex_06_a_throttle_does_not_hinder_a_look_into_the_store() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let first = Process::start(&world, patient(&redis));
    let second = Process::start(&world, patient(&redis));
    let there = first.get(&token).await;
    world
        .entra
        .fail(Endpoint::Token, entra_emulator::Fault::status(429), 1);
    let bob = world.entra.user_token("bob");
    assert_eq!(second.status(&bob).await, StatusCode::SERVICE_UNAVAILABLE);
    let asked = world.exchanges_asked();
    assert_eq!(second.get(&token).await, there);
    assert_eq!(second.lookups.last(), Some(Lookup::Hit));
    // What is not there is not asked for.
    for _ in 0..3 {
        assert_eq!(second.status(&bob).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(second.lookups.last(), Some(Lookup::Miss));
    }
    assert_eq!(world.exchanges_asked(), asked);
    // The first may still ask, and then the second has it.
    let of_bob = first.get(&bob).await;
    assert_eq!(second.get(&bob).await, of_bob);
    assert_eq!(world.exchanges_asked(), asked + 1);
    // A refusal of the user is one whatever the store has: it is not even looked.
    world.entra.fail(
        Endpoint::Token,
        entra_emulator::Fault::status(400)
            .json(&serde_json::json!({"error": "invalid_grant", "error_codes": [65001]})),
        1,
    );
    world.clock.advance(Duration::from_secs(5));
    let frank = world.entra.user_token("frank");
    assert_eq!(second.status(&frank).await, StatusCode::FORBIDDEN);
    let looked = second.lookups.count();
    assert_eq!(second.status(&frank).await, StatusCode::FORBIDDEN);
    assert_eq!(second.lookups.count(), looked);
}

/// What is shared is sealed with a caller's token, and these have none.
#[tokio::test]
async fn the_applications_own_tokens_are_not_shared() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let processes = [(); 2].map(|()| Process::start(&world, patient(&redis)));
    for process in &processes {
        let service = process
            .core
            .layer(crate::application::anybody())
            .unwrap()
            .layer(process.upstream.clone());
        let answer = service.oneshot(with_token(&token)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(process.lookups.count(), 0);
    }
    assert_eq!(world.exchanges_asked(), 2);
    // A user's are, as ever.
    for process in &processes {
        process.get(&token).await;
    }
    assert_eq!(world.exchanges_asked(), 3);
}

/// Azure's Redis does so with what has been idle for ten minutes; a restart ends everything.
#[tokio::test]
async fn ca_09_after_the_server_has_ended_the_connections_one_exchange_is_still_enough() {
    let lines = Lines::of_all_levels();
    let _default = tracing::subscriber::set_default(lines.clone());
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let processes = [(); 2].map(|()| Process::start(&world, patient(&redis)));
    let [first, second] = &processes;
    first.get(&world.entra.user_token("bob")).await;
    second.get(&world.entra.user_token("frank")).await;
    let before = world.exchanges_asked();
    // A connection that ends at once after it was made is another thing.
    sleep(Duration::from_millis(1_100)).await;
    redis.end_connections();
    let one = first.get(&token).await;
    let said = lines.take();
    assert!(
        !said.iter().any(|line| line.starts_with("WARN")),
        "{said:?}"
    );
    assert_eq!(first.lookups.last(), Some(Lookup::Miss));
    let there = async {
        while redis.names().iter().any(|name| name.ends_with(":claim")) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, there).await.unwrap();
    assert_eq!(second.get(&token).await, one);
    assert_eq!(second.lookups.last(), Some(Lookup::Hit));
    assert_eq!(world.exchanges_asked(), before + 1);
}
