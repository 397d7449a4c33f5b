//! Signing keys: where they come from, how long they are trusted, what happens when one is not
//! known.

mod algorithm;
mod discovery;
mod fetch_error;
pub(crate) mod issuers;
mod jwk;
mod oidc;
mod remote;
mod set;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use self::discovery::Discovery;
pub(crate) use self::oidc::Documents;
#[cfg(fuzzing)]
pub(crate) use self::oidc::oidc_document;
pub use self::{
    algorithm::Algorithm,
    fetch_error::KeysError,
    issuers::Issuers,
    jwk::Key,
    remote::{RemoteKeys, RemoteKeysBuilder},
    set::{KeySet, KeySetError},
};

/// Resolves when a refresh of the keys has ended, well or not.
pub type Refreshed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why keys are asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RefreshReason {
    /// There are none, or they are too old.
    NoKeys,
    /// A token names a key that is not among them.
    UnknownKey,
}

/// Where signing keys come from.
///
/// [`Core`](crate::Core) has one that follows the authority's discovery documents; tests and other
/// providers bring their own, like this fixed set:
///
/// ```
/// use std::sync::Arc;
/// use tower_obo::{KeySet, KeySource, RefreshReason, Refreshed};
///
/// #[derive(Debug)]
/// struct Fixed(Arc<KeySet>);
///
/// impl KeySource for Fixed {
///     fn current(&self) -> Option<Arc<KeySet>> {
///         Some(Arc::clone(&self.0))
///     }
///     fn refresh(&self, _: RefreshReason) -> Option<Refreshed> {
///         None
///     }
/// }
/// ```
pub trait KeySource: fmt::Debug + Send + Sync + 'static {
    /// The keys that may be used now; `None` while there are none.
    ///
    /// A set may be replaced by another at any time. The core sees it within a second: the keys that
    /// both have stay what they were, and every token that a missing one has vouched for is refused
    /// from then on, also if it was accepted before. A set past its `max_age` is none.
    fn current(&self) -> Option<Arc<KeySet>>;

    /// Asks for newer keys. All who ask at one time share one fetch.
    ///
    /// `None` means that no fetch is due: one took place a short while ago, and a caller with a
    /// made-up key id must not be able to cause another.
    fn refresh(&self, reason: RefreshReason) -> Option<Refreshed>;

    /// Begins to keep the keys fresh in the background. Every core with these keys calls it once.
    fn start(&self) {}
}
