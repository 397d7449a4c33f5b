//! How full the caches are, for whoever watches over a process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use quick_cache::Lifecycle;

/// How full one cache is; see [`Core::cache_usage`](crate::Core::cache_usage).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct CacheUsage {
    /// Entries that are kept.
    pub entries: u64,
    /// The bytes that they are counted with.
    pub bytes: u64,
    /// Entries that had to make room for others, since the start.
    pub evictions: u64,
}

/// The caches of a core.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct CachesUsage {
    /// Callers' tokens that have been validated.
    pub admissions: CacheUsage,
    /// Downstream tokens.
    pub tokens: CacheUsage,
}

/// How the store is that processes share; see [`Core::shared_store`](crate::Core::shared_store).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SharedStoreUsage {
    /// Whether there is a connection over which it has been read and written.
    pub is_there: bool,
    /// Tokens that their downstream has refused and that are still to be deleted from it.
    pub deletions_owed: u64,
    /// Refused tokens that stay there until they end, since the start: too many were owed, or the store refused
    /// to delete them.
    pub deletions_dropped: u64,
}

/// Counts what a cache lets go of to make room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evictions(Arc<AtomicU64>);

impl Evictions {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<K, V> Lifecycle<K, V> for Evictions {
    /// What is let go of, so that it is freed after the cache's lock: mostly one or two.
    type RequestState = [Option<V>; 2];

    fn on_evict(&self, freed_later: &mut [Option<V>; 2], _: K, value: V) {
        self.0.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = freed_later.iter_mut().find(|place| place.is_none()) {
            *place = Some(value);
        }
    }
}
