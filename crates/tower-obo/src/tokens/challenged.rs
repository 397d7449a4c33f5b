//! Downstream tokens that their downstream has answered with a claims challenge: the token itself is
//! remembered, not only where it was kept. Whatever brings it again brings the challenge.

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::{Weighter, sync::Cache};

use super::CachedToken;
use crate::{
    Timestamp,
    digest::{AsIs, Digest},
    exchange::ExchangeError,
};

/// At most so many tokens are remembered, fewer if their claims are long. What falls out can come back
/// only from an exchange that answers with the same token again, or with a store that is shared.
const MOST: usize = 4_096;

/// What a token is counted with besides its claims, and what all of them may take.
const HELD: usize = 1_024;
const MAX_BYTES: u64 = (MOST * HELD) as u64;

/// The challenges of tokens, by the hash of the token, until the token has ended.
#[derive(Debug)]
pub(super) struct Challenged {
    held: Cache<Digest, Held, ByBytes, AsIs>,
    /// How many have been remembered in all. A token that was looked up at that count need not be
    /// hashed again.
    count: AtomicU64,
}

#[derive(Clone, Debug)]
struct Held {
    challenge: ExchangeError,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl Weighter<Digest, Held> for ByBytes {
    fn weight(&self, _: &Digest, held: &Held) -> u64 {
        (HELD + held.challenge.claims().map_or(0, str::len)) as u64
    }
}

impl Default for Challenged {
    fn default() -> Self {
        Self {
            held: Cache::with(
                MOST,
                MAX_BYTES,
                ByBytes,
                AsIs::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
            count: AtomicU64::new(0),
        }
    }
}

impl Challenged {
    pub(super) fn remember(&self, token: &CachedToken, challenge: &ExchangeError) {
        let held = Held {
            challenge: challenge.clone(),
            until: token.ends(),
        };
        self.held.insert(hash(token), held);
        // After it: who sees the new count sees the challenge.
        self.count.fetch_add(1, Ordering::Release);
    }

    /// The challenge that this token was answered with.
    pub(super) fn of(&self, token: &CachedToken, now: Timestamp) -> Option<ExchangeError> {
        if self.held.is_empty() {
            return None;
        }
        let held = self.held.get(&hash(token))?;
        (now < held.until).then_some(held.challenge)
    }

    /// Whether this token was challenged under another name than its own: the same token may have come
    /// several times, and each is kept by itself. One that was is revoked. Costs a comparison as long
    /// as no further token is challenged.
    pub(super) fn meets(&self, token: &CachedToken, now: Timestamp) -> bool {
        let count = self.count.load(Ordering::Acquire);
        if token.looked_up_at(count) {
            return false;
        }
        let is_met = self.of(token, now).is_some();
        if is_met {
            token.revoke();
        } else {
            token.looks_up_at(count);
        }
        is_met
    }
}

fn hash(token: &CachedToken) -> Digest {
    Digest::of(&[token.header().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Secret, exchange::TokenResponse};
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_unix(10_000);

    fn token(text: &str) -> CachedToken {
        let response = TokenResponse::new(Secret::from(text), Duration::from_secs(1_000));
        // The caller has less time than the token.
        let caller_until = NOW + Duration::from_secs(10);
        CachedToken::new(&response, Digest::of(&[]), NOW, caller_until).unwrap()
    }

    fn challenge(claims: &str) -> ExchangeError {
        ExchangeError::challenge(claims.to_owned())
    }

    #[test]
    fn ex_12_a_token_is_known_by_its_text_until_it_ends() {
        let challenged = Challenged::default();
        let refused = token("refused");
        refused.revoke();
        challenged.remember(&refused, &challenge("{}"));
        let later = |seconds| NOW + Duration::from_secs(seconds);
        assert!(challenged.of(&token("refused"), later(999)).is_some());
        assert!(challenged.of(&token("another"), later(999)).is_none());
        assert!(challenged.of(&token("refused"), later(1_000)).is_none());
    }

    #[test]
    fn the_memory_of_challenges_is_bounded_with_their_claims() {
        let challenged = Challenged::default();
        let claims = challenge(&"x".repeat(7 * HELD));
        for number in 0..MOST {
            challenged.remember(&token(&number.to_string()), &claims);
        }
        let kept = challenged.held.len();
        assert!((MOST / 32..=MOST / 8).contains(&kept), "{kept}");
    }
}
