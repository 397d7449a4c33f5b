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
        link::{Link, StoreError},
        seal::{Name, Stamp},
    },
    FIRST_PAUSE, Health, LAST_PAUSE, Phase,
};

/// How long deletions that are made up for may take, those that are sent at once together.
const REMOVE: Duration = Duration::from_secs(2);

/// At most so many are remembered while the store is away.
const MOST_OWED: usize = 4_096;

/// So many are sent at once: each by itself would wait for the one before.
const AT_ONCE: usize = 512;

/// Deletions that are still to be done.
#[derive(Debug, Default)]
pub(super) struct Owed {
    removals: Vec<(Name, Stamp)>,
    /// Whether a task is at it.
    settling: bool,
}

impl Health {
    /// Deletes this as soon as the store lets it be done: over a new connection before anybody uses
    /// that, over the present one after a pause.
    pub(in super::super) fn owe(self: &Arc<Self>, name: Name, stamp: Stamp) {
        let mut owed = self.owed();
        if owed.removals.len() < MOST_OWED {
            owed.removals.push((name, stamp));
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
            let (mut done, mut failed) = (HashSet::new(), None);
            for (one, removed) in join_all(removals).await {
                match removed {
                    // Whoever may not delete now may not later either.
                    Ok(()) | Err(StoreError::Refused(_)) => {
                        done.insert(one);
                    }
                    Err(error) => failed = Some(error),
                }
            }
            self.owed().removals.retain(|owed| !done.contains(owed));
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
