//! What a shared store has to be able to do.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use super::seal::{Name, Stamp};

/// The longest value that is put into a store or taken from one, in bytes. No header takes a token of this
/// length, and whoever can write the store cannot make us read without end.
pub(super) const LONGEST: usize = 64 * 1024;

pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Makes connections to a store. Every connection belongs to the runtime that asked for it.
pub(super) trait Backend: fmt::Debug + Send + Sync + 'static {
    /// A connection over which nothing has been asked yet.
    fn connect(&self) -> Answer<'_, Arc<dyn Link>>;

    /// Whether it has parts of which one may be away while the others are there.
    fn has_parts(&self) -> bool {
        false
    }
}

/// A connection, shared by all who ask.
pub(super) trait Link: Send + Sync + 'static {
    /// What stands under the name, of what is longer than [`LONGEST`] no more than that.
    fn get(&self, name: Name) -> Answer<'_, Option<Vec<u8>>>;

    /// Keeps the value that long.
    fn set(&self, name: Name, value: Vec<u8>, life: Duration) -> Answer<'_, ()>;

    /// Keeps the stamp under the name that long and says true, or false if something is kept there already.
    fn claim(&self, name: Name, stamp: Stamp, life: Duration) -> Answer<'_, bool>;

    /// Deletes what stands under the name, if it is the value with this stamp.
    fn remove(&self, name: Name, stamp: Stamp) -> Answer<'_, ()>;
}

/// Why the store did not do what it was asked.
///
/// The reason names a kind and nothing of what was sent: servers repeat that in their errors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum StoreError {
    /// The connection is of no use any more.
    Broken(String),
    /// It answered, and said no.
    Refused(String),
    /// It answered that this account may not do that.
    Forbidden(String),
    /// It did not answer in time.
    Slow,
}

impl StoreError {
    /// Whether it answered, so that the connection is of use: it would not do this one thing.
    pub(super) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Forbidden(_))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(reason) | Self::Refused(reason) | Self::Forbidden(reason) => {
                f.write_str(reason)
            }
            Self::Slow => f.write_str("no answer in time"),
        }
    }
}
