//! CA-09: a store that is away, slow or no Redis at all costs an exchange, and never a request.

use std::time::Duration;

use http::HeaderMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, sleep},
};
use tower_obo::{Lookup, RedisStore};

use super::{KEY, LONG, Process, lines::Lines, patient, server::RedisServer};
use crate::{fixture::World, transport::nobody};

/// What the store may delay a request by, and some time for a machine that is busy.
const SOON: Duration = Duration::from_millis(1_500);

/// Each of `users` gets a token by an exchange, and soon.
async fn exchanges_for(world: &World, process: &Process, users: &[&str]) {
    for user in users {
        let before = world.exchanges_asked();
        let token = world.entra.user_token(user);
        let begun = Instant::now();
        process.get(&token).await;
        let took = begun.elapsed();
        assert!(took < SOON, "{user} waited {took:?}");
        assert_eq!(world.exchanges_asked(), before + 1, "{user}");
        assert_eq!(process.lookups.last(), Some(Lookup::Failed), "{user}");
        // From memory, whatever the store does.
        process.get(&token).await;
        assert_eq!(world.exchanges_asked(), before + 1, "{user}");
    }
}

/// A server that accepts connections and does `each` with them.
async fn stand_in(answer: Option<&'static [u8]>) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            match answer {
                None => open.push(connection),
                Some(answer) => drop(tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = connection.read(&mut bytes).await {
                        let read = bytes.get(..length).unwrap_or_default();
                        let answers = answer.repeat(commands(read));
                        if connection.write_all(&answers).await.is_err() {
                            return;
                        }
                    }
                })),
            }
        }
    });
    (url, serving)
}

/// How many begin in these bytes: each is an array.
fn commands(read: &[u8]) -> usize {
    let lines = read.split(|&byte| byte == b'\n');
    lines.filter(|line| line.first() == Some(&b'*')).count()
}

#[tokio::test]
async fn ca_09_a_store_that_is_not_there_costs_an_exchange() {
    let world = World::start().await;
    let (_closed, nobody) = nobody();
    let url = format!("redis://{nobody}");
    let process = Process::start(&world, RedisStore::new(url, KEY));
    exchanges_for(&world, &process, &["alice", "bob"]).await;
}

#[tokio::test]
async fn ca_09_a_store_that_says_nothing_costs_a_tenth_of_a_second_and_an_exchange() {
    let world = World::start().await;
    let (url, serving) = stand_in(None).await;
    let process = Process::start(&world, RedisStore::new(url, KEY));
    exchanges_for(&world, &process, &["alice", "bob"]).await;
    serving.abort();
}

#[tokio::test]
async fn ca_08_a_store_that_answers_garbage_costs_an_exchange() {
    let world = World::start().await;
    let answers: [&[u8]; 5] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\xff\xfe garbage",
        b"+OK\r\n",
        b"*2\r\n$-1\r\n:7\r\n",
        b"-NOAUTH Authentication required.\r\n",
    ];
    for answer in answers {
        let lines = Lines::default();
        let _default = tracing::subscriber::set_default(lines.clone());
        let said = String::from_utf8_lossy(answer);
        let (url, serving) = stand_in(Some(answer)).await;
        let process = Process::start(&world, RedisStore::new(url, KEY));
        let before = world.exchanges_asked();
        let begun = Instant::now();
        process.get(&world.entra.user_token("alice")).await;
        assert!(begun.elapsed() < SOON);
        assert_eq!(world.exchanges_asked(), before + 1);
        assert_eq!(process.lookups.last(), Some(Lookup::Failed), "{said}");
        process.get(&world.entra.user_token("bob")).await;
        let warnings: Vec<_> = lines
            .take()
            .into_iter()
            .filter(|line| line.starts_with("WARN"))
            .collect();
        assert_eq!(warnings.len(), 1, "{said}: {warnings:?}");
        serving.abort();
    }
}

#[tokio::test]
async fn ca_09_a_store_that_dies_and_comes_back_is_used_again() {
    let Some(mut redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let process = Process::start(
        &world,
        RedisStore::new(redis.url(), KEY).with_wait(SOON / 3),
    );
    process.get(&world.entra.user_token("alice")).await;
    assert_eq!(process.lookups.last(), Some(Lookup::Miss));
    redis.kill();
    exchanges_for(&world, &process, &["bob"]).await;
    redis.start_again().await;
    is_used_again(&world, &process, &redis).await;
}

#[tokio::test]
async fn ca_09_a_store_that_freezes_and_thaws_is_used_again() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let process = Process::start(&world, RedisStore::new(redis.url(), KEY));
    while process.lookups.last() != Some(Lookup::Miss) {
        process.get(&world.entra.user_token("alice")).await;
    }
    redis.freeze();
    // More than it takes to be given up.
    for _ in 0..4 {
        exchanges_for(&world, &process, &["bob"]).await;
    }
    redis.thaw();
    is_used_again(&world, &process, &redis).await;
}

/// What a server says that takes nothing in for a while: its replicas are gone, or its disk is full.
#[tokio::test]
async fn ex_13_a_refused_token_goes_from_a_store_that_could_not_delete_it_then() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let process = Process::start(&world, patient(&redis));
    process.get(&token).await;
    redis.one_token().await;
    let lines = Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    redis.configure("min-replicas-to-write", "1");
    assert!(process.downstream().challenged(&HeaderMap::new()).is_none());
    let owed = || process.core.shared_store().unwrap();
    let begun = Instant::now();
    while owed().deletions_owed != 1 || owed().is_there {
        assert!(begun.elapsed() < LONG, "{:?}", owed());
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(redis.names().len(), 1);
    // Meanwhile it is a store that is away.
    exchanges_for(&world, &process, &["bob"]).await;
    let said = lines.take();
    let warnings = said.iter().filter(|line| line.starts_with("WARN"));
    assert_eq!(warnings.count(), 1, "{said:?}");
    redis.configure("min-replicas-to-write", "0");
    redis.until_empty().await;
    let usage = owed();
    assert_eq!((usage.deletions_owed, usage.deletions_dropped), (0, 0));
    is_used_again(&world, &process, &redis).await;
}

/// An account that may do too little is told so; what it may do it does.
#[tokio::test]
async fn ca_09_a_right_that_is_missing_is_named_in_one_line() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    for (rights, said) in [
        (&["-getrange"][..], "may not read"),
        (&["-set"][..], "may not write"),
        (&["-eval", "-del"][..], "may not delete"),
        (&[][..], ""),
        // Whoever may not run scripts deletes all the same.
        (&["-eval"][..], ""),
        (&["-del"][..], "may not delete"),
    ] {
        let mut look = redis.look();
        redis::cmd("FLUSHALL").exec(&mut look).unwrap();
        let mut account = redis::cmd("ACL");
        account.arg("SETUSER").arg("limited").arg("reset");
        // What the page on operations says that it needs, and no more.
        account.arg(&[
            "on",
            ">word",
            "~obo:1:*",
            "+getrange",
            "+set",
            "+del",
            "+eval",
        ]);
        account.arg(rights).exec(&mut look).unwrap();
        let lines = Lines::default();
        let _default = tracing::subscriber::set_default(lines.clone());
        let world = World::start().await;
        let url = format!("{}?user=limited&pass=word", redis.url());
        let process = Process::start(&world, RedisStore::new(url, KEY).with_wait(LONG));
        for user in ["alice", "bob"] {
            process.get(&world.entra.user_token(user)).await;
            // Whatever is put there is there.
            sleep(Duration::from_millis(200)).await;
            assert!(process.downstream().challenged(&HeaderMap::new()).is_none());
            sleep(Duration::from_millis(200)).await;
        }
        let mut all = lines.take();
        let named = async {
            while !said.is_empty() && !all.iter().any(|line| line.contains(said)) {
                sleep(Duration::from_millis(10)).await;
                all.extend(lines.take());
            }
        };
        let named = tokio::time::timeout(LONG, named).await;
        assert!(named.is_ok(), "{rights:?}: {all:?}");
        let is_warning = |line: &&String| line.starts_with("WARN");
        let warnings: Vec<_> = all.iter().filter(is_warning).collect();
        match said {
            "" => assert_eq!(warnings, [""; 0], "{rights:?}"),
            _ => assert!(
                warnings.len() == 1 && warnings[0].contains(said),
                "{rights:?}: {warnings:?}"
            ),
        }
        assert!(process.core.shared_store().unwrap().is_there, "{rights:?}");
    }
}

/// Sooner or later, without anybody's help.
async fn is_used_again(world: &World, process: &Process, redis: &RedisServer) {
    let begun = Instant::now();
    let (token, one) = loop {
        let token = world.entra.user_token("bob");
        let one = process.get(&token).await;
        // One that the store said nothing to, soon enough, is not there.
        if process.lookups.last() == Some(Lookup::Miss) {
            break (token, one);
        }
        assert!(begun.elapsed() < LONG, "the store is not used any more");
        sleep(Duration::from_millis(50)).await;
    };
    let before = world.exchanges_asked();
    let other = Process::start(world, patient(redis));
    assert_eq!(other.get(&token).await, one);
    assert_eq!(world.exchanges_asked(), before);
}
