//! A user's tokens, dropped before they end.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    super::{CachedToken, Owner, Want, flight::Outcome},
    DownstreamTokens, Ticket, gone,
};

impl DownstreamTokens {
    /// Drops all tokens of this user, `others` that are kept elsewhere included, and lets nobody use them
    /// who holds them already. How many there were.
    pub(crate) fn purge(
        &self,
        owner: Owner,
        others: impl Iterator<Item = Arc<CachedToken>>,
    ) -> usize {
        // Before they are looked for: what an exchange puts there after the look has begun before it,
        // and finds another number.
        self.purges.of(owner).fetch_add(1, Ordering::SeqCst);
        let found = RefCell::new(Vec::new());
        self.tokens.retain(|_, token| {
            let stays = token.owner() != Some(owner);
            if !stays {
                found.borrow_mut().push(Arc::clone(token));
            }
            stays
        });
        // An admission has the application's own tokens in its slots too.
        let others = others.filter(|token| token.owner() == Some(owner));
        let now = self.clock.now();
        let mut dropped = 0;
        for token in found.into_inner().into_iter().chain(others) {
            // A token is in the cache and in a slot.
            dropped += usize::from(token.is_alive(now));
            self.revoke(&token);
        }
        dropped
    }

    /// Lets all of them go; whoever holds one may use it.
    pub(crate) fn clear(&self) {
        self.tokens.clear();
    }

    /// What a flight does: as [`ask_and_share`](Self::ask_and_share), again where the user's tokens have been
    /// dropped meanwhile.
    ///
    /// # Errors
    ///
    /// Those of the exchange; and that there is no token, where they are dropped again and again.
    pub(super) async fn run(&self, want: Want, ticket: Option<&Ticket>) -> Outcome {
        // The application's own are nobody's to drop.
        let Some(owner) = Owner::of(&want) else {
            return self.ask_and_share(&want, ticket).await;
        };
        let purges = self.purges.of(owner);
        for _ in 0..ATTEMPTS {
            let before = purges.load(Ordering::SeqCst);
            let token = self.ask_and_share(&want, ticket).await?;
            if purges.load(Ordering::SeqCst) == before {
                return Ok(token);
            }
            self.revoke(&token);
        }
        Err(gone())
    }
}

/// So often a token is asked for whose user is cut off each time.
const ATTEMPTS: usize = 3;

/// How often tokens of a user have been dropped. Some users share a number, so that an exchange is
/// seldom made again for somebody else.
#[derive(Debug)]
pub(super) struct Purges([AtomicU64; 64]);

impl Default for Purges {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; 64])
    }
}

impl Purges {
    pub(super) fn of(&self, owner: Owner) -> &AtomicU64 {
        &self.0[owner.bucket(self.0.len())]
    }
}
