//! A downstream token, ready to be put into a request.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use http::HeaderValue;

use super::Owner;
use crate::{Timestamp, digest::Digest, exchange::TokenResponse};

/// A token never serves in the last part of its life without an attempt to renew it: the smaller
/// of 5 minutes and a tenth of the lifetime.
const MAX_MARGIN: Duration = Duration::from_secs(300);

/// At most one attempt to renew ahead in that time.
const RENEWAL_PAUSE: u64 = 30;

/// So much of the lifetime earlier than asked is the earliest renewal.
const EARLY: f64 = 0.1;

const NEVER: u64 = u64::MAX;

fn renew_in(response: &TokenResponse) -> Duration {
    let lifetime = response.expires_in;
    response.refresh_in.unwrap_or(lifetime.mul_f64(0.8))
}

/// The age at which the first process may renew it, whichever that is. A younger token is nobody's
/// to renew.
pub(super) fn earliest_renewal(response: &TokenResponse) -> Duration {
    renew_in(response).saturating_sub(response.expires_in.mul_f64(EARLY))
}

/// A downstream token with the times that matter. What every request looks at stands together, at its
/// beginning: with many callers that is half a line of memory less to wait for.
#[repr(C)]
pub(crate) struct CachedToken {
    /// Served without question before this time, as long as the token lives.
    use_until: AtomicU64,
    /// Not served at all from this time on; zero once the token has been revoked, for good.
    expires_at: AtomicU64,
    /// From this time on, the next request that carries it sets a renewal off.
    renew_at: AtomicU64,
    /// How many challenges there were in all when it was last looked for among them.
    challenges: AtomicU64,
    /// `Bearer …`, made once, marked sensitive.
    header: HeaderValue,
    key: Digest,
    /// `None`: the application's own.
    owner: Option<Owner>,
    /// When the token itself ends, whoever may use it.
    ends: Timestamp,
    /// As which value it stands in the shared store, where it does.
    #[cfg(feature = "redis")]
    stamp: std::sync::OnceLock<super::shared::Stamp>,
}

impl CachedToken {
    /// `None` if the token cannot stand in a header.
    pub(crate) fn new(
        response: &TokenResponse,
        key: Digest,
        now: Timestamp,
        caller_valid_until: Timestamp,
    ) -> Option<Self> {
        let token = response.access_token.expose();
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        header.set_sensitive(true);

        let lifetime = response.expires_in;
        let expires_at = (now + lifetime).min(caller_valid_until);
        let margin = MAX_MARGIN.min(lifetime / 10);
        let use_until = (now + lifetime.saturating_sub(margin)).min(expires_at);
        let renew_at = match response.refresh_in {
            // It lasts as long as anybody may ask for it: another would change nothing.
            None if use_until >= caller_valid_until => NEVER,
            _ => {
                // Up to a tenth of the lifetime earlier than asked, so that tokens of one burst of sign-ins
                // are not renewed in another burst.
                let early = lifetime.mul_f64(EARLY * crate::jitter::unit());
                (now + renew_in(response).saturating_sub(early).min(lifetime)).as_unix()
            }
        };
        Some(Self {
            header,
            key,
            owner: None,
            ends: now + lifetime,
            use_until: AtomicU64::new(use_until.as_unix()),
            expires_at: AtomicU64::new(expires_at.as_unix()),
            renew_at: AtomicU64::new(renew_at),
            challenges: AtomicU64::new(0),
            #[cfg(feature = "redis")]
            stamp: std::sync::OnceLock::new(),
        })
    }

    pub(crate) const fn header(&self) -> &HeaderValue {
        &self.header
    }

    pub(crate) const fn key(&self) -> &Digest {
        &self.key
    }

    pub(super) fn owned_by(mut self, owner: Option<Owner>) -> Self {
        self.owner = owner;
        self
    }

    pub(super) const fn owner(&self) -> Option<Owner> {
        self.owner
    }

    /// Until when it is served without question.
    #[cfg(feature = "redis")]
    pub(super) fn use_until(&self) -> Timestamp {
        let until = Timestamp::from_unix(self.use_until.load(Ordering::Relaxed));
        until.min(self.expires_at())
    }

    /// When the token itself ends, be it revoked or not.
    pub(super) const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Whether it is the same token, byte for byte: it may have come twice.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.header == other.header
    }

    /// Whether it has been looked for among so many challenges.
    pub(super) fn looked_up_at(&self, challenges: u64) -> bool {
        self.challenges.load(Ordering::Relaxed) == challenges
    }

    pub(super) fn looks_up_at(&self, challenges: u64) {
        self.challenges.store(challenges, Ordering::Relaxed);
    }

    /// As which value it stands in the shared store.
    #[cfg(feature = "redis")]
    pub(super) fn stamp(&self) -> Option<super::shared::Stamp> {
        self.stamp.get().copied()
    }

    /// It stands in the shared store now, or will in a moment.
    #[cfg(feature = "redis")]
    pub(super) fn stands_as(&self, stamp: Option<super::shared::Stamp>) {
        if let Some(stamp) = stamp {
            // A token is sealed once.
            let _ = self.stamp.set(stamp);
        }
    }

    pub(crate) fn expires_at(&self) -> Timestamp {
        Timestamp::from_unix(self.expires_at.load(Ordering::Relaxed))
    }

    /// Whether it may be served without asking for another.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now.as_unix() < self.use_until.load(Ordering::Relaxed) && self.is_alive(now)
    }

    /// Whether it may be served at all, should another not be had.
    pub(crate) fn is_alive(&self, now: Timestamp) -> bool {
        now < self.expires_at()
    }

    /// Whether a renewal is due.
    pub(crate) fn wants_renewal(&self, now: Timestamp) -> bool {
        now.as_unix() >= self.renew_at.load(Ordering::Relaxed)
    }

    /// Claims the renewal: true for one caller, and again for one after a pause.
    pub(super) fn claim_renewal(&self, now: Timestamp) -> bool {
        let due = self.renew_at.load(Ordering::Relaxed);
        let now = now.as_unix();
        now >= due
            && self
                .renew_at
                .compare_exchange(
                    due,
                    now + RENEWAL_PAUSE,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// Serves without question until then, though not beyond its end: an attempt to renew it has just
    /// failed. A revoked token stays dead.
    pub(super) fn serve_until(&self, until: Timestamp) {
        let until = until.min(self.expires_at()).as_unix();
        self.use_until.fetch_max(until, Ordering::Relaxed);
    }

    /// Nobody is served with it any more, whoever still holds it.
    pub(crate) fn revoke(&self) {
        self.expires_at.store(0, Ordering::Relaxed);
    }

    /// The bytes that it takes.
    pub(crate) fn weight(&self) -> usize {
        self.header.len() + size_of::<Self>() + 160
    }
}

impl fmt::Debug for CachedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedToken")
            .field("key", &self.key)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    const NOW: Timestamp = Timestamp::from_unix(10_000);

    fn token(lifetime: u64, caller_for: u64) -> CachedToken {
        let response = TokenResponse::new(Secret::from("t"), Duration::from_secs(lifetime));
        let caller_until = NOW + Duration::from_secs(caller_for);
        CachedToken::new(&response, Digest::of(&[]), NOW, caller_until).unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn what_lasts_as_long_as_the_callers_token_is_not_renewed_unless_entra_asks_for_it() {
        let end = at(1_000_000);
        let (longer, shorter) = (token(7_200, 6_900), token(7_200, 6_901));
        assert!(!longer.wants_renewal(end), "its caller's token ends first");
        assert!(!longer.claim_renewal(end));
        assert!(shorter.wants_renewal(at(5_760)), "80 %");
        let mut asked = TokenResponse::new(Secret::from("t"), Duration::from_secs(7_200));
        asked.refresh_in = Some(Duration::from_secs(3_600));
        let asked = CachedToken::new(&asked, Digest::of(&[]), NOW, at(100)).unwrap();
        assert!(asked.wants_renewal(at(3_600)));
    }

    #[test]
    fn the_margin_is_a_tenth_of_a_short_life_and_five_minutes_of_a_long_one() {
        let long = token(7_200, 100_000);
        assert!(long.is_fresh(at(6_899)) && !long.is_fresh(at(6_900)));
        let short = token(100, 100_000);
        assert!(short.is_fresh(at(89)) && !short.is_fresh(at(90)));
        assert!(short.is_alive(at(99)) && !short.is_alive(at(100)));
    }

    #[test]
    fn a_token_does_not_outlive_its_caller() {
        let token = token(3_600, 60);
        assert!(token.is_fresh(at(59)) && token.is_alive(at(59)));
        assert!(!token.is_fresh(at(60)) && !token.is_alive(at(60)));
    }

    #[test]
    fn one_request_at_a_time_sets_a_renewal_off() {
        let token = token(1_000, 100_000);
        assert!(!token.wants_renewal(at(699)) && token.wants_renewal(at(800)));
        assert!(token.claim_renewal(at(800)));
        assert!(!token.claim_renewal(at(801)));
        assert!(token.claim_renewal(at(830)));
    }

    #[test]
    fn a_renewal_is_due_when_the_server_says_so() {
        let mut response = TokenResponse::new(Secret::from("t"), Duration::from_secs(1_000));
        response.refresh_in = Some(Duration::from_secs(300));
        let token = CachedToken::new(&response, Digest::of(&[]), NOW, at(100_000)).unwrap();
        assert!(!token.wants_renewal(at(199)) && token.wants_renewal(at(300)));
        assert_eq!(earliest_renewal(&response), Duration::from_secs(200));
    }

    #[test]
    fn tokens_of_one_burst_are_not_renewed_in_another() {
        let due = |token: &CachedToken| token.renew_at.load(Ordering::Relaxed) - at(0).as_unix();
        let mut times: Vec<_> = (0..100).map(|_| due(&token(10_000, 100_000))).collect();
        assert!(times.iter().all(|time| (7_000..=8_000).contains(time)));
        times.sort_unstable();
        times.dedup();
        assert!(times.len() > 10, "{times:?}");
    }

    #[test]
    fn a_revoked_token_is_dead_for_all_who_hold_it() {
        let token = token(1_000, 1_000);
        token.revoke();
        assert!(!token.is_fresh(NOW) && !token.is_alive(NOW));
    }

    /// A failed renewal can let it serve on at the very moment in which a challenge ends it: that it is
    /// used until then is written last.
    #[test]
    fn ex_12_a_revoked_token_is_dead_however_long_it_was_to_be_used() {
        let token = token(1_000, 1_000);
        token.revoke();
        token.use_until.store(at(950).as_unix(), Ordering::Relaxed);
        assert!(!token.is_fresh(NOW) && !token.is_alive(NOW));
    }

    #[test]
    fn the_header_is_sensitive() {
        assert!(token(1_000, 1_000).header().is_sensitive());
    }
}
