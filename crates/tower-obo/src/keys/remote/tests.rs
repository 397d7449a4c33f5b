use super::*;
use http::{HeaderMap, HeaderValue};

#[test]
fn max_age_is_read_from_cache_control() {
    for (value, expected) in [
        ("max-age=86400, private", Some(86_400)),
        ("private,Max-Age=\"60\"", Some(60)),
        ("no-store", None),
        ("max-age=x", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
        assert_eq!(
            max_age_of(&headers),
            expected.map(Duration::from_secs),
            "{value}"
        );
    }
}

fn shared() -> Arc<Shared> {
    keys(Arc::new(crate::TokioSpawner::current())).shared
}

fn keys(spawner: Arc<dyn Spawner>) -> RemoteKeys {
    keys_by(crate::TestClock::at(Timestamp::from_unix(1_000)), spawner)
}

fn keys_by(clock: crate::TestClock, spawner: Arc<dyn Spawner>) -> RemoteKeys {
    let entra = crate::Entra::tenant("t")
        .authority("http://127.0.0.1:1")
        .into();
    RemoteKeys::new(
        Documents::of(&entra),
        HttpClient::new(Duration::from_secs(1), &entra).unwrap(),
        RemoteKeysSettings::default(),
        Arc::new(clock),
        spawner,
        Arc::new(crate::observer::Silent),
    )
}

/// Keeps tasks without running them.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<crate::Task>>>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Spawner for Kept {
    fn spawn(&self, task: crate::Task) {
        self.0.lock().unwrap().push(task);
    }
}

#[test]
fn keys_that_are_started_more_than_once_are_refreshed_by_one_task() {
    let kept = Kept::default();
    let keys = keys(Arc::new(kept.clone()));
    for _ in 0..3 {
        keys.clone().start();
    }
    assert_eq!(kept.0.lock().unwrap().len(), 1);
    // Its runtime has shut down.
    kept.0.lock().unwrap().clear();
    keys.start();
    assert_eq!(kept.0.lock().unwrap().len(), 1);
}

#[test]
fn refreshes_come_up_to_a_twentieth_early_and_not_all_at_once() {
    let shared = shared();
    let hours = |hours: u64| hours * 3600;
    for (max_age, seconds) in [
        (None, hours(12)),
        (Some(hours(24 * 7)), hours(12)),
        (Some(hours(6)), hours(6)),
        (Some(60), 300),
    ] {
        shared.fetching().max_age = max_age.map(Duration::from_secs);
        let interval = Duration::from_secs(seconds);
        let pauses: Vec<_> = (0..100).map(|_| shared.next_fetch_in()).collect();
        let (first, last) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        assert!(*first >= interval.mul_f64(0.95) && *last <= interval);
        assert!(*last - *first > interval.mul_f64(0.02), "{max_age:?}");
    }
}

#[test]
fn after_a_failure_the_next_fetch_is_soon_and_then_later() {
    let shared = shared();
    for (failures, seconds) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (u32::MAX, 60)] {
        shared.fetching().failures = failures;
        assert_eq!(shared.next_fetch_in(), Duration::from_secs(seconds));
    }
}

/// A key set that may be used for a day.
fn for_a_day(now: Timestamp) -> KeySet {
    let jwks = include_bytes!("../../../tests/vectors/rfc7520.json");
    let file: serde_json::Value = serde_json::from_slice(jwks).unwrap();
    let keys = file["examples"].as_array().unwrap().iter();
    let keys: Vec<_> = keys.map(|example| example["key"].clone()).collect();
    let jwks = serde_json::json!({ "keys": keys }).to_string();
    let issuers = crate::Issuers::new("https://login.example/{tenantid}/v2.0");
    let day = Duration::from_secs(24 * 3600);
    KeySet::parse(jwks.as_bytes(), issuers, now, day).unwrap()
}

/// A machine that was suspended: nobody asks a gateway that is not ready, so no request makes it
/// fetch.
#[tokio::test(start_paused = true)]
async fn ks_02_after_a_jump_of_the_clock_keys_that_are_too_old_are_fetched_within_a_minute() {
    let clock = crate::TestClock::at(Timestamp::from_unix(1_000));
    let spawner = Arc::new(crate::TokioSpawner::current());
    let shared = keys_by(clock.clone(), spawner).shared;
    shared.set.store(Some(Arc::new(for_a_day(clock.now()))));
    let weak = Arc::downgrade(&shared);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);

    let begun = Instant::now();
    until_due(&weak, hours(12)).await;
    assert_eq!(begun.elapsed(), hours(12), "nothing has happened");

    let begun = Instant::now();
    let waiting = tokio::spawn(async move { until_due(&weak, hours(12)).await });
    tokio::time::sleep(hours(1)).await;
    assert!(!waiting.is_finished());
    clock.advance(hours(24));
    waiting.await.unwrap();
    assert!(begun.elapsed() <= hours(1) + Duration::from_secs(60));
}
