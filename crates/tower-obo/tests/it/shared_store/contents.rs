//! What stands in the store, and what is taken from it.

use tower_obo::{Lookup, RedisStore};

use super::{KEY, LONG, NEW_KEY, Process, lines::Lines, patient, server::RedisServer};
use crate::{
    fixture::World,
    forge::{decoded, parts},
};

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
    let [(name, value, _)] = &redis.contents()[..] else {
        panic!("one entry");
    };
    // Before anything that takes time: it goes on.
    let life: i64 = redis::cmd("PTTL")
        .arg(name)
        .query(&mut redis.look())
        .unwrap();
    assert!(value.len() > downstream.len(), "the token is in there");
    let everything = redis.all_contents();
    let marks = everything
        .iter()
        .filter(|(name, ..)| name.starts_with("obo:1:keys:"));
    assert_eq!((everything.len(), marks.count()), (2, 1));
    let mut needles = vec![KEY.as_bytes().to_vec()];
    for token in [&token, &downstream] {
        needles.push(token.as_bytes().to_vec());
        needles.extend(parts(token).map(decoded));
    }
    for needle in needles {
        for part in needle.windows(8) {
            let all = everything
                .iter()
                .flat_map(|(name, value, dump)| [name.as_bytes(), value, dump]);
            for there in all {
                let found = there.windows(part.len()).any(|window| window == part);
                assert!(!found, "{:?}", String::from_utf8_lossy(part));
            }
        }
    }
    let caller = process
        .upstream
        .last()
        .admitted
        .unwrap()
        .valid_until()
        .unwrap();
    let left = caller
        .saturating_since(tower_obo::Clock::now(&world.clock))
        .as_millis();
    // Nor much shorter; the machine may be busy.
    let life = u128::try_from(life).unwrap();
    assert!(life <= left && life + 10_000 >= left, "{life} ms of {left}");
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
        ("too large", vec![1; 8 << 20]),
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

/// Whoever may write the store does not decide how much is read from it.
#[tokio::test]
async fn ca_08_a_value_of_any_length_costs_a_bounded_read_and_one_line() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let lines = Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let original = Process::start(&world, patient(&redis)).get(&token).await;
    let (name, _) = redis.one_token().await;
    let process = Process::start(&world, patient(&redis));
    lines.take();
    let sent = || -> u64 {
        let info: String = redis::cmd("INFO")
            .arg("stats")
            .query(&mut redis.look())
            .unwrap();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        line.unwrap().parse().unwrap()
    };
    redis.set(&name, &vec![1; 8 << 20]);
    let before = sent();
    assert_ne!(process.get(&token).await, original);
    assert_eq!(process.lookups.last(), Some(Lookup::Miss));
    // Two reads, and some answers besides.
    let read = sent() - before;
    assert!(read < 3 * 64 * 1024, "{read} bytes");
    let said = lines.take();
    let warnings = said.iter().filter(|line| line.starts_with("WARN"));
    assert_eq!(warnings.count(), 1, "{said:?}");
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
