//! When the authorization server says how long to wait, nobody asks before.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use quick_cache::{Weighter, sync::Cache};

use crate::{
    Timestamp,
    digest::{AsIs, Digest},
    exchange::{ExchangeError, ExchangeErrorKind},
};

/// Refusals of a caller, which only the user can mend, are remembered this long at most, under the
/// token's full key: whoever has done what was asked comes with a new token.
const USER_MEMORY: std::time::Duration = std::time::Duration::from_secs(30);

/// At most this many users' errors are remembered, fewer if their claims are long; what falls out
/// costs one exchange.
const MAX_USERS: usize = 4_096;

/// What an error is counted with besides its claims, and what all of them may take.
const HELD: usize = 1_024;
const MAX_BYTES: u64 = (MAX_USERS * HELD) as u64;

/// At most this many (tenant, resource) pairs are held back at once.
const MAX_GROUPS: usize = 1_024;

/// Errors that stand for a while: those of one user, and those of everybody.
#[derive(Debug)]
pub(super) struct Holdback {
    users: Cache<Digest, Held, ByBytes, AsIs>,
    groups: Mutex<HashMap<Group, Held>>,
}

/// Who shares a throttle at Entra ID: a tenant's users of one application for one resource.
pub(super) type Group = [u8; 32];

#[derive(Clone, Debug)]
struct Held {
    error: ExchangeError,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl Weighter<Digest, Held> for ByBytes {
    fn weight(&self, _: &Digest, held: &Held) -> u64 {
        (HELD + held.error.claims().map_or(0, str::len)) as u64
    }
}

impl Held {
    /// The error, with what is left of its `Retry-After`.
    fn error_at(&self, now: Timestamp) -> ExchangeError {
        match self.error.retry_after() {
            Some(_) => {
                let left = self.until.saturating_since(now);
                self.error.clone().with_retry_after(left)
            }
            None => self.error.clone(),
        }
    }
}

impl Default for Holdback {
    fn default() -> Self {
        Self {
            users: Cache::with(
                MAX_USERS,
                MAX_BYTES,
                ByBytes,
                AsIs::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
            groups: Mutex::default(),
        }
    }
}

impl Holdback {
    /// The error that still stands for this token.
    pub(super) fn error(
        &self,
        key: &Digest,
        group: &Group,
        now: Timestamp,
    ) -> Option<ExchangeError> {
        if let Some(error) = self.error_of_user(key, now) {
            return Some(error);
        }
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let held = groups.get(group)?;
        if now < held.until {
            return Some(held.error_at(now));
        }
        groups.remove(group);
        None
    }

    /// The error that stands for this token and for no other.
    pub(super) fn error_of_user(&self, key: &Digest, now: Timestamp) -> Option<ExchangeError> {
        let held = self.users.get(key)?;
        if now < held.until {
            return Some(held.error_at(now));
        }
        self.users.remove(key);
        None
    }

    /// Remembers an error as long as it stands: a 429 for all of the group, a fault with a
    /// `Retry-After` and a refusal of the caller for this token alone.
    pub(super) fn remember(
        &self,
        key: &Digest,
        group: &Group,
        error: &ExchangeError,
        now: Timestamp,
    ) {
        let held = |wait| Held {
            error: error.clone(),
            until: now + wait,
        };
        match (error.kind(), error.retry_after()) {
            (ExchangeErrorKind::Throttled, wait) => {
                let wait = wait.unwrap_or(std::time::Duration::from_secs(5));
                let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
                if groups.len() >= MAX_GROUPS {
                    groups.retain(|_, held| now < held.until);
                }
                if groups.len() < MAX_GROUPS {
                    groups.insert(*group, held(wait));
                }
            }
            (ExchangeErrorKind::Unavailable, Some(wait)) => self.users.insert(*key, held(wait)),
            _ if error.refuses_caller() => self.remember_user(key, error, now),
            _ => {}
        }
    }

    /// Remembers, for this token alone, that the user has to do something first.
    pub(super) fn remember_user(&self, key: &Digest, error: &ExchangeError, now: Timestamp) {
        let held = Held {
            error: error.clone(),
            until: now + USER_MEMORY,
        };
        self.users.insert(*key, held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_unix(1_000);
    const GROUP: Group = [1; 32];

    fn key(name: &[u8]) -> Digest {
        Digest::of(&[name])
    }

    #[test]
    fn a_throttle_holds_back_the_group_and_a_refusal_only_its_user() {
        let holdback = Holdback::default();
        let throttled = ExchangeError::new(ExchangeErrorKind::Throttled, "");
        let consent = ExchangeError::new(ExchangeErrorKind::ConsentRequired, "");
        holdback.remember(&key(b"a"), &GROUP, &consent, NOW);
        assert!(holdback.error(&key(b"a"), &GROUP, NOW).is_some());
        assert!(holdback.error(&key(b"b"), &GROUP, NOW).is_none());

        holdback.remember(&key(b"a"), &GROUP, &throttled, NOW);
        assert!(holdback.error(&key(b"b"), &GROUP, NOW).is_some());
        assert!(holdback.error(&key(b"b"), &[2; 32], NOW).is_none());
    }

    #[test]
    fn what_is_left_of_a_wait_is_told() {
        let holdback = Holdback::default();
        let throttled = ExchangeError::new(ExchangeErrorKind::Throttled, "")
            .with_retry_after(Duration::from_secs(100));
        holdback.remember(&key(b"a"), &GROUP, &throttled, NOW);
        let later = holdback.error(&key(b"b"), &GROUP, NOW + Duration::from_secs(40));
        assert_eq!(later.unwrap().retry_after(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn refusals_of_a_caller_stand_for_half_a_minute() {
        use ExchangeErrorKind as K;
        for kind in [
            K::AccountRefused,
            K::AppOnly,
            K::AssertionRefused,
            K::ConditionalAccess,
            K::ConsentRequired,
            K::InsufficientClaims,
            K::InteractionRequired,
        ] {
            let holdback = Holdback::default();
            let refusal = ExchangeError::new(kind, "");
            holdback.remember(&key(b"a"), &GROUP, &refusal, NOW);
            let (last, over) = (NOW + Duration::from_secs(29), NOW + Duration::from_secs(30));
            let stands =
                |key: &[u8], now| holdback.error(&Digest::of(&[key]), &GROUP, now).is_some();
            assert!(stands(b"a", last), "{kind:?}");
            assert!(!stands(b"b", last), "{kind:?}");
            assert!(!stands(b"a", over), "{kind:?}");
        }
    }

    #[test]
    fn long_claims_leave_room_for_fewer() {
        let holdback = Holdback::default();
        for number in 0..MAX_USERS {
            let claims = "x".repeat(15 * HELD);
            let error = ExchangeError::new(ExchangeErrorKind::InsufficientClaims, "");
            let error = error.with_claims(claims);
            holdback.remember_user(&key(&number.to_be_bytes()), &error, NOW);
        }
        let kept = holdback.users.len();
        assert!((MAX_USERS / 64..=MAX_USERS / 16).contains(&kept), "{kept}");
    }

    #[test]
    fn faults_and_our_own_mistakes_are_not_remembered() {
        let holdback = Holdback::default();
        for kind in [
            ExchangeErrorKind::Unavailable,
            ExchangeErrorKind::Misconfigured,
            ExchangeErrorKind::Timeout,
            ExchangeErrorKind::UnusableAnswer,
        ] {
            let error = ExchangeError::new(kind, "");
            holdback.remember(&key(b"a"), &GROUP, &error, NOW);
            assert!(
                holdback.error(&key(b"a"), &GROUP, NOW).is_none(),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_fault_that_says_how_long_holds_back_its_own_token_and_no_other() {
        let holdback = Holdback::default();
        let fault = ExchangeError::new(ExchangeErrorKind::Unavailable, "")
            .with_retry_after(Duration::from_secs(100));
        holdback.remember(&key(b"a"), &GROUP, &fault, NOW);
        let (last, over) = (
            NOW + Duration::from_secs(99),
            NOW + Duration::from_secs(100),
        );
        assert!(holdback.error(&key(b"a"), &GROUP, last).is_some());
        assert!(holdback.error(&key(b"b"), &GROUP, last).is_none());
        assert!(holdback.error(&key(b"a"), &GROUP, over).is_none());
    }

    #[test]
    fn the_memory_of_throttles_is_bounded_and_makes_room_for_new_ones() {
        let holdback = Holdback::default();
        let group = |number: usize| {
            let mut group = [0; 32];
            group[..8].copy_from_slice(&number.to_le_bytes());
            group
        };
        let remember = |number: usize, seconds: u64, now: Timestamp| {
            let throttled = ExchangeError::new(ExchangeErrorKind::Throttled, "")
                .with_retry_after(Duration::from_secs(seconds));
            holdback.remember(&key(b"a"), &group(number), &throttled, now);
        };
        let held = |number: usize, now: Timestamp| {
            holdback.error(&key(b"b"), &group(number), now).is_some()
        };
        // The first is over after ten seconds, the others after a hundred.
        remember(0, 10, NOW);
        for number in 1..MAX_GROUPS {
            remember(number, 100, NOW);
        }
        assert!(held(0, NOW) && held(MAX_GROUPS - 1, NOW));
        remember(MAX_GROUPS, 100, NOW);
        assert!(!held(MAX_GROUPS, NOW), "there is no room");

        let later = NOW + Duration::from_secs(10);
        remember(MAX_GROUPS, 100, later);
        assert!(held(MAX_GROUPS, later), "what is over makes room");
        assert!(!held(0, later), "what is over is gone");
        assert!(held(1, later), "what stands stays");
        assert_eq!(holdback.groups.lock().unwrap().len(), MAX_GROUPS);
    }
}
