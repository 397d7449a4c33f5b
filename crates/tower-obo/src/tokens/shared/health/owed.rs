//! Deletions that could not be done, and are done as soon as the store lets them be.

use std::{
    collections::HashSet,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{
    super::{
        complaints::Said,
        link::{Link, StoreError},
        seal::{Name, Stamp},
    },
    FIRST_PAUSE, Health, LAST_PAUSE, Phase,
};

/// How long deletions that are made up for may take, those that are sent at once together.
const REMOVE: Duration = Duration::from_secs(2);

/// At most so many are remembered while the store is away; of the others that is said, and counted.
const MOST_OWED: usize = 4_096;

/// So many are sent at once: each by itself would wait for the one before.
const AT_ONCE: usize = 512;

/// Deletions that are still to be done.
#[derive(Debug, Default)]
pub(super) struct Owed {
    removals: Vec<(Name, Stamp)>,
    /// Whether a task is at it.
    settling: bool,
    /// Those that will never be done.
    dropped: u64,
    too_many: Said,
}

impl Health {
    /// Deletes this as soon as the store lets it be done: over a new connection before anybody uses
    /// that, over the present one after a pause.
    pub(in super::super) fn owe(self: &Arc<Self>, name: Name, stamp: Stamp) {
        let mut owed = self.owed();
        if owed.removals.len() < MOST_OWED {
            owed.removals.push((name, stamp));
        } else {
            owed.dropped += 1;
            if owed.too_many.first() {
                tracing::warn!(
                    remembered = MOST_OWED,
                    "too many tokens are to be deleted from the shared store, which is away: those that are refused \
                     from now on stay there until they end"
                );
            }
        }
        if std::mem::replace(&mut owed.settling, true) {
            return;
        }
        drop(owed);
        let health = Arc::downgrade(self);
        self.spawner.spawn(Box::pin(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
                let Some(health) = health.upgrade() else {
                    return;
                };
                let up = match &*health.link.borrow() {
                    Phase::Up(session) => Some(Arc::clone(session)),
                    _ => None,
                };
                if let Some(session) = up
                    // If it fails, it is tried again after the next pause.
                    && let Err(error @ StoreError::Broken(_)) = health.settle(&session.link).await
                {
                    health.lost(&session, &error);
                }
                let mut owed = health.owed();
                if owed.removals.is_empty() {
                    owed.settling = false;
                    return;
                }
            }
        }));
    }

    /// Deletes what could not be deleted before. Each deletion is owed until the store has answered.
    pub(super) async fn settle(&self, link: &Arc<dyn Link>) -> Result<(), StoreError> {
        loop {
            let some: Vec<_> = self.owed().removals.iter().take(AT_ONCE).cloned().collect();
            if some.is_empty() {
                return Ok(());
            }
            let removals = some.into_iter().map(|(name, stamp)| async move {
                let removed = timeout(REMOVE, link.remove(name.clone(), stamp)).await;
                ((name, stamp), removed.unwrap_or(Err(StoreError::Slow)))
            });
            let (mut done, mut failed, mut left) = (HashSet::new(), None, 0);
            for (one, removed) in join_all(removals).await {
                match removed {
                    Ok(()) => {
                        self.greeting.complaints.deletable();
                        done.insert(one);
                    }
                    // Whoever may not delete now may not later either.
                    Err(refusal) if refusal.is_refusal() => {
                        self.cannot_delete(&refusal);
                        done.insert(one);
                    }
                    Err(error) => {
                        left += 1;
                        failed = Some(error);
                    }
                }
            }
            let mut owed = self.owed();
            owed.removals.retain(|owed| !done.contains(owed));
            if let Some(error) = failed {
                // The next ones come first the next time: of a cluster, others may be able to delete.
                let left = left.min(owed.removals.len());
                owed.removals.rotate_left(left);
                return Err(error);
            }
            owed.too_many.over();
        }
    }

    /// The store will not delete one, now or later.
    pub(in super::super) fn cannot_delete(&self, refusal: &StoreError) {
        self.owed().dropped += 1;
        self.greeting.complaints.undeletable(refusal);
    }

    /// How many deletions are owed, and how many will never be done.
    pub(super) fn deletions(&self) -> (u64, u64) {
        let owed = self.owed();
        (owed.removals.len() as u64, owed.dropped)
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
