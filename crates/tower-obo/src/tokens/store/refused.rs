//! Tokens that the downstream refuses.

use std::{sync::Arc, time::Duration};

use quick_cache::{UnitWeighter, sync::Cache};

use super::{
    super::{CachedToken, Want},
    DownstreamTokens,
};
use crate::{
    Timestamp,
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

    /// The same, and whoever wants another for the same caller gets this challenge for a while: the
    /// user has to answer it, and then comes with a new token. A client that goes on with the old
    /// one must not cause an exchange a request.
    pub(crate) fn challenge(&self, token: &Arc<CachedToken>, challenge: &ExchangeError) {
        self.revoke(token);
        self.holdback
            .remember_user(token.key(), challenge, self.clock.now());
    }

    /// The same as `revoke`, unless a token of this caller for this downstream was dropped so within
    /// a minute.
    pub(crate) fn revoke_once_a_minute(&self, token: &Arc<CachedToken>) {
        if self.refused.claim(token.key(), self.clock.now()) {
            self.revoke(token);
        }
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
        self.revoke(refused);
        if let Some(successor) = self.fresh(&key, now) {
            return Ok(successor);
        }
        let standing = self.holdback.error(&key, &want.group, now);
        if let Some(challenge) = standing.as_ref().filter(|error| error.claims().is_some()) {
            return Err(challenge.clone());
        }
        let flight = match self.flights.join(&key) {
            // Somebody else's exchange, a renewal perhaps. What it brings is newer than what was
            // refused; should that be refused too, it is by a challenge again.
            Some(flight) => Some(flight),
            None if standing.is_some() || !self.challenged.claim(&key, now) => None,
            None => match Arc::clone(&self.exchanges).try_acquire_owned() {
                Ok(permit) => match self.start(want, permit) {
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
        if self.0.get(key).is_some_and(|until| now < until) {
            return false;
        }
        self.0.insert(*key, now + PAUSE);
        true
    }
}
