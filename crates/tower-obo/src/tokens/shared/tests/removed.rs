//! Tokens that their downstream has refused.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_while_the_store_is_away_is_deleted_before_anybody_looks() {
    let (fake, shared) = store();
    let token = keep(&shared).await;
    assert_eq!(fake.names().len(), 1);
    fake.is(Mood::Broken);
    assert!(find(&shared).await.is_none());
    shared.forget(&token);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(fake.names().len(), 1);
    fake.is(Mood::Well);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fake.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn nobody_uses_a_new_connection_before_what_is_owed_is_deleted() {
    let (fake, shared) = store();
    let token = keep(&shared).await;
    fake.is(Mood::Broken);
    assert!(find(&shared).await.is_none());
    // The pauses between attempts to connect are long by now.
    tokio::time::sleep(Duration::from_secs(120)).await;
    shared.forget(&token);
    tokio::time::sleep(Duration::from_secs(1)).await;
    fake.is(Mood::Well);
    while shared.0.health.session(Instant::now()).await.is_none() {
        assert_eq!(fake.names().len(), 1);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(fake.names(), [""; 0]);
}

/// Whatever becomes of the first attempts, over a new connection or over the present one.
#[tokio::test(start_paused = true)]
async fn a_deletion_is_owed_until_the_store_has_answered() {
    for lost in [true, false] {
        let (fake, shared) = store();
        let token = keep(&shared).await;
        if lost {
            fake.is(Mood::Broken);
            assert!(find(&shared).await.is_none());
        }
        fake.is(Mood::Keeping);
        shared.forget(&token);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(fake.names().len(), 1, "{lost}");
        fake.is(Mood::Well);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(fake.names(), [""; 0], "{lost}");
        // Nothing is left to do, and what comes to stand there later stays.
        let removals = fake.removals.load(Ordering::Relaxed);
        keep(&shared).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(fake.names().len(), 1, "{lost}");
        assert_eq!(fake.removals.load(Ordering::Relaxed), removals, "{lost}");
        // The next one is owed in its turn.
        let token = keep(&shared).await;
        fake.is(Mood::Keeping);
        shared.forget(&token);
        tokio::time::sleep(Duration::from_secs(3)).await;
        fake.is(Mood::Well);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(fake.names(), [""; 0], "{lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_another_has_followed_is_deleted_alone() {
    let (fake, shared) = store();
    let first = keep(&shared).await;
    let second = keep(&shared).await;
    shared.forget(&first);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(fake.names().len(), 1);
    shared.forget(&second);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(fake.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_before_the_store_has_it_does_not_stay_there() {
    let (fake, shared) = store();
    let (stored, token) = token();
    shared.keep(&want(), &stored, &token, None, NOW);
    // The task that writes has not begun.
    token.revoke();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(fake.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_been_refused_is_not_taken_though_it_is_there() {
    let (_, shared) = store();
    let token = keep(&shared).await;
    shared.forget(&token);
    keep(&shared).await;
    assert!(find(&shared).await.is_none());
}

/// While the store was away, many tokens were refused.
#[tokio::test(start_paused = true)]
async fn however_much_is_owed_a_distant_store_is_there_at_once() {
    let (fake, shared) = store();
    keep(&shared).await;
    fake.is(Mood::Broken);
    assert!(find(&shared).await.is_none());
    for number in 0..5_000_u32 {
        let key = Digest::of(&[&number.to_be_bytes()]);
        let stamp = Stamp::of(&[1; 13]).unwrap();
        let name = shared.0.keys.names(&key).last().unwrap();
        shared.0.health.owe(name, stamp);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let attempts = fake.attempts();
    fake.removals.store(0, Ordering::Relaxed);
    fake.is(Mood::Late(Duration::from_millis(10)));
    while find(&shared).await.is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(fake.attempts(), attempts + 1);
    assert_eq!(fake.removals.load(Ordering::Relaxed), 4_096);
}
