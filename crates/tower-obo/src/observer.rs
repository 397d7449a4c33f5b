//! What happens inside, told to whoever wants to count it.

use std::{fmt, time::Duration};

use crate::{KeysError, Rejection, exchange::ExchangeError};

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request was admitted or refused by a token that was known already (`hit`), or that had to
    /// be validated.
    #[non_exhaustive]
    Admission {
        /// Whether the token was known.
        hit: bool,
    },
    /// A request was refused.
    #[non_exhaustive]
    Refused {
        /// With what.
        rejection: &'a Rejection,
    },
    /// An exchange ended.
    #[non_exhaustive]
    Exchanged {
        /// How long it took, waiting for the token endpoint included.
        took: Duration,
        /// Why it failed, if it did.
        error: Option<&'a ExchangeError>,
    },
    /// A downstream token was found ready (`hit`), or had to be asked for.
    #[non_exhaustive]
    Token {
        /// Whether it was there.
        hit: bool,
    },
    /// The store that processes share was asked for a downstream token.
    #[non_exhaustive]
    SharedStore {
        /// What came of it.
        outcome: Lookup,
    },
    /// A fetch of signing keys ended.
    #[non_exhaustive]
    KeysFetched {
        /// How many keys there are now; `None` if the fetch failed and the last good ones stay.
        keys: Option<usize>,
        /// Why it failed, if it did.
        error: Option<&'a KeysError>,
    },
    /// The authorization server answered with a token of somebody else, or with the caller's own:
    /// never supposed to happen, and worth an alarm.
    ForeignToken,
}

/// What came of a look into the store of tokens that processes share.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Lookup {
    /// The token was there.
    Hit,
    /// It was not, or was of no use.
    Miss,
    /// Another process was exchanging for it, and had not ended when the wait was over.
    Busy,
    /// The store could not be asked, or did not answer in time.
    Failed,
    /// It was not asked: too many looks were under way.
    Skipped,
}

/// Learns of every [`Event`], on the thread where it happens; it must not block.
///
/// The library has no metrics of its own, so that two instances in one process never share a
/// registry:
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use tower_obo::{Event, Observer};
///
/// #[derive(Debug, Default)]
/// struct Refusals(AtomicUsize);
///
/// impl Observer for Refusals {
///     fn on(&self, event: &Event<'_>) {
///         if let Event::Refused { .. } = event {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Learns of an event.
    fn on(&self, event: &Event<'_>);
}

/// Learns nothing.
#[derive(Debug)]
pub(crate) struct Silent;

impl Observer for Silent {
    fn on(&self, _: &Event<'_>) {}
}
