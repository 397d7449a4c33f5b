//! Processes that want the same token at the same moment.

use tokio::time::sleep;

use super::*;

const STEP: Duration = Duration::from_millis(10);

/// One that has claimed the exchange, and another.
async fn two() -> (Arc<Fake>, Claim, Shared, Shared) {
    let fake = Fake::new();
    let (first, second) = (fake.shared(), fake.shared());
    assert!(misses(&second).await);
    let Found::Nothing(Some(claim)) = look(&first, &want()).await else {
        panic!("the first has the claim");
    };
    assert_eq!(fake.claims(), 1);
    (fake, claim, first, second)
}

#[tokio::test(start_paused = true)]
async fn ca_09_one_waits_for_another_a_tenth_of_a_second_and_no_longer() {
    let (fake, _claim, _first, second) = two().await;
    let begun = Instant::now();
    let found = look(&second, &want()).await;
    assert!(matches!(found, Found::Busy));
    assert_eq!(fake.lookup(), Some(Lookup::Busy));
    let took = begun.elapsed();
    assert!((WAIT - STEP..=WAIT).contains(&took), "{took:?}");
    // It is still the first one's.
    turn().await;
    assert_eq!(fake.claims(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_there_a_moment_after_another_has_put_it() {
    let (fake, claim, first, second) = two().await;
    let begun = Instant::now();
    let puts = async {
        sleep(STEP * 3).await;
        let (stored, token) = token();
        first.keep(&want(), &stored, &token, Some(claim), NOW);
    };
    let want = want();
    let (found, ()) = tokio::join!(look(&second, &want), puts);
    assert!(matches!(found, Found::Token(_)));
    let took = begun.elapsed();
    assert!((STEP * 3..=STEP * 5).contains(&took), "{took:?}");
    turn().await;
    assert_eq!(fake.claims(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_gives_up_makes_nobody_wait() {
    let (fake, claim, _first, second) = two().await;
    let begun = Instant::now();
    let gives_up = async {
        sleep(STEP * 3).await;
        drop(claim);
    };
    let want = want();
    let (found, ()) = tokio::join!(look(&second, &want), gives_up);
    assert!(
        matches!(found, Found::Nothing(Some(_))),
        "it is the second one's turn"
    );
    let took = begun.elapsed();
    assert!((STEP * 3..=STEP * 5).contains(&took), "{took:?}");
    assert_eq!(fake.claims(), 1);
    drop(found);
    turn().await;
    assert_eq!(fake.claims(), 0);
}

/// Where the store is slow it may be said no to a claim, and nobody hears it.
#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_takes_away_nobody_elses() {
    let (fake, claim, _first, second) = two().await;
    let name = second.0.keys.names(&want().key).next().unwrap();
    drop(Claim::new(&second, &name));
    turn().await;
    assert_eq!(fake.claims(), 1);
    drop(claim);
    turn().await;
    assert_eq!(fake.claims(), 0);
}

/// One that is to leave the authorization server alone has nothing to claim.
#[tokio::test(start_paused = true)]
async fn one_that_may_not_ask_claims_nothing_and_waits_for_others_all_the_same() {
    let (fake, claim, first, second) = two().await;
    let find = async |want: &Want| {
        let begun = Instant::now();
        let found = second.find(want, begun + WAIT, false, |_| true).await;
        (found, begun.elapsed())
    };
    let (found, took) = find(&of("carol")).await;
    assert!(matches!(found, Found::Nothing(None)) && took.is_zero());
    assert_eq!(fake.claims(), 1, "that of the first");
    let puts = async {
        sleep(STEP * 3).await;
        let (stored, token) = token();
        first.keep(&want(), &stored, &token, Some(claim), NOW);
    };
    let want = want();
    let ((found, _), ()) = tokio::join!(find(&want), puts);
    assert!(matches!(found, Found::Token(_)));
    // And where the other gives up, it does so at once.
    let bob = of("bob");
    let Found::Nothing(Some(claim)) = look(&first, &bob).await else {
        panic!("the first has the claim");
    };
    let gives_up = async {
        sleep(STEP * 3).await;
        drop(claim);
    };
    let ((found, took), ()) = tokio::join!(find(&bob), gives_up);
    assert!(matches!(found, Found::Nothing(None)));
    assert!(took <= STEP * 5, "{took:?}");
    assert_eq!(fake.claims(), 0);
}

/// Between a look and the claim the other has put the token there and taken its own claim back.
#[tokio::test(start_paused = true)]
async fn a_token_that_comes_before_the_claim_is_found() {
    let (fake, shared) = store();
    keep(&shared).await;
    fake.comes_before_the_next_claim();
    assert_eq!(fake.names(), [""; 0]);
    assert!(find(&shared).await.is_some());
    assert_eq!(fake.names().len(), 1);
    assert_eq!(fake.claims(), 0, "nobody waits for it");
}

#[tokio::test(start_paused = true)]
async fn an_entry_lasts_as_long_as_it_serves_and_a_claim_two_seconds() {
    let (fake, claim, first, _second) = two().await;
    let (stored, token) = token();
    first.keep(&want(), &stored, &token, Some(claim), NOW);
    turn().await;
    let [name] = &fake.names()[..] else {
        panic!("one entry");
    };
    // 1,000 s but the tenth in which it is renewed first.
    assert_eq!(fake.life(name), Some(Duration::from_secs(900)));
    assert_eq!(
        fake.life(&format!("{name}:claim")),
        Some(Duration::from_secs(2))
    );
}

/// A claim that has ended by itself may be another's by now.
#[tokio::test(start_paused = true)]
async fn a_claim_that_is_over_is_not_taken_back() {
    let (fake, claim, _first, _second) = two().await;
    sleep(Duration::from_secs(2)).await;
    drop(claim);
    turn().await;
    assert_eq!(fake.claims(), 1);
}

/// The clock of whoever put it there is fast.
#[tokio::test(start_paused = true)]
async fn a_token_does_not_last_longer_because_another_s_clock_is_fast() {
    let fake = Fake::new();
    let ahead = NOW + Duration::from_secs(500);
    let fast = fake.shared_with(&[KEY], TestClock::at(ahead));
    let (stored, token) = token();
    let stored = Stored::new(stored.response, ahead);
    fast.keep(&want(), &stored, &token, None, NOW);
    turn().await;
    assert_eq!(find(&fast).await.unwrap().obtained, ahead);
    assert_eq!(find(&fake.shared()).await.unwrap().obtained, NOW);
}
