//! Connections of clients, by listener.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How many there are, and how often there was no room for more, of all or of one address.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(super) public: Arc<AtomicU64>,
    pub(super) admin: Arc<AtomicU64>,
    pub(super) full: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Connections {
    /// One of the listener for clients begins.
    pub(crate) fn public(&self) -> OneMore {
        OneMore::of(&self.public)
    }

    /// One of the admin listener begins.
    pub(crate) fn admin(&self) -> OneMore {
        OneMore::of(&self.admin)
    }

    /// A worker takes no more for now.
    pub(crate) fn full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
    }

    /// One is closed at once, since its client's address has too many.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct OneMore(Arc<AtomicU64>);

impl OneMore {
    fn of(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
