//! What is wrong with a store that answers: one line in the log each, until it is over.

use std::sync::atomic::{AtomicBool, Ordering};

use super::link::StoreError;

/// What has been said already.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    unreadable: Said,
    unwritable: Said,
    foreign: Said,
}

/// Something that is said once, until it is over.
#[derive(Debug, Default)]
struct Said(AtomicBool);

impl Said {
    fn first(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    fn over(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Complaints {
    /// Something else stands where a value should.
    pub(super) fn unreadable(&self, reason: &str) {
        if self.unreadable.first() {
            tracing::warn!(
                reason,
                "the shared store of tokens holds something else; exchanging instead"
            );
        }
    }

    pub(super) fn readable(&self) {
        self.unreadable.over();
    }

    /// Something was written, or could not be.
    pub(super) fn written(&self, written: &Result<(), StoreError>) {
        match written {
            Ok(()) => self.unwritable.over(),
            Err(StoreError::Refused(reason)) if self.unwritable.first() => {
                tracing::warn!(%reason, "the shared store of tokens takes nothing in");
            }
            Err(_) => {}
        }
    }

    /// Others use the store with other keys, or with one of ours.
    pub(super) fn others(&self, have_a_key_of_ours: bool) {
        if have_a_key_of_ours {
            self.foreign.over();
        } else if self.foreign.first() {
            tracing::warn!(
                "the shared store of tokens is used with another key: what others keep there cannot be \
                 opened here, nor what is kept here by them"
            );
        }
    }
}
