//! Downstream tokens that their downstream has answered with a claims challenge: the token itself is
//! remembered, not only where it was kept. Whatever brings it again brings the challenge.

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
pub(super) struct Challenged(Cache<Digest, Held, ByBytes, AsIs>);

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
        Self(Cache::with(
            MOST,
            MAX_BYTES,
            ByBytes,
            AsIs::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        ))
    }
}

impl Challenged {
    pub(super) fn remember(&self, token: &CachedToken, challenge: &ExchangeError) {
        let held = Held {
            challenge: challenge.clone(),
            until: token.ends(),
        };
        self.0.insert(hash(token), held);
    }

    /// The challenge that this token was answered with.
    pub(super) fn of(&self, token: &CachedToken, now: Timestamp) -> Option<ExchangeError> {
        if self.0.is_empty() {
            return None;
        }
        let held = self.0.get(&hash(token))?;
        (now < held.until).then_some(held.challenge)
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
        let kept = challenged.0.len();
        assert!((MOST / 32..=MOST / 8).contains(&kept), "{kept}");
    }
}
