//! A user's tokens, wherever they are kept.

use super::*;

/// Of one user, under a key of its own.
fn of(user: &str, token: &str) -> Want {
    Want {
        object_id: Some(user.into()),
        ..want(token)
    }
}

#[tokio::test]
async fn a_purge_finds_tokens_in_the_cache_and_those_that_only_an_admission_has() {
    let f = fixture(8, 128);
    let cached = f.store.obtain(of("alice", "a")).await.unwrap();
    let slot_only = f.store.obtain(of("ALICE", "b")).await.unwrap();
    f.store.tokens.remove(slot_only.key());
    let bobs = f.store.obtain(of("bob", "c")).await.unwrap();
    let own = Want {
        object_id: None,
        assertion: None,
        ..want("the application's")
    };
    let own = f.store.obtain(own).await.unwrap();

    // The admission's slots hold the cached one and the application's too.
    let slots = [&cached, &slot_only, &own].map(Arc::clone);
    let owner = Owner::user("tenant", "alice");
    assert_eq!(f.store.purge(owner, slots.into_iter()), 2);
    let now = f.clock.now();
    assert!(!cached.is_alive(now) && !slot_only.is_alive(now));
    assert!(bobs.is_alive(now) && own.is_alive(now));
    assert!(f.store.fresh(cached.key(), now).is_none());
    assert!(f.store.fresh(bobs.key(), now).is_some());
}

/// A script that cuts off one user after the other, and comes to this one last.
#[tokio::test]
async fn a_purge_counts_while_the_exchange_is_made_again_for_an_earlier_one() {
    let f = fixture(0, 128);
    let store = Arc::clone(&f.store);
    let waiting = tokio::spawn(async move { store.obtain(of("alice", "a")).await });
    let purge = |user| {
        f.store
            .purge(Owner::user("tenant", user), std::iter::empty())
    };
    for attempt in 1..=2 {
        f.exchange.until_begun(attempt).await;
        purge("alice");
        f.exchange.open();
    }
    f.exchange.until_begun(3).await;
    f.exchange.open();
    let token = waiting.await.unwrap().unwrap();
    assert_eq!(token.header(), "Bearer downstream-2");
    assert!(f.store.fresh(token.key(), f.clock.now()).is_some());

    // Another's makes nobody lose a token; and there is an end to it.
    let store = Arc::clone(&f.store);
    let waiting = tokio::spawn(async move { store.obtain(of("alice", "b")).await });
    f.exchange.until_begun(4).await;
    purge("bob");
    f.exchange.open();
    let token = waiting.await.unwrap().unwrap();
    assert_eq!(token.header(), "Bearer downstream-3");
    let store = Arc::clone(&f.store);
    let waiting = tokio::spawn(async move { store.obtain(of("alice", "c")).await });
    for attempt in 5..=7 {
        f.exchange.until_begun(attempt).await;
        purge("alice");
        f.exchange.open();
    }
    let gone = error_kind(waiting.await.unwrap());
    assert_eq!(gone, Some(ExchangeErrorKind::Unavailable));
    assert_eq!(f.exchange.begun(), 7);
}

#[tokio::test]
async fn a_purge_leaves_refusals_alone_and_repeats_no_exchange_that_failed() {
    let f = fixture(0, 128);
    f.exchange
        .answers(Answer::Error(ExchangeErrorKind::ConsentRequired));
    let store = Arc::clone(&f.store);
    let waiting = tokio::spawn(async move { store.obtain(of("alice", "a")).await });
    f.exchange.until_begun(1).await;
    f.store
        .purge(Owner::user("tenant", "alice"), std::iter::empty());
    f.exchange.open();
    let refused = waiting.await.unwrap();
    assert_eq!(
        error_kind(refused),
        Some(ExchangeErrorKind::ConsentRequired)
    );
    assert_eq!(f.exchange.begun(), 1);
}
