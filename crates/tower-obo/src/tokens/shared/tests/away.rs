//! A store that is away, slow, or holds something else.

use super::*;

#[tokio::test(start_paused = true)]
async fn ca_09_each_change_of_the_store_is_one_line_of_the_log() {
    let lines = crate::lines::Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let (fake, shared) = store();
    keep(&shared).await;
    assert!(find(&shared).await.is_some());
    assert_eq!(lines.take().len(), 1, "it is there");
    for mood in [Mood::Broken, Mood::Silent] {
        fake.is(mood);
        for _ in 0..100 {
            assert!(find(&shared).await.is_none());
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(lines.take().len(), 1, "{mood:?}");
        fake.is(Mood::Well);
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(find(&shared).await.is_some());
        assert_eq!(lines.take().len(), 1, "and back");
    }
    // Values that do not open are another change, whatever their number, and so are writes that fail.
    for _ in 0..2 {
        fake.spoil();
        for _ in 0..100 {
            assert!(find(&shared).await.is_none());
        }
        assert_eq!(lines.take().len(), 1, "what does not open");
        fake.is(Mood::Full);
        for _ in 0..100 {
            keep(&shared).await;
        }
        assert_eq!(lines.take().len(), 1, "what is not taken in");
        fake.is(Mood::Well);
        keep(&shared).await;
        assert!(find(&shared).await.is_some());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(lines.take(), [""; 0]);
    }
}

/// A store without room takes one value in and not the next; of many values one does not open.
#[tokio::test(start_paused = true)]
async fn ca_09_a_trouble_that_comes_and_goes_is_one_line_until_it_has_been_over_for_a_minute() {
    let lines = crate::lines::Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let (fake, shared) = store();
    keep(&shared).await;
    assert_eq!(lines.take().len(), 1, "it is there");
    for hour in 0..2 {
        for second in 0..3_600 {
            fake.spoil();
            assert!(find(&shared).await.is_none());
            fake.is(Mood::Full);
            keep(&shared).await;
            fake.is(Mood::Well);
            keep(&shared).await;
            assert!(find(&shared).await.is_some());
            let said = lines.take();
            let new = if second == 0 { 2 } else { 0 };
            assert_eq!(said.len(), new, "{hour}, {second}: {said:?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

/// What has not been over is not said again, however rarely it happens.
#[tokio::test(start_paused = true)]
async fn ca_09_a_trouble_that_lasts_is_one_line_however_rarely_it_is_met() {
    let lines = crate::lines::Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let (fake, shared) = store();
    keep(&shared).await;
    fake.spoil();
    lines.take();
    for hour in 0..10 {
        assert!(find(&shared).await.is_none());
        assert_eq!(lines.take().len(), usize::from(hour == 0), "{hour}");
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    }
}

/// A right that is missing is not something else in the store.
#[tokio::test(start_paused = true)]
async fn ca_09_an_account_that_may_not_read_write_or_delete_is_told_which() {
    let lines = crate::lines::Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let (fake, shared) = store();
    let token = keep(&shared).await;
    lines.take();
    fake.is(Mood::Forbidden);
    for _ in 0..100 {
        assert!(find(&shared).await.is_none());
        assert!(!misses(&shared).await);
    }
    let said = lines.take();
    let has = |what: &str| said.iter().filter(|line| line.contains(what)).count();
    assert_eq!(
        (said.len(), has("may not read"), has("may not write")),
        (2, 1, 1),
        "{said:?}"
    );
    shared.forget(&token);
    turn().await;
    let said = lines.take();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("may not delete"), "{said:?}");
    assert_eq!(shared.usage().deletions_dropped, 1);
    // It is there all the same, and nothing of this is said twice.
    assert!(shared.usage().is_there);
    keep(&shared).await;
    assert!(find(&shared).await.is_none());
    assert_eq!(lines.take(), [""; 0]);
    assert_eq!(fake.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn whether_the_store_is_there_can_be_asked() {
    let (fake, shared) = store();
    assert!(!shared.usage().is_there, "nobody has asked yet");
    for mood in [Mood::Broken, Mood::Silent] {
        fake.is(Mood::Well);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(misses(&shared).await);
        assert!(shared.usage().is_there);
        fake.is(mood);
        for _ in 0..3 {
            assert!(!misses(&shared).await);
        }
        assert!(!shared.usage().is_there, "{mood:?}");
    }
}

/// Where one part of a cluster is away, the others serve, whichever it is.
#[tokio::test(start_paused = true)]
async fn ca_09_a_part_of_a_cluster_that_is_away_does_not_make_the_others_so() {
    for has_parts in [true, false] {
        let fake = Fake::new();
        fake.has_parts.store(has_parts, Ordering::Relaxed);
        // What the greeting of a single server asks for lies there, and all others of a cluster but one.
        *fake.away.lock().unwrap() = |name| name.contains(":keys:") && !name.ends_with(":7");
        let shared = fake.shared();
        let begun = Instant::now();
        while !misses(&shared).await && begun.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(shared.usage().is_there, has_parts);
        if has_parts {
            // Also where a connection is made anew, in the time that a look has.
            tokio::time::sleep(Duration::from_secs(30)).await;
            let attempts = fake.attempts();
            fake.cut();
            assert!(misses(&shared).await);
            assert_eq!(fake.attempts(), attempts + 1);
        }
        *fake.away.lock().unwrap() = |name| name.contains(":keys:");
        fake.cut();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!misses(&shared).await, "no part is there");
    }
}

/// Late answers count in a row only, over one connection.
#[tokio::test(start_paused = true)]
async fn ca_09_late_answers_with_good_ones_in_between_do_not_add_up() {
    let (fake, shared) = store();
    keep(&shared).await;
    for round in 0..3 {
        for _ in 0..2 {
            fake.is(Mood::Silent);
            assert!(find(&shared).await.is_none());
        }
        fake.is(Mood::Well);
        assert!(find(&shared).await.is_some(), "{round}");
    }
    assert_eq!(fake.attempts(), 1);
    // After it was given up and has come back, they are counted anew.
    fake.is(Mood::Silent);
    for _ in 0..3 {
        assert!(find(&shared).await.is_none());
    }
    fake.is(Mood::Well);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let attempts = fake.attempts();
    assert!(attempts > 1);
    fake.is(Mood::Silent);
    assert!(find(&shared).await.is_none());
    fake.is(Mood::Well);
    assert!(find(&shared).await.is_some());
    assert_eq!(fake.attempts(), attempts);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_asked_with_growing_pauses_that_differ() {
    let (fake, shared) = store();
    fake.is(Mood::Broken);
    assert!(find(&shared).await.is_none());
    tokio::time::sleep(Duration::from_secs(600)).await;
    let pauses = fake.pauses();
    assert!((20..60).contains(&pauses.len()), "{pauses:?}");
    let mut whole = Duration::from_millis(200);
    let mut exact = 0;
    for pause in &pauses {
        // Timers are exact to a millisecond.
        let shortest = whole / 2;
        let longest = whole + Duration::from_millis(2);
        assert!(
            (shortest..=longest).contains(pause),
            "{pause:?} of {whole:?}"
        );
        exact += usize::from(*pause >= whole);
        whole = (whole * 2).min(Duration::from_secs(30));
    }
    assert!(exact < pauses.len() / 2, "{pauses:?}");
}

/// One that was restarted is back at once; one that is slow would be slow again.
#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_made_anew_at_once_and_a_slow_one_after_a_pause() {
    for (mood, failures, at_once) in [(Mood::Broken, 1, true), (Mood::Silent, 3, false)] {
        let (fake, shared) = store();
        keep(&shared).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        fake.is(mood);
        for _ in 0..failures {
            assert!(find(&shared).await.is_none());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(fake.attempts() > 1, at_once, "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_has_been_well_for_long_is_back_soon() {
    for (lasted, soon) in [(20, false), (60, true)] {
        let (fake, shared) = store();
        keep(&shared).await;
        fake.is(Mood::Broken);
        assert!(find(&shared).await.is_none());
        tokio::time::sleep(Duration::from_secs(120)).await;
        fake.is(Mood::Well);
        while find(&shared).await.is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(lasted)).await;
        let attempts = fake.attempts();
        fake.is(Mood::Silent);
        for _ in 0..3 {
            assert!(find(&shared).await.is_none());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(fake.attempts() > attempts, soon, "{lasted}");
    }
}

/// Who still waits for an answer over the old one has nothing to say about its successor.
#[tokio::test(start_paused = true)]
async fn an_old_connection_that_breaks_does_not_take_the_new_one_along() {
    let (fake, shared) = store();
    keep(&shared).await;
    let health = &shared.0.health;
    let old = health.session(Instant::now() + WAIT).await.unwrap();
    let broken = Err::<(), _>(StoreError::Broken("broken".to_owned()));
    for _ in 0..2 {
        health.looked(&old, &broken);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(fake.attempts(), 2);
    }
    assert!(find(&shared).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn ca_09_a_silent_store_delays_three_requests_by_the_wait_and_no_further_one() {
    let (fake, shared) = store();
    keep(&shared).await;
    fake.is(Mood::Silent);
    for wait in [WAIT, WAIT, WAIT, Duration::ZERO] {
        let begun = Instant::now();
        assert!(matches!(look(&shared, &want()).await, Found::Failed));
        assert_eq!(begun.elapsed(), wait);
    }
}

/// Each answer of 60 ms is in time, two are not. What no request waits for has more time than that, and says
/// nothing about looks.
#[tokio::test(start_paused = true)]
async fn ca_09_a_store_that_is_late_is_given_up_though_it_answers() {
    for late in [60, 150] {
        let lines = crate::lines::Lines::default();
        let _default = tracing::subscriber::set_default(lines.clone());
        let (fake, shared) = store();
        keep(&shared).await;
        assert_eq!(lines.take().len(), 1, "it is there");
        fake.is(Mood::Late(Duration::from_millis(late)));
        for _ in 0..3 {
            assert!(!misses(&shared).await);
            keep(&shared).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(lines.take().len(), 1, "{late} ms: it is away");
        // It is asked whether it has become faster, and nobody waits for that.
        for _ in 0..600 {
            let begun = Instant::now();
            assert!(matches!(look(&shared, &of("bob")).await, Found::Failed));
            assert_eq!(begun.elapsed(), Duration::ZERO, "{late} ms");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(lines.take(), [""; 0], "{late} ms");
        fake.is(Mood::Well);
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(misses(&shared).await);
        assert_eq!(lines.take().len(), 1, "{late} ms: and back");
    }
}

/// A look in two steps has twice the latency of each: as long as that is in time, all is well.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_in_time_stays() {
    let (fake, shared) = store();
    keep(&shared).await;
    fake.is(Mood::Late(Duration::from_millis(45)));
    for _ in 0..20 {
        assert!(misses(&shared).await);
        assert!(find(&shared).await.is_some());
    }
    assert_eq!(fake.attempts(), 1);
}

/// A server that has become a replica still answers who reads.
#[tokio::test(start_paused = true)]
async fn ca_09_a_store_that_can_be_read_and_not_written_is_away_and_one_line() {
    let lines = crate::lines::Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let (fake, shared) = store();
    keep(&shared).await;
    assert_eq!(lines.take().len(), 1, "it is there");
    tokio::time::sleep(Duration::from_secs(100)).await;
    fake.is(Mood::ReadOnly);
    for _ in 0..1_000 {
        assert!(!misses(&shared).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(lines.take().len(), 1, "it is away");
    assert!(fake.attempts() < 20, "{}", fake.attempts());
    fake.is(Mood::Well);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(misses(&shared).await);
    assert_eq!(lines.take().len(), 1, "and back");
}

/// One that comes and goes, a cluster with a node that is dead say, is away for the log.
#[tokio::test(start_paused = true)]
async fn ca_09_a_store_that_breaks_again_and_again_is_neither_a_line_each_time_nor_a_connection() {
    let lines = crate::lines::Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let (fake, shared) = store();
    keep(&shared).await;
    lines.take();
    // Every third look fails, ten a second.
    for number in 0..6_000 {
        if number % 3 == 0 {
            fake.cut();
        }
        misses(&shared).await;
        tokio::time::sleep(Duration::from_millis(99)).await;
    }
    let said = lines.take();
    assert!(said.len() < 10, "{said:?}");
    assert!(fake.attempts() < 100, "{}", fake.attempts());
}

/// Some servers end what is idle, and a restart ends everything: a new connection is there at once.
#[tokio::test(start_paused = true)]
async fn ca_09_a_connection_that_the_server_has_ended_costs_no_exchange() {
    let lines = crate::lines::Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let (fake, shared) = store();
    keep(&shared).await;
    assert_eq!(lines.take().len(), 1, "it is there");
    for round in 1..10 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        fake.cut();
        assert!(find(&shared).await.is_some(), "{round}");
        assert_eq!(fake.attempts(), round + 1);
    }
    // Nor is a token lost that is put there.
    let token = keep(&shared).await;
    shared.forget(&token);
    turn().await;
    assert_eq!(fake.names(), [""; 0]);
    tokio::time::sleep(Duration::from_secs(30)).await;
    fake.cut();
    keep(&shared).await;
    assert_eq!(fake.names().len(), 1);
    assert_eq!(lines.take(), [""; 0]);
}

/// Whatever becomes of the task that connects.
#[tokio::test(start_paused = true)]
async fn after_a_panic_the_next_look_connects_anew() {
    let (fake, shared) = store();
    keep(&shared).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    fake.is(Mood::Broken);
    assert!(find(&shared).await.is_none());
    fake.is(Mood::Panics);
    tokio::time::sleep(Duration::from_secs(30)).await;
    fake.is(Mood::Well);
    assert!(find(&shared).await.is_some());
}

/// What others keep under another key is never even seen.
#[tokio::test(start_paused = true)]
async fn ca_08_another_key_is_one_line_of_the_log_and_a_rotation_is_none() {
    const NEW: &str = "a newer operator's key of 32 bytes or more";
    let lines = crate::lines::Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let clock = || TestClock::at(NOW);
    let fake = Fake::new();
    let connects = async |keys: &[&str]| {
        let shared = fake.shared_with(keys, clock());
        misses(&shared).await;
        lines
            .take()
            .iter()
            .filter(|line| line.contains("another key"))
            .count()
    };
    // One after the other, as a rotation has them.
    for keys in [
        &[KEY][..],
        &[KEY, NEW],
        &[KEY],
        &[NEW, KEY],
        &[KEY],
        &[KEY, NEW],
        &[NEW, KEY],
        &[NEW],
        &[NEW, KEY],
    ] {
        assert_eq!(connects(keys).await, 0, "{keys:?}");
    }
    assert_eq!(connects(&[NEW]).await, 0);
    assert_eq!(connects(&[KEY]).await, 1, "left behind");
    // However often it connects; and whoever is right is told, too.
    let (right, wrong) = (
        fake.shared_with(&[NEW], clock()),
        fake.shared_with(&[KEY], clock()),
    );
    for _ in 0..10 {
        for shared in [&right, &wrong] {
            fake.cut();
            misses(shared).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
    let said = lines.take();
    let foreign = said.iter().filter(|line| line.contains("another key"));
    assert_eq!(foreign.count(), 2, "{said:?}");
}

/// Their tokens have other names in any case.
#[tokio::test(start_paused = true)]
async fn ca_08_applications_with_keys_of_their_own_on_one_store_do_not_warn_of_each_other() {
    let lines = crate::lines::Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let fake = Fake::new();
    for _ in 0..3 {
        for (application, key) in [
            ("ours", KEY),
            ("theirs", "their own key of 32 bytes and more"),
        ] {
            *fake.application.lock().unwrap() = application;
            let shared = fake.shared_with(&[key], TestClock::at(NOW));
            assert!(misses(&shared).await);
        }
    }
    let said = lines.take();
    assert!(
        !said.iter().any(|line| line.starts_with("WARN")),
        "{said:?}"
    );
}
