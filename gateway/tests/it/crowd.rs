//! A thousand connections that do nothing, or next to nothing: case LI-02.

use obo_gateway::open_files;

use crate::{
    client::Client,
    rig::{PUBLIC, Rig},
    upstream::ok,
};

const CROWD: usize = 1_000;

/// What the crowd sends: nothing, half a head, half of HTTP/2's preface, or the preface and half a
/// frame.
const HALVES: [&str; 4] = [
    "",
    "GET /half HTTP/1.1\r\nHost: gw\r\nX-Ha",
    "PRI * HTTP/2.0\r\n\r\nSM",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0",
];

async fn crowd(rig: &Rig, size: usize) -> Vec<Client> {
    let mut crowd = Vec::with_capacity(size);
    for half in HALVES.iter().cycle().take(size) {
        let mut client = rig.client().await;
        client.send(half).await;
        crowd.push(client);
    }
    crowd
}

/// Both ends of every connection are in this process.
fn assert_enough_files() {
    let most = open_files::raise_limit().unwrap_or(u64::MAX);
    assert!(most > 3 * CROWD as u64, "only {most} files may be open");
}

#[tokio::test]
async fn li_02_a_thousand_idle_and_half_open_connections_are_in_nobodys_way() {
    assert_enough_files();
    let rig = Rig::public().await;
    let _crowd = crowd(&rig, CROWD).await;
    let mut stays = rig.client().await;
    for _ in 0..50 {
        assert_eq!(stays.get("/x").await.status, 200);
        assert_eq!(rig.client().await.get("/y").await.status, 200);
    }
    assert_eq!(rig.upstream.seen().len(), 100, "and nothing of the halves");
}

#[tokio::test]
async fn li_02_beyond_the_limit_new_connections_wait_until_one_of_the_thousand_leaves() {
    assert_enough_files();
    let limits = |config: &mut obo_gateway::Config| {
        config.limits.connections = CROWD;
        config.limits.requests_per_client = Some(config.limits.requests);
    };
    let rig = Rig::new(PUBLIC, |_| ok(), limits).await;
    let mut stays = rig.client().await;
    assert_eq!(stays.get("/x").await.status, 200);
    let mut crowd = crowd(&rig, CROWD - 1).await;

    let mut new = rig.client().await;
    new.send("GET /new HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    for _ in 0..50 {
        assert_eq!(stays.get("/x").await.status, 200);
    }
    let seen = rig.upstream.seen();
    assert!(
        seen.iter().all(|seen| !seen.line().contains("/new")),
        "served although there is no room"
    );
    // Half a head, which is not the end of it that a client would wait for.
    drop(crowd.swap_remove(1));
    assert_eq!(new.answer().await.unwrap().status, 200);
}
