//! The ways to a Redis: TLS, a password, a cluster.

use std::{fs, path::Path, time::Duration};

use futures_util::future::join_all;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::time::{Instant, sleep};
use tower_obo::{Lookup, RedisStore};

use super::{
    KEY, LONG, Process,
    server::{RedisServer, free_port},
};
use crate::fixture::World;

/// Two processes share a token.
async fn is_shared(store: &RedisStore) {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let store = store.clone().with_wait(LONG);
    let first = Process::start(&world, store.clone());
    let one = first.get(&token).await;
    assert_eq!(first.lookups.last(), Some(Lookup::Miss));
    assert_eq!(Process::start(&world, store).get(&token).await, one);
    assert_eq!(world.exchanges_asked(), 1);
}

fn certificate(directory: &Path) -> String {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    fs::write(directory.join("cert.pem"), cert.pem()).unwrap();
    fs::write(directory.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.pem()
}

#[tokio::test]
async fn a_store_with_tls_and_a_password_is_shared_and_nobody_else_s_certificate_is_believed() {
    let port = free_port();
    let mut root = String::new();
    let redis = RedisServer::with(|directory| {
        root = certificate(directory);
        let port = port.to_string();
        [
            ["--tls-port", &port],
            ["--tls-cert-file", "cert.pem"],
            ["--tls-key-file", "key.pem"],
            ["--tls-ca-cert-file", "cert.pem"],
            ["--tls-auth-clients", "no"],
        ]
        .concat()
        .iter()
        .map(|&word| word.to_owned())
        .collect()
    })
    .await;
    let Some(redis) = redis else { return };
    let mut look = redis.look();
    redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", "hunter2"])
        .exec(&mut look)
        .unwrap();
    let url = format!("rediss://:hunter2@localhost:{port}");
    is_shared(&RedisStore::new(url.as_str(), KEY).with_root_certificates(root.as_str())).await;

    let world = World::start().await;
    let token = world.entra.user_token("alice");
    for store in [
        RedisStore::new(url.as_str(), KEY),
        RedisStore::new(format!("rediss://:wrong@localhost:{port}"), KEY)
            .with_root_certificates(root.as_str()),
    ] {
        let process = Process::start(&world, store.with_wait(LONG));
        process.get(&token).await;
        assert_eq!(process.lookups.last(), Some(Lookup::Failed));
    }
}

/// A cluster of three, each with a third of all slots, and its address.
async fn cluster() -> Option<(Vec<RedisServer>, String)> {
    let mut nodes = Vec::new();
    let mut hosts = Vec::new();
    for _ in 0..3 {
        let (port, bus) = (free_port(), free_port());
        let node = RedisServer::with(|_| {
            [
                ["--port", &port.to_string()],
                ["--cluster-enabled", "yes"],
                ["--cluster-port", &bus.to_string()],
                ["--cluster-require-full-coverage", "no"],
            ]
            .concat()
            .iter()
            .map(|&word| word.to_owned())
            .collect()
        });
        nodes.push(node.await?);
        hosts.push((port, bus));
    }
    let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for (node, (first, last)) in nodes.iter().zip(slots) {
        let mut look = node.look();
        redis::cmd("CLUSTER")
            .arg(&["ADDSLOTSRANGE", first, last])
            .exec(&mut look)
            .unwrap();
        for (port, bus) in &hosts {
            redis::cmd("CLUSTER")
                .arg(&["MEET", "127.0.0.1"])
                .arg(port)
                .arg(bus)
                .exec(&mut look)
                .unwrap();
        }
    }
    let begun = Instant::now();
    for node in &nodes {
        let mut look = node.look();
        loop {
            let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut look).unwrap();
            let signs = [
                "cluster_state:ok",
                "cluster_slots_ok:16384",
                "cluster_known_nodes:3",
            ];
            if signs.iter().all(|sign| info.contains(sign)) {
                break;
            }
            assert!(begun.elapsed() < LONG, "{info}");
            sleep(Duration::from_millis(20)).await;
        }
    }
    let hosts: Vec<_> = hosts
        .iter()
        .map(|(port, _)| format!("127.0.0.1:{port}"))
        .collect();
    Some((nodes, format!("redis-cluster://{}", hosts.join(","))))
}

/// Different tokens of one user.
fn tokens(world: &World, count: i64) -> Vec<String> {
    world.entra.grant_consent("alice");
    let token = |number| world.entra.token().expires_in(1_000 + number).sign();
    (0..count).map(token).collect()
}

#[tokio::test]
async fn ca_09_a_node_of_a_cluster_that_dies_costs_exchanges_and_no_request() {
    let Some((mut nodes, url)) = cluster().await else {
        return;
    };
    let world = World::start().await;
    let process = Process::start(&world, RedisStore::new(url.as_str(), KEY));
    let tokens = tokens(&world, 24);
    let (before, after) = tokens.split_at(12);
    let store = || RedisStore::new(url.as_str(), KEY).with_wait(LONG);
    let first = Process::start(&world, store());
    let mut downstream = Vec::new();
    for token in before {
        downstream.push(first.get(token).await);
        assert_eq!(first.lookups.last(), Some(Lookup::Miss));
    }
    // They are spread, and whoever comes next finds them all.
    let begun = Instant::now();
    let names = loop {
        let names: Vec<_> = nodes.iter().map(RedisServer::names).collect();
        let all = || names.iter().flatten();
        if all().count() == 12 && !all().any(|name| name.ends_with(":claim")) {
            break names;
        }
        assert!(begun.elapsed() < LONG, "{names:?}");
        sleep(Duration::from_millis(10)).await;
    };
    assert!(names.iter().all(|names| !names.is_empty()), "{names:?}");
    let second = Process::start(&world, store());
    for (token, downstream) in before.iter().zip(&downstream) {
        assert_eq!(second.get(token).await, *downstream);
        assert_eq!(second.lookups.last(), Some(Lookup::Hit));
    }
    assert_eq!(world.exchanges_asked(), 12);

    // Also where it is one with marks of the keys.
    let dead = nodes.iter().position(RedisServer::has_marks).unwrap();
    let living = 12 - names[dead].len();
    nodes[dead].kill();
    for token in after {
        let begun = Instant::now();
        process.get(token).await;
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(1_500), "{took:?}");
    }
    assert_eq!(world.exchanges_asked(), 24);
    // Processes that start now find all that is on the living ones.
    let found = before
        .iter()
        .zip(&downstream)
        .map(async |(token, downstream)| {
            let store = RedisStore::new(url.as_str(), KEY).with_wait(LONG / 10);
            let third = Process::start(&world, store);
            third.core.start();
            let begun = Instant::now();
            while !third.core.shared_store().unwrap().is_there {
                assert!(begun.elapsed() < LONG, "the cluster is away");
                sleep(Duration::from_millis(10)).await;
            }
            third.get(token).await == *downstream
        });
    let found = join_all(found).await;
    assert_eq!(found.into_iter().filter(|found| *found).count(), living);
}

#[tokio::test]
async fn a_cluster_is_shared() {
    let (port, bus) = (free_port(), free_port());
    let redis = RedisServer::with(|_| {
        let words = [
            "--port",
            &port.to_string(),
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus.to_string(),
        ];
        words.iter().map(|&word| word.to_owned()).collect()
    })
    .await;
    let Some(redis) = redis else { return };
    let mut look = redis.look();
    redis::cmd("CLUSTER")
        .arg(&["ADDSLOTSRANGE", "0", "16383"])
        .exec(&mut look)
        .unwrap();
    let begun = Instant::now();
    loop {
        let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut look).unwrap();
        if info.contains("cluster_state:ok") {
            break;
        }
        assert!(begun.elapsed() < LONG, "{info}");
        sleep(Duration::from_millis(20)).await;
    }
    // What the page on operations says that the account needs, and no more.
    let mut account = redis::cmd("ACL");
    account.arg("SETUSER").arg("gateway").arg("reset");
    account.arg(&[
        "on",
        ">word",
        "~obo:1:*",
        "+getrange",
        "+set",
        "+eval",
        "+del",
    ]);
    account
        .arg(&["+cluster|slots", "+ping"])
        .exec(&mut look)
        .unwrap();
    let url = format!("redis-cluster://gateway:word@127.0.0.1:{port},localhost:{port}");
    is_shared(&RedisStore::new(url, KEY)).await;
    redis.one_token().await;
}
