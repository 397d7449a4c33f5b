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
    let lines = crate::lines::Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
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
    let usage = shared.usage();
    assert_eq!(
        (usage.deletions_owed, usage.deletions_dropped),
        (4_096, 904)
    );
    let said = lines.take();
    let dropped = said.iter().filter(|line| line.contains("too many tokens"));
    assert_eq!(dropped.count(), 1, "{said:?}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let attempts = fake.attempts();
    fake.removals.store(0, Ordering::Relaxed);
    fake.is(Mood::Late(Duration::from_millis(10)));
    while find(&shared).await.is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(fake.attempts(), attempts + 1);
    assert_eq!(fake.removals.load(Ordering::Relaxed), 4_096);
    assert_eq!(shared.usage().deletions_owed, 0);
}

/// What is owed to a part of a cluster that is away keeps neither a connection from being used nor other
/// deletions from being done.
#[tokio::test(start_paused = true)]
async fn ex_13_what_a_part_of_a_cluster_owes_does_not_hold_up_the_others() {
    let fake = Fake::new();
    fake.has_parts.store(true, Ordering::Relaxed);
    let shared = fake.shared();
    let token = keep(&shared).await;
    fake.is(Mood::Broken);
    assert!(find(&shared).await.is_none());
    for number in 0..600_u32 {
        let key = Digest::of(&[&number.to_be_bytes()]);
        let mut names = shared.0.keys.names(&key);
        let stamp = Stamp::of(&[1; 13]).unwrap();
        shared.0.health.owe(names.next().unwrap().claim(), stamp);
    }
    shared.forget(&token);
    turn().await;
    assert_eq!(shared.usage().deletions_owed, 601);
    // All of the six hundred.
    *fake.away.lock().unwrap() = |name| name.ends_with(":claim");
    fake.is(Mood::Well);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(shared.usage().is_there);
    assert_eq!(fake.names(), [""; 0]);
    assert_eq!(shared.usage().deletions_owed, 600);
    *fake.away.lock().unwrap() = |_| false;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(shared.usage().deletions_owed, 0);
}

/// Nobody would read it whole.
#[tokio::test(start_paused = true)]
async fn what_is_longer_than_is_read_is_not_put_there() {
    for (length, there) in [(60 * 1024, 1), (64 * 1024, 0)] {
        let (fake, shared) = store();
        let response =
            TokenResponse::new(Secret::from("t".repeat(length)), Duration::from_secs(1_000));
        let stored = Stored::new(response, NOW);
        let want = want();
        let token =
            CachedToken::new(&stored.response, want.key, NOW, want.caller_valid_until).unwrap();
        shared.keep(&want, &stored, &Arc::new(token), None, NOW);
        turn().await;
        assert_eq!(fake.names().len(), there);
    }
}
