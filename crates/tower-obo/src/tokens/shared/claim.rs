//! The word of a process that it is exchanging for a token.

use std::{mem, time::Duration};

use tokio::time::Instant;

use super::{Shared, seal::Name};

/// How long the word counts, should the process never be heard of again. Others wait a tenth of a second at
/// most, so that this is for them who come later.
pub(super) const CLAIM: Duration = Duration::from_secs(2);

/// It is taken back when this is dropped: nobody needs to wait any more.
pub(in crate::tokens) struct Claim {
    shared: Shared,
    name: Name,
    given: Instant,
    is_ours: bool,
}

impl Claim {
    /// To be made before it is asked for: should the answer be lost, it may be ours all the same.
    pub(super) fn new(shared: &Shared, name: &Name) -> Self {
        Self {
            shared: shared.clone(),
            name: name.claim(),
            given: Instant::now(),
            is_ours: true,
        }
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    /// Another has it.
    pub(super) fn goes_to_another(mut self) {
        self.is_ours = false;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // One that has ended may be another's by now.
        if !self.is_ours || self.given.elapsed() >= CLAIM {
            return;
        }
        let (shared, name) = (self.shared.clone(), mem::take(&mut self.name));
        self.shared.spawn(async move {
            // Where that fails it ends by itself.
            if let Some(session) = shared.session().await {
                let deleted = session.link.delete(name);
                let _ = shared.0.health.write(&session, deleted).await;
            }
        });
    }
}
