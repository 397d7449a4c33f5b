//! Tokens that the downstream refuses.

use std::{sync::Arc, time::Duration};

use quick_cache::{UnitWeighter, sync::Cache};

use super::{
    super::{CachedToken, Want, holdback::Whom},
    DownstreamTokens, gone,
};
use crate::{
    Event, Rejection, RejectionKind, Timestamp,
    digest::{AsIs, Digest},
    exchange::ExchangeError,
};

impl DownstreamTokens {
    /// Drops exactly this token, if it is still the one that is kept, and lets nobody use it who
    /// holds it already.
    pub(crate) fn revoke(&self, token: &Arc<CachedToken>) {
        token.revoke();
        self.tokens
            .remove_if(token.key(), |kept| Arc::ptr_eq(kept, token));
        if let Some(shared) = &self.shared {
            shared.forget(token);
        }
    }

    /// The same, also where it is kept as the same token that has come another time.
    fn revoke_all(&self, token: &Arc<CachedToken>) {
        self.revoke(token);
        if let Some(kept) = self.tokens.get(token.key())
            && kept.is_same(token)
        {
            self.revoke(&kept);
        }
    }

    /// Drops a token that its downstream has answered with a challenge, and never takes it again.
    fn never_again(&self, token: &Arc<CachedToken>, challenge: &ExchangeError) {
        self.challenges.remember(token, challenge);
        self.revoke_all(token);
    }

    /// Drops this token for good, and whoever wants another for the same caller gets this challenge for
    /// a while: the user has to answer it, and then comes with a new token. A client that goes on with
    /// the old one must not cause an exchange a request.
    pub(crate) fn challenge(&self, token: &Arc<CachedToken>, challenge: &ExchangeError) {
        self.never_again(token, challenge);
        self.holdback
            .remember_user(token.key(), challenge, self.clock.now());
    }

    /// Drops this token, unless a token of this caller for this downstream was dropped so within a
    /// minute. What is said of one that has been dropped or replaced already says nothing about its
    /// successor, and does not count.
    pub(crate) fn revoke_once_a_minute(&self, token: &Arc<CachedToken>) {
        let now = self.clock.now();
        if !token.is_alive(now) {
            return;
        }
        let kept = self.tokens.get(token.key());
        let is_replaced = kept.is_some_and(|kept| !kept.is_same(token));
        if is_replaced || self.refused.claim(token.key(), now) {
            self.revoke_all(token);
        }
    }

    /// The token that has taken the place of this one, or the error that stands in its place: for how long is
    /// then told, too, be it the whole group that is to leave the server alone.
    pub(crate) fn in_place_of(
        &self,
        token: &CachedToken,
        group: Digest,
    ) -> Result<Arc<CachedToken>, ExchangeError> {
        let now = self.clock.now();
        match self.fresh(token.key(), now) {
            Some(successor) => Ok(successor),
            None => Err(self
                .holdback
                .error(&Whom::of_token(token, group), now)
                .unwrap_or_else(gone)),
        }
    }

    /// Tells the observer and the log of a refusal. Every one passes here once, also those that a
    /// handler causes.
    pub(crate) fn report(&self, rejection: Rejection) -> Rejection {
        tracing::debug!(
            reason = rejection.kind().name(),
            defect = match rejection.kind() {
                RejectionKind::InvalidToken(defect) => Some(defect.reason()),
                _ => None,
            },
            correlation_id = rejection.correlation_id(),
            "request refused"
        );
        self.observer.on(&Event::Refused {
            rejection: &rejection,
        });
        rejection
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether the token may be served at all, should another not be had: it has not ended, and its
    /// downstream has not refused it.
    pub(crate) fn is_alive(&self, token: &CachedToken) -> bool {
        let now = self.clock.now();
        token.is_alive(now) && !self.challenges.meets(token, now)
    }

    /// A token in place of `refused`, which the downstream answered with `challenge`: one that is
    /// there already, or by an exchange with the claims of the challenge, which are those of `want`.
    ///
    /// At most one exchange a minute for the same caller and downstream, and only if a place is
    /// free: this is a try to spare the user a sign-in, behind those who wait for their first
    /// token. The claims are not part of the key: what satisfies them takes the old token's place.
    ///
    /// # Errors
    ///
    /// The challenge that the user has to answer: the authorization server's, where it has one,
    /// otherwise the downstream's. It stands for a while, as after [`challenge`](Self::challenge).
    pub(crate) async fn exchange_for_claims(
        self: &Arc<Self>,
        refused: &Arc<CachedToken>,
        challenge: &ExchangeError,
        want: Want,
    ) -> Result<Arc<CachedToken>, ExchangeError> {
        let (key, now) = (want.key, self.clock.now());
        self.never_again(refused, challenge);
        if let Some(successor) = self.fresh(&key, now) {
            return Ok(successor);
        }
        let standing = self.holdback.error(&Whom::of(&want), now);
        if let Some(challenge) = standing.as_ref().filter(|error| error.claims().is_some()) {
            return Err(challenge.clone());
        }
        let flight = match self.flights.join(&key) {
            // Somebody else's exchange, a renewal perhaps. What it brings is newer than what was
            // refused; should that be refused too, it is by a challenge again.
            Some(flight) => Some(flight),
            None if standing.is_some() || !self.challenged.claim(&key, now) => None,
            None => match Arc::clone(&self.exchanges).try_acquire_owned() {
                Ok(permit) => match self.start(want, permit, None) {
                    super::Start::Arrived(token) => return Ok(token),
                    super::Start::Joined(flight) => Some(flight),
                },
                Err(_) => None,
            },
        };
        let failure = match flight {
            Some(flight) => match flight.outcome().await {
                Ok(token) if token.is_alive(self.clock.now()) => return Ok(token),
                // Refused in its turn, or the very one that was.
                Ok(_) => None,
                Err(error) => Some(error),
            },
            None => None,
        };
        // The authorization server's own challenge says more; whoever ran the exchange has
        // remembered it.
        if let Some(error) = failure.filter(|error| error.claims().is_some()) {
            return Err(error);
        }
        self.holdback
            .remember_user(&key, challenge, self.clock.now());
        Err(challenge.clone())
    }
}

/// How long a downstream that refuses tokens keeps what it gets next.
const PAUSE: Duration = Duration::from_secs(60);

/// At most this many are remembered; what falls out costs one exchange.
const MAX_REMEMBERED: usize = 4_096;

/// What may happen once a minute for the same token's key.
#[derive(Debug)]
pub(super) struct OnceAMinute(Cache<Digest, Timestamp, UnitWeighter, AsIs>);

impl Default for OnceAMinute {
    fn default() -> Self {
        Self(Cache::with(
            MAX_REMEMBERED,
            MAX_REMEMBERED as u64,
            UnitWeighter,
            AsIs::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        ))
    }
}

impl OnceAMinute {
    /// Whether it may happen now; then not again for a while.
    fn claim(&self, key: &Digest, now: Timestamp) -> bool {
        // More than the whole pause is left only where the clock has been set back.
        let stands = |until: Timestamp| now < until && until.saturating_since(now) <= PAUSE;
        if self.0.get(key).is_some_and(stands) {
            return false;
        }
        self.0.insert(*key, now + PAUSE);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_is_once_a_minute_also_where_the_clock_is_set_back() {
        let (once, key) = (OnceAMinute::default(), Digest::of(&[]));
        let now = Timestamp::from_unix(100_000);
        assert!(once.claim(&key, now));
        assert!(!once.claim(&key, now + Duration::from_secs(59)));
        assert!(once.claim(&key, now + Duration::from_secs(60)));
        assert!(once.claim(&key, now));
        assert!(!once.claim(&key, now));
    }
}
