//! When the authorization server says how long to wait, nobody asks before; after a fault nobody asks
//! at once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use quick_cache::{Weighter, sync::Cache};

use super::{CachedToken, Owner, Want};
use crate::{
    Timestamp,
    digest::{AsIs, Digest},
    exchange::{ExchangeError, ExchangeErrorKind},
};

/// Refusals of a caller, which only the user can mend, are remembered this long at most, under the
/// token's full key: whoever has done what was asked comes with a new token.
const USER_MEMORY: Duration = Duration::from_secs(30);

/// How long nobody asks after a fault that does not say it: what the caller is told, too. A server that
/// hangs must not have every request wait for it, nor a wrong secret be presented with every request.
const PAUSE: Duration = Duration::from_secs(5);

/// At most this many users' errors are remembered, fewer if their claims are long; what falls out
/// costs one exchange.
const MAX_USERS: usize = 4_096;

/// What an error is counted with besides its claims, and what all of them may take.
const HELD: usize = 1_024;
const MAX_BYTES: u64 = (MAX_USERS * HELD) as u64;

/// At most this many (tenant, resource) pairs are held back at once.
const MAX_GROUPS: usize = 1_024;

/// Errors that stand for a while: those of one token or one user, and those of everybody.
#[derive(Debug)]
pub(super) struct Holdback {
    /// By the token's key, and by the user's digest.
    users: Cache<Digest, Held, ByBytes, AsIs>,
    groups: Mutex<HashMap<Group, Held>>,
}

/// Who shares a throttle at Entra ID: a tenant's users of one application for one resource.
pub(super) type Group = [u8; 32];

/// For whom a token is wanted, so for whom an error of its exchange may stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whom {
    /// The one token.
    pub(super) key: Digest,
    group: Group,
    /// The user, for that resource; `None` where the application itself asks.
    user: Option<Digest>,
}

impl Whom {
    pub(super) fn of(want: &Want) -> Self {
        Self::new(want.key, want.group, Owner::of(want))
    }

    /// The same, once the token has come.
    pub(super) fn of_token(token: &CachedToken, group: Digest) -> Self {
        Self::new(*token.key(), *group.bytes(), token.owner())
    }

    fn new(key: Digest, group: Group, owner: Option<Owner>) -> Self {
        let user = owner.map(|owner| Digest::of(&[&owner.bytes(), &group]));
        Self { key, group, user }
    }
}

#[derive(Clone, Debug)]
struct Held {
    error: ExchangeError,
    until: Timestamp,
    /// How long that was from the beginning. More than this is left only where the clock has been set
    /// back, and then it is over.
    wait: Duration,
}

#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl Weighter<Digest, Held> for ByBytes {
    fn weight(&self, _: &Digest, held: &Held) -> u64 {
        (HELD + held.error.claims().map_or(0, str::len)) as u64
    }
}

impl Held {
    fn new(error: ExchangeError, now: Timestamp, wait: Duration) -> Self {
        let until = now + wait;
        Self { error, until, wait }
    }

    fn stands(&self, now: Timestamp) -> bool {
        now < self.until && self.until.saturating_since(now) <= self.wait
    }

    /// The error, with what is left of the wait where that is what it takes.
    fn error_at(&self, now: Timestamp) -> ExchangeError {
        match self.error.is_transient() {
            true => {
                let left = self.until.saturating_since(now);
                self.error.clone().with_retry_after(left)
            }
            false => self.error.clone(),
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
    /// The error that still stands for them.
    pub(super) fn error(&self, whom: &Whom, now: Timestamp) -> Option<ExchangeError> {
        let of_user = |user: Digest| self.error_of(&user, now);
        if let Some(error) = self.error_of(&whom.key, now) {
            return Some(error);
        }
        if let Some(error) = whom.user.and_then(of_user) {
            return Some(error);
        }
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let held = groups.get(&whom.group)?;
        if held.stands(now) {
            return Some(held.error_at(now));
        }
        groups.remove(&whom.group);
        None
    }

    /// The error that stands for this token and for no other.
    pub(super) fn error_of(&self, key: &Digest, now: Timestamp) -> Option<ExchangeError> {
        let held = self.users.get(key)?;
        if held.stands(now) {
            return Some(held.error_at(now));
        }
        self.users.remove(key);
        None
    }

    /// Remembers an error as long as it stands: a 429, and that this service itself is refused, for all
    /// of the group; a fault for this user, whichever token comes next; a refusal of the caller for this
    /// token alone.
    pub(super) fn remember(&self, whom: &Whom, error: &ExchangeError, now: Timestamp) {
        let Whom { key, group, user } = whom;
        use ExchangeErrorKind as K;
        let wait = error.retry_after().unwrap_or(PAUSE);
        match error.kind() {
            K::Throttled => self.hold_group(group, error, now, wait),
            K::Misconfigured if error.refuses_client() => {
                self.hold_group(group, error, now, PAUSE);
            }
            // Perhaps it is this caller's token that makes the request a wrong one, or a proxy in between
            // that answers so.
            K::Misconfigured | K::UntrustedServer | K::UnusableAnswer => {
                self.hold(key, error, now, PAUSE);
            }
            // The server has said so, or cannot be reached: it is asked no sooner for the user's next token.
            K::Unavailable => self.hold(user.as_ref().unwrap_or(key), error, now, wait),
            // What others' requests do not meet, perhaps: each may try.
            K::CredentialUnavailable | K::Timeout => self.hold(key, error, now, wait),
            _ if error.refuses_caller() => self.remember_user(key, error, now),
            _ => {}
        }
    }

    fn hold_group(&self, group: &Group, error: &ExchangeError, now: Timestamp, wait: Duration) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= MAX_GROUPS {
            groups.retain(|_, held| held.stands(now));
        }
        if groups.len() >= MAX_GROUPS && !groups.contains_key(group) {
            // The one that would be over first: nobody was told to wait shorter.
            let first = groups.iter().min_by_key(|(_, held)| held.until);
            if let Some(first) = first.map(|(group, _)| *group) {
                groups.remove(&first);
            }
        }
        let error = error.clone().without_ids();
        groups.insert(*group, Held::new(error, now, wait));
    }

    fn hold(&self, key: &Digest, error: &ExchangeError, now: Timestamp, wait: Duration) {
        self.users.insert(*key, Held::new(error.clone(), now, wait));
    }

    /// Remembers, for this token alone, that the user has to do something first.
    pub(super) fn remember_user(&self, key: &Digest, error: &ExchangeError, now: Timestamp) {
        self.hold(key, error, now, USER_MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_000);
    const GROUP: Group = [1; 32];

    fn key(name: &[u8]) -> Digest {
        Digest::of(&[name])
    }

    /// A user of that name with one token.
    fn whom(user: &[u8], group: Group) -> Whom {
        Whom {
            key: key(user),
            group,
            user: Some(Digest::of(&[b"user", user, &group])),
        }
    }

    #[test]
    fn a_throttle_holds_back_the_group_and_a_refusal_only_its_user() {
        let holdback = Holdback::default();
        let throttled = ExchangeError::new(ExchangeErrorKind::Throttled, "");
        let consent = ExchangeError::new(ExchangeErrorKind::ConsentRequired, "");
        holdback.remember(&whom(b"a", GROUP), &consent, NOW);
        assert!(holdback.error(&whom(b"a", GROUP), NOW).is_some());
        assert!(holdback.error(&whom(b"b", GROUP), NOW).is_none());

        holdback.remember(&whom(b"a", GROUP), &throttled, NOW);
        assert!(holdback.error(&whom(b"b", GROUP), NOW).is_some());
        assert!(holdback.error(&whom(b"b", [2; 32]), NOW).is_none());
    }

    #[test]
    fn what_is_left_of_a_wait_is_told() {
        let throttled = ExchangeError::new(ExchangeErrorKind::Throttled, "");
        let hundred = throttled.clone().with_retry_after(Duration::from_secs(100));
        for (throttled, passed, left) in [(hundred, 40, 60), (throttled, 3, 2)] {
            let holdback = Holdback::default();
            holdback.remember(&whom(b"a", GROUP), &throttled, NOW);
            let later = holdback.error(&whom(b"b", GROUP), NOW + Duration::from_secs(passed));
            assert_eq!(
                later.unwrap().retry_after(),
                Some(Duration::from_secs(left))
            );
        }
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
            holdback.remember(&whom(b"a", GROUP), &refusal, NOW);
            let (last, over) = (NOW + Duration::from_secs(29), NOW + Duration::from_secs(30));
            let stands = |user: &[u8], now| holdback.error(&whom(user, GROUP), now).is_some();
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
    fn ex_06_after_a_fault_its_own_token_is_not_asked_for_at_once() {
        use ExchangeErrorKind as K;
        for (kind, told) in [
            (K::Unavailable, Some(PAUSE)),
            (K::Timeout, Some(PAUSE)),
            (K::Misconfigured, None),
        ] {
            let holdback = Holdback::default();
            holdback.remember(&whom(b"a", GROUP), &ExchangeError::new(kind, ""), NOW);
            let at = |user: &[u8], seconds| {
                holdback.error(&whom(user, GROUP), NOW + Duration::from_secs(seconds))
            };
            let stands = at(b"a", 0).unwrap();
            assert_eq!(stands.retry_after(), told, "{kind:?}");
            assert!(at(b"b", 0).is_none(), "{kind:?}");
            assert!(at(b"a", 4).is_some(), "{kind:?}");
            assert!(at(b"a", 5).is_none(), "{kind:?}");
        }
    }

    #[test]
    fn ex_05_a_service_that_is_refused_itself_presents_its_secret_once_in_five_seconds() {
        let holdback = Holdback::default();
        let body = br#"{"error":"invalid_client","error_codes":[7000215],"correlation_id":"c-1"}"#;
        let refused = ExchangeError::from_server(http::StatusCode::UNAUTHORIZED, body);
        holdback.remember(&whom(b"a", GROUP), &refused, NOW);
        let at = |seconds| holdback.error(&whom(b"b", GROUP), NOW + Duration::from_secs(seconds));
        assert_eq!(at(4).unwrap().aadsts(), Some(7_000_215));
        assert_eq!(at(4).unwrap().correlation_id(), None, "it is another's");
        assert!(at(5).is_none());
        assert!(holdback.error(&whom(b"b", [2; 32]), NOW).is_none());
    }

    #[test]
    fn what_cannot_be_used_is_asked_for_again_after_a_pause() {
        use ExchangeErrorKind as K;
        for kind in [K::UnusableAnswer, K::UntrustedServer] {
            let holdback = Holdback::default();
            holdback.remember(&whom(b"a", GROUP), &ExchangeError::new(kind, ""), NOW);
            let stands = |user: &[u8], now| holdback.error(&whom(user, GROUP), now).is_some();
            assert!(
                stands(b"a", NOW + (PAUSE - Duration::from_secs(1))),
                "{kind:?}"
            );
            assert!(!stands(b"b", NOW), "{kind:?}");
            assert!(!stands(b"a", NOW + PAUSE), "{kind:?}");
        }
    }

    /// It was a day ahead when the machine came up, and has been corrected since.
    #[test]
    fn a_clock_that_is_set_back_holds_nobody_back() {
        let ahead = NOW + Duration::from_secs(24 * 3600);
        let holdback = Holdback::default();
        for (user, kind) in [
            (b"a", ExchangeErrorKind::Throttled),
            (b"b", ExchangeErrorKind::ConsentRequired),
            (b"c", ExchangeErrorKind::Unavailable),
        ] {
            holdback.remember(&whom(user, GROUP), &ExchangeError::new(kind, ""), ahead);
            assert!(holdback.error(&whom(user, GROUP), ahead).is_some());
        }
        for user in [b"a", b"b", b"c"] {
            assert!(holdback.error(&whom(user, GROUP), NOW).is_none());
        }
    }

    #[test]
    fn ex_06_a_fault_that_says_how_long_holds_back_its_own_user_and_no_other() {
        let holdback = Holdback::default();
        let fault = ExchangeError::new(ExchangeErrorKind::Unavailable, "")
            .with_retry_after(Duration::from_secs(100));
        holdback.remember(&whom(b"a", GROUP), &fault, NOW);
        let (last, over) = (
            NOW + Duration::from_secs(99),
            NOW + Duration::from_secs(100),
        );
        // The same user with another token is held back, and is not for another resource.
        let another = Whom {
            key: key(b"another"),
            ..whom(b"a", GROUP)
        };
        for whom in [&whom(b"a", GROUP), &another] {
            assert!(holdback.error(whom, last).is_some());
        }
        for other in [whom(b"b", GROUP), whom(b"a", [2; 32])] {
            assert!(holdback.error(&other, last).is_none());
        }
        for whom in [&whom(b"a", GROUP), &another] {
            assert!(holdback.error(whom, over).is_none());
        }
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
            holdback.remember(&whom(b"a", group(number)), &throttled, now);
        };
        let held = |number: usize, now: Timestamp| {
            holdback.error(&whom(b"b", group(number)), now).is_some()
        };
        // The first is over after ten seconds, the others after a hundred.
        remember(0, 10, NOW);
        for number in 1..MAX_GROUPS {
            remember(number, 100, NOW);
        }
        assert!(held(0, NOW) && held(MAX_GROUPS - 1, NOW));
        remember(1, 200, NOW);
        assert!(
            held(0, NOW),
            "a longer wait of one that is known takes no room"
        );
        remember(MAX_GROUPS, 100, NOW);
        assert!(held(MAX_GROUPS, NOW));
        assert!(!held(0, NOW), "what would be over first makes room");
        let later = NOW + Duration::from_secs(100);
        remember(MAX_GROUPS + 1, 100, later);
        assert!(held(MAX_GROUPS + 1, later));
        assert!(held(1, later), "what stands stays");
        assert_eq!(
            holdback.groups.lock().unwrap().len(),
            2,
            "what is over is gone"
        );
    }
}
