//! The look into a shared store, before an exchange.

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::*;
use crate::{
    Lookup,
    tokens::shared::fake::{Fake, Mood, NOW, WAIT},
};

fn with_store(open: usize, max_exchanges: usize) -> (Arc<Fake>, Fixture) {
    let fake = Fake::new();
    let mut f = fixture(open, max_exchanges);
    Arc::get_mut(&mut f.store).unwrap().share(fake.shared());
    assert_eq!(f.clock.now(), NOW);
    (fake, f)
}

fn obtain(f: &Fixture, user: &str) -> JoinHandle<Result<Arc<CachedToken>, Unavailable>> {
    let (store, want) = (Arc::clone(&f.store), want(user));
    tokio::spawn(async move { store.obtain(want).await })
}

/// What was spawned has its turn.
async fn turn() {
    sleep(Duration::from_millis(1)).await;
}

/// The first ones of a process that was started anew: had each look a place, a hundred would be through
/// after three seconds, and more of them too late.
#[tokio::test(start_paused = true)]
async fn ca_09_a_slow_store_takes_no_place_among_the_exchanges() {
    let (fake, f) = with_store(usize::MAX >> 4, 2);
    // Connected, and then slow, though in time.
    assert!(f.store.obtain(want("first")).await.is_ok());
    turn().await;
    fake.is(Mood::Late(Duration::from_millis(30)));
    let begun = Instant::now();
    let callers: Vec<_> = (0..100).map(|user| obtain(&f, &user.to_string())).collect();
    turn().await;
    assert_eq!(f.store.exchanges.available_permits(), 2);
    for caller in callers {
        assert!(caller.await.unwrap().is_ok());
    }
    let took = begun.elapsed();
    assert!(took <= WAIT, "{took:?}");
    assert_eq!(f.exchange.begun(), 101);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_others_wait_for_a_place_does_not_wait_for_their_claim() {
    let (fake, f) = with_store(0, 1);
    let bob = obtain(&f, "bob");
    f.exchange.until_begun(1).await;
    let first = obtain(&f, "alice");
    turn().await;
    let gets = fake.gets();
    let second = obtain(&f, "alice");
    turn().await;
    assert_eq!(fake.gets(), gets, "there is one look for both");
    assert_eq!(fake.claims(), 2);
    f.exchange.open();
    f.exchange.open();
    assert!(bob.await.unwrap().is_ok());
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    assert_eq!(f.exchange.begun(), 2);
    turn().await;
    assert_eq!((fake.claims(), f.store.looks.len()), (0, 0));
    // The token of each is there.
    assert_eq!(fake.names().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn when_nobody_wants_a_token_any_more_its_claim_is_taken_back() {
    let (fake, f) = with_store(0, 1);
    let bob = obtain(&f, "bob");
    f.exchange.until_begun(1).await;
    let callers = [obtain(&f, "alice"), obtain(&f, "alice")];
    turn().await;
    assert_eq!(fake.claims(), 2);
    for caller in callers {
        assert_eq!(fake.claims(), 2);
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        turn().await;
    }
    assert_eq!(fake.claims(), 1);
    f.exchange.open();
    assert!(bob.await.unwrap().is_ok());
    turn().await;
    assert_eq!((fake.claims(), f.store.looks.len()), (0, 0));
    assert_eq!(f.exchange.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_fails_takes_its_claim_back_though_others_still_look() {
    let (fake, f) = with_store(1, 1);
    f.exchange
        .answers(Answer::Error(ExchangeErrorKind::Misconfigured));
    let failed = f.store.obtain(want("alice")).await;
    assert_eq!(error_kind(failed), Some(ExchangeErrorKind::Misconfigured));
    turn().await;
    assert_eq!((fake.claims(), f.store.looks.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn ca_09_who_finds_no_place_for_a_look_goes_on_without_one() {
    let (fake, f) = with_store(1, 1);
    let places = Arc::clone(f.store.looks.places());
    let all = u32::try_from(places.available_permits()).unwrap();
    let _all = places.acquire_many(all).await.unwrap();
    let begun = Instant::now();
    assert!(f.store.obtain(want("alice")).await.is_ok());
    assert_eq!(begun.elapsed(), WAIT);
    assert_eq!(fake.gets(), 0);
    assert_eq!(fake.lookup(), Some(Lookup::Skipped));
    // A renewal does not even wait for one.
    let token = f.store.obtain(want("alice")).await.unwrap();
    f.clock.advance(Duration::from_secs(850));
    f.store.renew(&token, || want("alice"));
    turn().await;
    assert_eq!(fake.lookup(), Some(Lookup::Skipped));
    assert_eq!(f.exchange.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_panics_costs_an_exchange() {
    let (fake, f) = with_store(2, 1);
    assert!(f.store.obtain(want("bob")).await.is_ok());
    turn().await;
    fake.is(Mood::Panics);
    let obtained = timeout(Duration::from_secs(60), f.store.obtain(want("alice"))).await;
    assert!(
        obtained
            .expect("nobody waits for a look that has ended")
            .is_ok()
    );
    assert_eq!(f.exchange.begun(), 2);
    assert_eq!(f.store.looks.len(), 0);
    let places = f.store.looks.places().available_permits();
    assert_eq!(places, 1_024);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_looks_first_and_takes_a_place_only_if_one_is_free_then() {
    let (fake, f) = with_store(2, 1);
    let token = f.store.obtain(want("alice")).await.unwrap();
    f.clock.advance(Duration::from_secs(850));
    fake.is(Mood::Late(Duration::from_millis(30)));
    f.store.renew(&token, || want("alice"));
    turn().await;
    assert_eq!(f.store.exchanges.available_permits(), 1, "it looks");
    // Somebody's first token comes first.
    let place = f.store.exchanges.acquire().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(f.exchange.begun(), 1);
    assert_eq!((fake.claims(), f.store.looks.len()), (0, 0));
    drop(place);
    f.clock.advance(Duration::from_secs(31));
    f.store.renew(&token, || want("alice"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(f.exchange.begun(), 2);
    let renewed = f.store.obtain(want("alice")).await.unwrap();
    assert!(!Arc::ptr_eq(&token, &renewed));
}

/// While the authorization server is to be left alone.
#[tokio::test(start_paused = true)]
async fn ex_06_a_look_during_a_throttle_claims_nothing_and_asks_nothing() {
    let (fake, f) = with_store(1, 1);
    f.exchange
        .answers(Answer::Error(ExchangeErrorKind::Throttled));
    let throttled = f.store.obtain(want("alice")).await;
    assert_eq!(error_kind(throttled), Some(ExchangeErrorKind::Throttled));
    turn().await;
    let gets = fake.gets();
    let throttled = f.store.obtain(want("bob")).await;
    assert_eq!(error_kind(throttled), Some(ExchangeErrorKind::Throttled));
    assert!(fake.gets() > gets, "it is looked");
    assert_eq!((f.exchange.begun(), fake.claims()), (1, 0));
}

/// The user is cut off while the token is fetched from the store.
#[tokio::test(start_paused = true)]
async fn a_token_of_the_store_whose_user_is_purged_meanwhile_is_not_served() {
    let (fake, f) = with_store(2, 1);
    let first = f.store.obtain(want("alice")).await.unwrap();
    turn().await;
    f.store.clear();
    fake.is(Mood::Late(Duration::from_millis(30)));
    let again = obtain(&f, "alice");
    turn().await;
    f.store
        .purge(Owner::of(&want("alice")).unwrap(), std::iter::empty());
    let again = again.await.unwrap().unwrap();
    assert!(!again.is_same(&first));
    assert_eq!(f.exchange.begun(), 2);
}
