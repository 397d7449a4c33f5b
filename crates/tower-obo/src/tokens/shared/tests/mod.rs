//! With a store that does what the test says, and time that passes when nothing else happens.

mod away;
mod claims;
mod removed;

use std::sync::atomic::Ordering;

use super::{
    fake::{Fake, KEY, Mood, NOW, WAIT},
    *,
};
use crate::{Secret, TestClock, exchange::TokenResponse, policy::Target, tokens::FromStore};

fn store() -> (Arc<Fake>, Shared) {
    let fake = Fake::new();
    let shared = fake.shared();
    (fake, shared)
}

fn target() -> Arc<Target> {
    let graph = crate::Downstream::new("graph", ["User.Read"]);
    Arc::clone(graph.target())
}

fn want() -> Want {
    of("alice")
}

fn of(user: &str) -> Want {
    Want {
        key: Digest::of(&[user.as_bytes()]),
        group: [0; 32],
        assertion: Some(Secret::from(user)),
        tenant: "tenant".into(),
        target: target(),
        claims: None,
        object_id: None,
        subject: None,
        caller_valid_until: Timestamp::from_unix(20_000),
        from_store: FromStore::Fresh,
        follows: None,
    }
}

fn token() -> (Stored, Arc<CachedToken>) {
    let response = TokenResponse::new(Secret::from("downstream"), Duration::from_secs(1_000));
    let stored = Stored::new(response, NOW);
    let want = want();
    let token = CachedToken::new(&stored.response, want.key, NOW, want.caller_valid_until).unwrap();
    (stored, Arc::new(token))
}

async fn look(shared: &Shared, want: &Want) -> Found {
    shared
        .find(want, Instant::now() + WAIT, true, |_| true)
        .await
}

/// What was spawned has its turn.
async fn turn() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Alice's token; if it is not there, nobody exchanges.
async fn find(shared: &Shared) -> Option<Stored> {
    let stored = match look(shared, &want()).await {
        Found::Token(stored) => Some(stored),
        Found::Nothing(_) | Found::Busy | Found::Failed => None,
    };
    turn().await;
    stored
}

/// Of somebody whose token is never there. Whether the store has said so; a claim that is given up stays in the fake.
async fn misses(shared: &Shared) -> bool {
    let found = look(shared, &of("bob")).await;
    let helped = matches!(found, Found::Nothing(_) | Found::Busy);
    drop(found);
    turn().await;
    helped
}

async fn keep(shared: &Shared) -> Arc<CachedToken> {
    let (stored, token) = token();
    shared.keep(&want(), &stored, &token, None, NOW);
    turn().await;
    token
}
