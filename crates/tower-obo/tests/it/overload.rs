//! LI-09: everybody comes at once, each with a first token.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use entra_emulator::Endpoint;
use http::StatusCode;
use tokio::task::JoinSet;
use tower_obo::{Spawner, Task, TokioSpawner};

use crate::fixture::World;

const USERS: usize = 10_000;
const AT_ONCE: usize = 128;
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts the tasks that a core spawns.
#[derive(Clone, Debug, Default)]
struct Counted {
    spawned: Arc<AtomicUsize>,
    runtime: TokioSpawner,
}

impl Spawner for Counted {
    fn spawn(&self, task: Task) {
        self.spawned.fetch_add(1, Ordering::Relaxed);
        self.runtime.spawn(task);
    }
}

#[tokio::test]
async fn li_09_ten_thousand_at_once_cause_128_exchanges_and_a_bounded_wait() {
    let spawner = Counted::default();
    // Ten thousand validations may take a busy machine much longer than the ten seconds of a call.
    let patient = Duration::from_secs(120);
    let world = World::with(|builder| {
        let builder = builder.with_http_timeout(patient);
        builder.spawner(spawner.clone())
    });
    let world = Arc::new(world.await);
    world.entra.grant_consent("alice");
    let spawned = spawner.spawned.load(Ordering::Relaxed);
    let tokens: Vec<String> = (0..USERS).map(|_| world.entra.token().sign()).collect();

    let hold = world.entra.hold(Endpoint::Token);
    let mut calls = JoinSet::new();
    for token in tokens.clone() {
        let world = Arc::clone(&world);
        calls.spawn(async move { world.get(&token).await });
    }
    hold.arrived(AT_ONCE).await;
    // With nothing else to do, time goes on to where somebody's patience ends.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    for _ in 0..USERS - AT_ONCE {
        let answer = calls.join_next().await.unwrap().unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.problem_type(), "overloaded");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    let waited = begun.elapsed();
    tokio::time::resume();
    assert!(waited <= PATIENCE, "{waited:?}");
    assert_eq!(hold.waiting(), AT_ONCE);
    assert_eq!(world.exchanges_asked(), AT_ONCE as u64);
    let tasks = spawner.spawned.load(Ordering::Relaxed) - spawned;
    assert_eq!(tasks, AT_ONCE, "tasks of the core");
    assert_eq!(world.upstream.calls(), 0);

    hold.release();
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap().status, StatusCode::OK);
    }
    assert_eq!(world.upstream.calls(), AT_ONCE);
    // Whoever was sent away and comes again is served, through the same number of places.
    let hold = world.entra.hold(Endpoint::Token);
    let mut calls = JoinSet::new();
    for token in tokens.into_iter().take(300) {
        let world = Arc::clone(&world);
        calls.spawn(async move { world.get(&token).await.status });
    }
    hold.arrived(AT_ONCE).await;
    assert_eq!(hold.waiting(), AT_ONCE);
    hold.release();
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
}
