//! What time it is, as something a test can decide.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A point in time: whole seconds since the Unix epoch, as `exp` and `nbf` count them
/// (RFC 7519 §2, *NumericDate*).
///
/// ```
/// use std::time::Duration;
/// use tower_obo::Timestamp;
///
/// let exp = Timestamp::from_unix(1_700_000_000);
/// assert_eq!((exp + Duration::from_secs(60)).as_unix(), 1_700_000_060);
/// assert_eq!(exp.saturating_since(exp + Duration::from_secs(1)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Later than every other time.
    pub(crate) const MAX: Self = Self(u64::MAX);

    /// The time that many seconds after the Unix epoch.
    #[must_use]
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix(self) -> u64 {
        self.0
    }

    /// How long `earlier` lies before this time; zero when it lies after it.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The time `by` earlier, never before the epoch.
    #[must_use]
    pub const fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by.as_secs()))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.as_secs()))
    }
}

/// Where the time comes from.
///
/// [`SystemClock`] unless a test says otherwise; see [`TestClock`].
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
///
/// ```
/// use tower_obo::{Clock, SystemClock};
/// assert!(SystemClock.now().as_unix() > 1_700_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that may ask the operating system"
    )]
    fn now(&self) -> Timestamp {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(Timestamp(0), |since| Timestamp(since.as_secs()))
    }
}

/// A clock that stands still until a test moves it. Clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use tower_obo::{Clock, TestClock, Timestamp};
///
/// let clock = TestClock::at(Timestamp::from_unix(1_000));
/// let same = clock.clone();
/// same.advance(Duration::from_secs(5));
/// assert_eq!(clock.now(), Timestamp::from_unix(1_005));
/// ```
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    /// A clock that shows `time`.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(time.0)))
    }

    /// A clock that shows the operating system's time of this moment, for tests beside parts that
    /// have no clock of their own to set.
    #[must_use]
    pub fn starting_now() -> Self {
        Self::at(SystemClock.now())
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    /// Sets the clock.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.0, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}
