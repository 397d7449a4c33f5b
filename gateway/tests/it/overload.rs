//! Everybody at once, each with a first token: case LI-09, over sockets.

use entra_emulator::Endpoint;
use tokio::task::JoinSet;

use crate::{
    client::{Answer, Client},
    rig::{PROTECTED, Rig},
    upstream::ok,
};

const USERS: usize = 40;
const AT_ONCE: usize = 8;

#[tokio::test]
async fn li_09_of_those_who_come_at_once_some_are_served_and_others_told_when_to_come_again() {
    let rig = Rig::new(
        PROTECTED,
        |_| ok(),
        |config| config.limits.exchanges = AT_ONCE,
    )
    .await;
    let emulator = rig.emulator.as_ref().unwrap();
    let hold = emulator.hold(Endpoint::Token);
    let mut calls = JoinSet::new();
    for _ in 0..USERS {
        let (mut client, token) = (rig.client().await, rig.token("alice"));
        calls.spawn(async move { (get(&mut client, &token).await, client, token) });
    }
    hold.arrived(AT_ONCE).await;
    let mut sent_away = Vec::new();
    for _ in AT_ONCE..USERS {
        let (answer, client, token) = calls.join_next().await.unwrap().unwrap();
        assert_eq!(answer.status, 503);
        let wait: u64 = answer.all("retry-after")[0].parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        sent_away.push((client, token));
    }
    assert_eq!(hold.waiting(), AT_ONCE, "never more exchanges");
    rig.assert_nothing_reached_the_upstream();
    hold.release();
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().0.status, 200);
    }
    for (mut client, token) in sent_away {
        assert_eq!(get(&mut client, &token).await.status, 200);
    }
    assert_eq!(rig.upstream.seen().len(), USERS);
}

async fn get(client: &mut Client, token: &str) -> Answer {
    let authorization = format!("Authorization: Bearer {token}");
    client
        .send(format!(
            "GET /x HTTP/1.1\r\nHost: gw\r\n{authorization}\r\n\r\n"
        ))
        .await;
    client.answer().await.unwrap()
}
