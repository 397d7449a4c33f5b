//! KS-01, KS-03, KS-05: who waits for a fetch of keys, and how many may.

use std::{sync::Arc, time::Duration};

use entra_emulator::{Endpoint, demo};
use http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;
use tower_obo::{
    Decision, Entra, KeySource, RefreshReason, RejectionKind, RemoteKeys, TokenDefect,
};

use crate::{
    fixture::{World, with_token},
    forge::{base64url, parts},
};

/// Each waits two seconds where the fetch hangs, and holds a place of the server meanwhile.
#[tokio::test]
async fn ks_03_made_up_key_ids_that_wait_for_a_fetch_are_bounded() {
    let world = World::start().await;
    let policy = world.core.bind(crate::fixture::policy()).unwrap();
    let good = world.entra.user_token("alice");
    let [_, payload, signature] = parts(&good);
    let decide = |number: usize| {
        let header = json!({"alg": "RS256", "kid": format!("made-up-{number}")}).to_string();
        let token = format!("{}.{payload}.{signature}", base64url(header));
        world.core.decide(&(&with_token(&token)).into(), &policy)
    };
    // Nobody runs the fetch meanwhile.
    let decisions: Vec<_> = (0..300).map(decide).collect();
    let waits = |decision: &&Decision| matches!(decision, Decision::Wait(_));
    assert_eq!(decisions.iter().filter(waits).count(), 256);
    for decision in &decisions[256..] {
        let Decision::Refuse(rejection) = decision else {
            panic!("{decision:?}");
        };
        // Nobody knows yet: among the keys that come there may be theirs.
        assert_eq!(rejection.kind(), RejectionKind::KeyStillUnknown);
    }
    // Those of a known key are judged all the same.
    let decision = world.core.decide(&(&with_token(&good)).into(), &policy);
    assert!(waits(&&decision), "{decision:?}");
    drop(decisions);
    assert!(waits(&&decide(300)), "places are given back");
}

#[tokio::test]
async fn ks_01_requests_that_wait_for_the_first_keys_are_bounded() {
    let contoso = Entra::tenant(demo::CONTOSO);
    let world = World::without_keys(contoso, |builder| builder).await;
    let policy = world.core.bind(crate::fixture::policy()).unwrap();
    let token = world.entra.user_token("alice");
    let decide = |_| world.core.decide(&(&with_token(&token)).into(), &policy);
    // Nobody runs the fetch meanwhile.
    let decisions: Vec<_> = (0..1_100).map(decide).collect();
    let waits = |decision: &&Decision| matches!(decision, Decision::Wait(_));
    assert_eq!(decisions.iter().filter(waits).count(), 1_024);
    for decision in &decisions[1_024..] {
        let Decision::Refuse(rejection) = decision else {
            panic!("{decision:?}");
        };
        assert_eq!(rejection.kind(), RejectionKind::KeysNotLoaded);
    }
    drop(decisions);
    assert!(waits(&&decide(1_100)), "places are given back");
}

/// Two threads have seen that there are none; one comes to the fetch when the other's has ended.
#[tokio::test]
async fn keys_that_are_there_are_not_fetched_for_who_has_seen_none() {
    let world = World::start().await;
    let authority = Entra::tenant(demo::CONTOSO)
        .authority(world.entra.url())
        .allow_http_loopback(true);
    let keys = RemoteKeys::builder(authority).build().unwrap();
    keys.refresh(RefreshReason::NoKeys).unwrap().await;
    assert!(keys.current().is_some());
    let fetched = world.entra.count(Endpoint::Keys);
    keys.refresh(RefreshReason::NoKeys).unwrap().await;
    assert_eq!(world.entra.count(Endpoint::Keys), fetched);
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
async fn ks_05_and_does_not_wait_for_ever_nor_is_judged_before_the_end() {
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
    let answer = waiting.await.unwrap();
    let waited = begun.elapsed();
    assert!(waited <= Duration::from_secs(2), "{waited:?}");
    tokio::time::resume();
    assert_eq!(hold.waiting(), 1, "the fetch itself goes on");
    // 401 would have the caller throw a good token away.
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.problem_type(), "key-still-unknown");
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert!(answer.challenge().is_none());
    hold.release();
    let served = async {
        while world.get(&token).await.status != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let served = tokio::time::timeout(Duration::from_secs(30), served).await;
    assert!(served.is_ok(), "the fetch has brought the key");
}

/// What has ended is judged: a key that the fetch has not brought is none.
#[tokio::test]
async fn ks_05_whose_key_the_fetch_has_not_brought_is_refused() {
    let world = Arc::new(World::start().await);
    let made_up = world.entra.token().header("kid", "made-up").sign();
    let hold = world.entra.hold(Endpoint::Keys);
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.get(&made_up).await }
    });
    hold.arrived(1).await;
    hold.release();
    let answer = waiting.await.unwrap();
    answer.has_defect("judged", TokenDefect::UnknownKey);
}
