//! The word of a process that it is exchanging for a token.

use std::{mem, time::Duration};

use tokio::time::Instant;

use super::{
    Shared,
    seal::{Name, Stamp},
};

/// How long the word counts, should the process never be heard of again. Others wait a tenth of a second at
/// most, so that this is for them who come later.
pub(super) const CLAIM: Duration = Duration::from_secs(2);

/// It is taken back when this is dropped: nobody needs to wait any more.
pub(in crate::tokens) struct Claim {
    shared: Shared,
    name: Name,
    /// By which it is told from another's.
    stamp: Stamp,
    given: Instant,
    is_ours: bool,
}

impl Claim {
    /// To be made before it is asked for: should the answer be lost, it may be ours all the same.
    pub(super) fn new(shared: &Shared, name: &Name) -> Self {
        Self {
            shared: shared.clone(),
            name: name.claim(),
            stamp: Stamp::random(),
            given: Instant::now(),
            is_ours: true,
        }
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    pub(super) const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Another has it.
    pub(super) fn goes_to_another(mut self) {
        self.is_ours = false;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // It may be another's by now, or never have been ours: where the answer was lost, or late. So only what has
        // our stamp is taken away.
        if !self.is_ours || self.given.elapsed() >= CLAIM {
            return;
        }
        let (shared, name, stamp) = (self.shared.clone(), mem::take(&mut self.name), self.stamp);
        self.shared.spawn(async move {
            // Where that fails it ends by itself.
            if let Some(session) = shared.session().await {
                let removed = session.link.remove(name, stamp);
                let _ = shared.0.health.write(&session, removed).await;
            }
        });
    }
}
