//! The keys that a core judges by, wherever they come from.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::Core;
use crate::{KeySet, KeySource, Timestamp};

/// What the core has last seen of its keys.
#[derive(Debug, Default)]
pub(super) struct Seen {
    sets: Mutex<Option<Sets>>,
    /// When it was last looked at, in seconds since the Unix epoch.
    at: AtomicU64,
}

#[derive(Debug)]
struct Sets {
    /// As it was given.
    given: Arc<KeySet>,
    /// The same, with the keys of the set before that are still there: admissions hold those.
    own: Arc<KeySet>,
}

impl Seen {
    /// The set in the form that the core judges by. Where it is another than the last one, the keys that
    /// it does not have any more vouch for nothing from now on.
    ///
    /// The source is asked under the lock: else a thread that was given a set and had to wait would take
    /// it after its successor, and withdraw the successor's new keys.
    fn take(&self, keys: &dyn KeySource, now: Timestamp) -> Option<Arc<KeySet>> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let given = keys.current().filter(|keys| keys.is_trusted(now))?;
        let own = match &*sets {
            Some(seen) if Arc::ptr_eq(&seen.given, &given) => return Some(Arc::clone(&seen.own)),
            Some(seen) => Arc::new(given.succeeding(&seen.own)),
            None => Arc::clone(&given),
        };
        let seen = Arc::clone(&own);
        *sets = Some(Sets { given, own });
        Some(seen)
    }
}

impl Core {
    /// The keys to judge by; `None` while there are none, or those that there are have grown too old.
    pub(super) fn current_keys(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        self.0.seen_keys.take(&*self.0.keys, now)
    }

    /// Looks once a second whether the keys are others: a token that is known asks for none, and must
    /// not outlive its key.
    pub(super) fn look_at_keys(&self, now: Timestamp) {
        let at = &self.0.seen_keys.at;
        if at.load(Ordering::Relaxed) != now.as_unix() {
            at.store(now.as_unix(), Ordering::Relaxed);
            self.current_keys(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::{RefreshReason, Refreshed};

    /// Notes whether the core would let another thread take a set at this moment.
    #[derive(Debug)]
    struct Asked(Arc<Seen>, AtomicBool);

    impl KeySource for Asked {
        fn current(&self) -> Option<Arc<KeySet>> {
            let is_free = self.0.sets.try_lock().is_ok();
            self.1.store(is_free, Ordering::Relaxed);
            None
        }

        fn refresh(&self, _: RefreshReason) -> Option<Refreshed> {
            None
        }
    }

    #[test]
    fn no_other_thread_takes_a_set_between_the_question_and_the_answer() {
        let seen = Arc::new(Seen::default());
        let source = Asked(Arc::clone(&seen), AtomicBool::new(true));
        assert!(seen.take(&source, Timestamp::from_unix(1)).is_none());
        assert!(!source.1.load(Ordering::Relaxed));
        assert!(seen.sets.try_lock().is_ok());
    }
}
