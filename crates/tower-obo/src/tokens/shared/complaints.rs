//! What is wrong with a store that answers: one line in the log each, until it has been over for a while.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::link::StoreError;

/// Something is over once it has not happened for so long: a store without room takes one value in and not
/// the next, and that is one trouble, not many.
const QUIET: Duration = Duration::from_secs(60);

/// What has been said already.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    unreadable: Said,
    unwritable: Said,
    may_not_read: Said,
    may_not_write: Said,
    may_not_delete: Said,
    foreign: Said,
}

/// Something that is said once, until it is over.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<Trouble>);

#[derive(Debug, Default)]
struct Trouble {
    last: Option<Instant>,
    /// Whether the opposite has been seen since.
    over: bool,
}

impl Said {
    /// It happens. Whether that is to be said.
    pub(super) fn first(&self) -> bool {
        let now = Instant::now();
        let mut trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let says = match trouble.last {
            None => true,
            Some(last) => trouble.over && now.saturating_duration_since(last) >= QUIET,
        };
        *trouble = Trouble {
            last: Some(now),
            over: false,
        };
        says
    }

    /// The opposite happens.
    pub(super) fn over(&self) {
        let mut trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.over = true;
    }
}

impl Complaints {
    /// Something else stands where a value should.
    pub(super) fn unreadable(&self, reason: &dyn fmt::Display) {
        if self.unreadable.first() {
            tracing::warn!(
                %reason,
                "the shared store of tokens holds something else; exchanging instead"
            );
        }
    }

    /// A question was refused.
    pub(super) fn unread(&self, refusal: &StoreError) {
        match refusal {
            StoreError::Forbidden(reason) if self.may_not_read.first() => tracing::warn!(
                %reason,
                "this account may not read the shared store of tokens (GETRANGE); exchanging instead"
            ),
            StoreError::Refused(reason) => self.unreadable(reason),
            _ => {}
        }
    }

    pub(super) fn readable(&self) {
        self.unreadable.over();
        self.may_not_read.over();
    }

    /// Something was written, or could not be.
    pub(super) fn written<T>(&self, written: &Result<T, StoreError>) {
        match written {
            Ok(_) => {
                self.unwritable.over();
                self.may_not_write.over();
            }
            Err(StoreError::Refused(reason)) if self.unwritable.first() => {
                tracing::warn!(%reason, "the shared store of tokens takes nothing in");
            }
            Err(StoreError::Forbidden(reason)) if self.may_not_write.first() => tracing::warn!(
                %reason,
                "this account may not write the shared store of tokens (SET)"
            ),
            Err(_) => {}
        }
    }

    /// A token that was refused could not be deleted, nor will it be.
    pub(super) fn undeletable(&self, refusal: &StoreError) {
        if self.may_not_delete.first() {
            tracing::warn!(
                reason = %refusal,
                "this account may not delete from the shared store of tokens (EVAL, or DEL): a token that was \
                 refused stays there until it ends"
            );
        }
    }

    pub(super) fn deletable(&self) {
        self.may_not_delete.over();
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
