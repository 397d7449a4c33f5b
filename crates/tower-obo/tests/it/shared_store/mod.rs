//! Two cores that share a store, against a real Redis.

mod faults;
mod refused;
mod server;
mod transport;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use entra_emulator::Endpoint;
use http::StatusCode;
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceExt};
use tower_obo::{Core, DownstreamToken, Entra, Event, Lookup, Observer, RedisStore};

use self::server::RedisServer;
use crate::{
    fixture::{self, Upstream, World, policy, with_token},
    forge::{decoded, parts},
};

const KEY: &str = "an operator's key of at least 32 bytes";
const NEW_KEY: &str = "a newer operator's key of 32 bytes or more";

/// Long enough that no machine is too slow for it.
const LONG: Duration = Duration::from_secs(30);

/// What came of each look into the store.
#[derive(Clone, Debug, Default)]
struct Lookups(Arc<Mutex<Vec<Lookup>>>);

impl Observer for Lookups {
    fn on(&self, event: &Event<'_>) {
        if let Event::SharedStore { outcome, .. } = event {
            self.0.lock().unwrap().push(*outcome);
        }
    }
}

impl Lookups {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn last(&self) -> Option<Lookup> {
        self.0.lock().unwrap().last().copied()
    }
}

/// A further process of the fleet: a core of its own that shares nothing but the store.
struct Process {
    core: Core,
    upstream: Upstream,
    lookups: Lookups,
}

impl Process {
    fn start(world: &World, store: RedisStore) -> Self {
        let lookups = Lookups::default();
        let tenants = Entra::tenant(entra_emulator::demo::CONTOSO);
        let core = fixture::core(&world.entra, tenants, &world.clock, |builder| {
            builder.shared_store(store).observer(lookups.clone())
        });
        Self {
            core,
            upstream: Upstream::default(),
            lookups,
        }
    }

    async fn status(&self, token: &str) -> StatusCode {
        let service = self
            .core
            .layer(policy())
            .unwrap()
            .layer(self.upstream.clone());
        service.oneshot(with_token(token)).await.unwrap().status()
    }

    /// Sends a request, which is served; the token that its service got.
    async fn get(&self, token: &str) -> String {
        assert_eq!(self.status(token).await, StatusCode::OK);
        self.upstream.last().authorization()
    }

    fn downstream(&self) -> DownstreamToken {
        let admitted = self.upstream.last().admitted.unwrap();
        admitted.first_downstream().unwrap()
    }
}

/// With a wait so long that nothing goes on without the store.
fn patient(redis: &RedisServer) -> RedisStore {
    RedisStore::new(redis.url(), KEY).with_wait(LONG)
}

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
    // Its connection is there and its keys are loaded.
    other.get(&world.entra.user_token("bob")).await;
    let before = world.exchanges_asked();
    let hold = world.entra.hold(Endpoint::Token);
    let release = async {
        timeout(LONG, hold.arrived(1)).await.unwrap();
        let begun = Instant::now();
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
async fn the_store_holds_no_byte_of_a_token_and_nothing_longer_than_it_serves() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    world.entra.grant_consent("alice");
    let process = Process::start(&world, patient(&redis));
    let token = world.entra.token().expires_in(600).sign();
    let downstream = process.get(&token).await.replace("Bearer ", "");
    redis.one_token().await;
    let [(name, value, dump)] = &redis.contents()[..] else {
        panic!("one entry");
    };
    assert!(value.len() > downstream.len(), "the token is in there");
    let mut needles = vec![KEY.as_bytes().to_vec()];
    for token in [&token, &downstream] {
        needles.push(token.as_bytes().to_vec());
        needles.extend(parts(token).map(decoded));
    }
    for needle in needles {
        for part in needle.windows(8) {
            for there in [name.as_bytes(), value, dump] {
                let found = there.windows(part.len()).any(|window| window == part);
                assert!(!found, "{:?}", String::from_utf8_lossy(part));
            }
        }
    }
    let life: i64 = redis::cmd("TTL")
        .arg(name)
        .query(&mut redis.look())
        .unwrap();
    let caller = process
        .upstream
        .last()
        .admitted
        .unwrap()
        .valid_until()
        .unwrap();
    let left = caller
        .saturating_since(tower_obo::Clock::now(&world.clock))
        .as_secs();
    assert!(
        life > 0 && life.unsigned_abs() <= left,
        "{life} s of {left}"
    );
}

#[tokio::test]
async fn ca_08_what_does_not_open_is_not_there() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let first = Process::start(&world, patient(&redis));
    let original = first.get(&token).await;
    let (name, value) = redis.one_token().await;
    first.get(&world.entra.user_token("bob")).await;
    let other = loop {
        let contents = redis.contents();
        if let [(a, one, _), (_, two, _)] = &contents[..]
            && !redis.names().iter().any(|name| name.ends_with(":claim"))
        {
            break if *a == name { two.clone() } else { one.clone() };
        }
    };
    let mut flipped = value.clone();
    flipped[value.len() / 2] ^= 1;
    let mut old_version = value.clone();
    old_version[0] = 0;
    let plain = original.replace("Bearer ", "");
    for (case, hostile) in [
        ("entry of another key", other),
        ("truncated", value[..value.len() - 1].to_vec()),
        ("bit flipped", flipped),
        ("old version", old_version),
        ("plain text", plain.into_bytes()),
        ("empty", Vec::new()),
        ("large", vec![1; 1 << 20]),
    ] {
        redis.set(&name, &hostile);
        let before = world.exchanges_asked();
        let process = Process::start(&world, patient(&redis));
        assert_ne!(process.get(&token).await, original, "{case}");
        assert_eq!(process.lookups.last(), Some(Lookup::Miss), "{case}");
        assert_eq!(world.exchanges_asked(), before + 1, "{case}");
        assert!(decoded(parts(&process.upstream.last().authorization())[1]).len() > 2);
    }
    // Something that is no text at all.
    let mut look = redis.look();
    redis::cmd("DEL").arg(&name).exec(&mut look).unwrap();
    redis::cmd("LPUSH")
        .arg(&name)
        .arg("x")
        .exec(&mut look)
        .unwrap();
    let process = Process::start(&world, patient(&redis));
    process.get(&token).await;
    assert_eq!(process.lookups.last(), Some(Lookup::Miss));
    // The value itself, in its place, is still good.
    redis::cmd("DEL").arg(&name).exec(&mut look).unwrap();
    redis.set(&name, &value);
    let process = Process::start(&world, patient(&redis));
    assert_eq!(process.get(&token).await, original);
}

#[tokio::test]
async fn ca_08_a_key_is_rotated_without_a_flush_and_an_old_or_wrong_one_opens_nothing() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let store = |key: &str| RedisStore::new(redis.url(), key).with_wait(LONG);
    let old = Process::start(&world, store(KEY));
    let rotated = Process::start(&world, store(NEW_KEY).also_opens(KEY));
    let one = old.get(&token).await;
    assert_eq!(rotated.get(&token).await, one);
    assert_eq!(world.exchanges_asked(), 1);
    // What the rotated ones seal, those with the new key alone open, and those with the old not.
    let bob = world.entra.user_token("bob");
    let two = rotated.get(&bob).await;
    let new = Process::start(&world, store(NEW_KEY));
    assert_eq!(new.get(&bob).await, two);
    assert_eq!(world.exchanges_asked(), 2);
    assert_ne!(old.get(&bob).await, two);
    assert_ne!(new.get(&token).await, one, "sealed under the old key");
    assert_eq!(world.exchanges_asked(), 4);
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
            tokio::time::sleep(Duration::from_millis(10)).await;
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
