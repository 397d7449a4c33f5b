//! Keys that follow the authority: fetched once, kept last-good, refreshed in the background.

mod builder;
mod settings;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::header::CACHE_CONTROL;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

pub use self::builder::RemoteKeysBuilder;
use self::settings::{MIN_INTERVAL, RemoteKeysSettings};
use super::{Documents, KeySet, KeySource, KeysError, RefreshReason, Refreshed};
use crate::{Clock, Event, Observer, Provider, Spawner, Timestamp, http_client::HttpClient};

/// The signing keys of an Entra ID authority, found by its discovery documents, kept last-good and
/// refreshed in the background: what a [`Core`](crate::Core) has unless it is given others.
///
/// Clones are one source. Alone, with a [`Validator`](crate::Validator), they judge tokens where
/// there is nothing to exchange:
///
/// ```no_run
/// use tower_obo::{Clock, Entra, KeySource, RefreshReason, RemoteKeys, SystemClock, Validator};
///
/// # async fn example(token: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
/// let keys = RemoteKeys::builder(Entra::tenant(tenant)).build()?;
/// keys.start();
/// // The first fetch; later ones happen by themselves.
/// if let Some(fetch) = keys.refresh(RefreshReason::NoKeys) {
///     fetch.await;
/// }
/// let validator = Validator::builder()
///     .audience("6e74172b-be56-4843-9ff4-e66a39bb12e3")
///     .tenant(tenant)
///     .build();
/// let current = keys.current().ok_or("the authority has given no keys yet")?;
/// let principal = validator
///     .validate(token, &current, SystemClock.now())
///     .map_err(|defect| defect.reason())?;
/// # let _ = principal;
/// # Ok(()) }
/// ```
///
/// A token that names a key which is not there ([`TokenDefect::UnknownKey`](crate::TokenDefect)) may
/// be good after a [`refresh`](KeySource::refresh), which is due once in five minutes at most
/// ([`RemoteKeysBuilder::with_unknown_key_cool_down`]).
#[derive(Clone)]
pub struct RemoteKeys {
    shared: Arc<Shared>,
    /// Ends the background task when the last clone is dropped.
    alive: Arc<watch::Sender<()>>,
}

#[derive(Debug)]
struct Shared {
    discovery: Documents,
    http: HttpClient,
    settings: RemoteKeysSettings,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    observer: Arc<dyn Observer>,
    set: ArcSwapOption<KeySet>,
    fetching: Mutex<Fetching>,
    /// Tells the background task that a fetch has ended, whoever caused it.
    ended: Arc<Notify>,
    /// Whether the background task runs: there is one, however many cores have these keys.
    kept_fresh: AtomicBool,
}

#[derive(Debug, Default)]
struct Fetching {
    /// Closes when the fetch under way ends, whatever way it ends.
    under_way: Option<watch::Receiver<()>>,
    /// Before this time an unknown key causes no fetch.
    unknown_key_from: Timestamp,
    /// Before this time the lack of keys causes none: the last attempt has just failed.
    no_keys_from: Timestamp,
    failures: u32,
    /// How long the last answer may be kept, by its own word.
    max_age: Option<Duration>,
}

impl RemoteKeys {
    /// Starts to set up the keys of an authority of Entra ID, or of another provider.
    pub fn builder(provider: impl Into<Provider>) -> RemoteKeysBuilder {
        RemoteKeysBuilder::new(provider.into())
    }

    pub(crate) fn new(
        discovery: Documents,
        http: HttpClient,
        settings: RemoteKeysSettings,
        clock: Arc<dyn Clock>,
        spawner: Arc<dyn Spawner>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let shared = Shared {
            discovery,
            http,
            settings,
            clock,
            spawner,
            observer,
            set: ArcSwapOption::empty(),
            fetching: Mutex::default(),
            ended: Arc::default(),
            kept_fresh: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            alive: Arc::new(watch::Sender::new(())),
        }
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys")
            .field("discovery", &self.shared.discovery)
            .field(
                "keys",
                &self.shared.set.load().as_ref().map(|set| set.len()),
            )
            .finish_non_exhaustive()
    }
}

impl KeySource for RemoteKeys {
    fn current(&self) -> Option<Arc<KeySet>> {
        let now = self.shared.clock.now();
        self.shared
            .set
            .load_full()
            .filter(|keys| keys.is_trusted(now))
    }

    fn refresh(&self, reason: RefreshReason) -> Option<Refreshed> {
        let mut ended = self.shared.fetch(Cause::Request(reason))?;
        Some(Box::pin(async move {
            // Nothing is ever sent: the channel closes when the fetch ends.
            let _ = ended.changed().await;
        }))
    }

    fn start(&self) {
        if self.shared.kept_fresh.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::downgrade(&self.shared);
        let alive = self.alive.subscribe();
        self.shared
            .spawner
            .spawn(Box::pin(keep_fresh(KeptFresh(shared), alive)));
    }
}

#[derive(Clone, Copy, Debug)]
enum Cause {
    Timer,
    Request(RefreshReason),
}

impl Shared {
    /// Begins a fetch, or joins the one under way; `None` if none is due.
    fn fetch(self: &Arc<Self>, cause: Cause) -> Option<watch::Receiver<()>> {
        let now = self.clock.now();
        let mut fetching = self.fetching();
        if let Some(under_way) = &fetching.under_way {
            return Some(under_way.clone());
        }
        match cause {
            // A fetch has brought some since who asks has looked, on another thread.
            Cause::Request(RefreshReason::NoKeys) if !self.has_none(now) => {
                return Some(watch::channel(()).1);
            }
            Cause::Request(RefreshReason::NoKeys)
                if is_before(now, fetching.no_keys_from, MAX_WAIT_WITHOUT_KEYS) =>
            {
                return None;
            }
            Cause::Timer | Cause::Request(RefreshReason::NoKeys) => {}
            Cause::Request(RefreshReason::UnknownKey) => {
                let cooldown = self.settings.unknown_key_cool_down;
                if is_before(now, fetching.unknown_key_from, cooldown) {
                    return None;
                }
                fetching.unknown_key_from = now + cooldown;
            }
        }
        let (ending, ended) = watch::channel(());
        fetching.under_way = Some(ended.clone());
        drop(fetching);
        let under_way = UnderWay {
            shared: Arc::clone(self),
            ending: Some(ending),
        };
        self.spawner.spawn(Box::pin(async move {
            under_way.shared.fetch_now().await;
            drop(under_way);
        }));
        Some(ended)
    }

    async fn fetch_now(&self) {
        let result = match self.discovery.fetch(&self.http).await {
            Ok(found) => {
                let now = self.clock.now();
                let max_age = self.settings.max_age;
                KeySet::parse(&found.jwks.body, found.issuers, now, max_age)
                    .map(|set| (set, max_age_of(&found.jwks.headers)))
                    .map_err(KeysError::from)
            }
            Err(error) => Err(error.into()),
        };
        match result {
            Ok((mut set, max_age)) => {
                if let Some(old) = self.set.load_full() {
                    set = set.succeeding(&old);
                }
                let keys = set.len();
                self.set.store(Some(Arc::new(set)));
                {
                    let mut fetching = self.fetching();
                    fetching.failures = 0;
                    fetching.max_age = max_age;
                }
                tracing::debug!(keys, "signing keys loaded");
                self.observer.on(&Event::KeysFetched {
                    keys: Some(keys),
                    error: None,
                });
            }
            Err(reason) => {
                let now = self.clock.now();
                {
                    let mut fetching = self.fetching();
                    fetching.failures = fetching.failures.saturating_add(1);
                    // An unknown key has to wait for its cool-down all the same: whoever makes key
                    // ids up must not be able to ask an authority in trouble more often than one that
                    // is well. The background task tries again, at a pace that no caller sets.
                    let next = back_off(fetching.failures);
                    fetching.no_keys_from = now + next.min(MAX_WAIT_WITHOUT_KEYS);
                }
                let serving = self.set.load().is_some();
                tracing::warn!(%reason, serving, "signing keys cannot be loaded");
                self.observer.on(&Event::KeysFetched {
                    keys: None,
                    error: Some(&reason),
                });
            }
        }
        self.ended.notify_one();
    }

    /// Whether there are no keys that may be used.
    fn has_none(&self, now: Timestamp) -> bool {
        (self.set.load().as_ref()).is_none_or(|keys| !keys.is_trusted(now))
    }

    /// Whether there are keys that may not be used any more.
    fn has_outlived(&self) -> bool {
        let now = self.clock.now();
        self.set
            .load()
            .as_ref()
            .is_some_and(|keys| !keys.is_trusted(now))
    }

    /// How long to wait before the next fetch without cause.
    fn next_fetch_in(&self) -> Duration {
        let fetching = self.fetching();
        if fetching.failures > 0 {
            return back_off(fetching.failures);
        }
        let longest = self.settings.interval();
        let interval = fetching.max_age.unwrap_or(longest);
        let interval = interval.clamp(MIN_INTERVAL, longest);
        // Up to 5 % earlier, so that a fleet does not ask at once.
        interval - interval.mul_f64(0.05 * crate::jitter::unit())
    }

    fn fetching(&self) -> std::sync::MutexGuard<'_, Fetching> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 1, 2, 4 … 60 s: quick to recover, no burden to an authority in trouble.
fn back_off(failures: u32) -> Duration {
    let seconds = 1_u64 << failures.saturating_sub(1).min(6);
    Duration::from_secs(seconds.min(60))
}

/// How often the clock is looked at between two fetches.
const LOOK_AT_THE_CLOCK: Duration = Duration::from_secs(30);

/// Whether it is not time yet. What would take longer than it ever takes comes from a clock that has
/// been set back since.
fn is_before(now: Timestamp, time: Timestamp, most: Duration) -> bool {
    now < time && time.saturating_since(now) <= most
}

/// While there are no keys at all, requests may ask for them at least this often.
const MAX_WAIT_WITHOUT_KEYS: Duration = Duration::from_secs(10);

/// Marks the end of a fetch on every way out, a panic and a runtime that shuts down included.
struct UnderWay {
    shared: Arc<Shared>,
    ending: Option<watch::Sender<()>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.fetching().under_way = None;
        drop(self.ending.take());
    }
}

/// Says when the background task has ended, a runtime that shuts down included: then another may run.
struct KeptFresh(Weak<Shared>);

impl Drop for KeptFresh {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.kept_fresh.store(false, Ordering::Relaxed);
        }
    }
}

async fn keep_fresh(kept: KeptFresh, mut alive: watch::Receiver<()>) {
    loop {
        let Some(strong) = kept.0.upgrade() else {
            return;
        };
        let under_way = strong.fetch(Cause::Timer);
        drop(strong);
        if let Some(mut ended) = under_way {
            let _ = ended.changed().await;
        }
        loop {
            let Some(shared) = kept.0.upgrade() else {
                return;
            };
            let (pause, ended) = (shared.next_fetch_in(), Arc::clone(&shared.ended));
            drop(shared);
            tokio::select! {
                () = until_due(&kept.0, pause) => break,
                // A request's fetch: after one that failed the next is due sooner, after one that did
                // not, later.
                () = ended.notified() => {}
                _ = alive.changed() => return,
            }
        }
    }
}

/// Waits for that long, or until the keys are too old by the clock, which may jump: a machine that was
/// suspended for a day has slept a second by its timers, and nobody asks who is not ready.
async fn until_due(shared: &Weak<Shared>, pause: Duration) {
    let end = Instant::now() + pause;
    while Instant::now() < end {
        let step = (end - Instant::now()).min(LOOK_AT_THE_CLOCK);
        tokio::time::sleep(step).await;
        if shared.upgrade().is_none_or(|shared| shared.has_outlived()) {
            return;
        }
    }
}

/// `max-age` of Cache-Control (RFC 9111 §5.2.2.1).
fn max_age_of(headers: &http::HeaderMap) -> Option<Duration> {
    headers
        .get(CACHE_CONTROL)?
        .to_str()
        .ok()?
        .split(',')
        .find_map(|directive| {
            let (name, value) = directive.trim().split_once('=')?;
            name.eq_ignore_ascii_case("max-age")
                .then(|| value.trim_matches('"').parse().ok())
                .flatten()
        })
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
