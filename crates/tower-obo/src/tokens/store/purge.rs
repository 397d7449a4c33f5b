//! A user's tokens, dropped before they end.

use std::{
    cell::RefCell,
    sync::{Arc, atomic::Ordering},
};

use super::{
    super::{CachedToken, Owner, Want, flight::Outcome},
    DownstreamTokens, FromStore,
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
        self.purges.fetch_add(1, Ordering::SeqCst);
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

    /// What a flight does: as [`find_or_ask`](Self::find_or_ask), once more where somebody's tokens have
    /// been dropped meanwhile. Whose they were is not asked: it is seldom.
    pub(super) async fn run(&self, mut want: Want) -> Outcome {
        let before = self.purges.load(Ordering::SeqCst);
        let outcome = self.find_or_ask(&want).await;
        let Ok(token) = &outcome else {
            return outcome;
        };
        if self.purges.load(Ordering::SeqCst) == before {
            return outcome;
        }
        self.revoke(token);
        want.from_store = FromStore::Nothing;
        self.find_or_ask(&want).await
    }
}
