//! The connection to a shared store: made in the background, given up when it fails, made again with
//! growing pauses. No request waits for a store that is known to be away.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    link::{Backend, Link, StoreError},
    seal::{Name, Stamp},
};
use crate::Spawner;

/// How long a connection may take to be made, its first answer included.
const CONNECT: Duration = Duration::from_secs(2);

/// The pauses between attempts to connect: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// So many answers in a row that come too late mean that the store is no help.
const SLOW_ANSWERS: u32 = 3;

/// So many good ones mean that all is well, and the pauses begin anew.
const GOOD_ANSWERS: u32 = 64;

/// How long a deletion that is made up for may take.
const REMOVE: Duration = Duration::from_secs(2);

/// At most so many deletions are remembered while the store is away.
const MOST_OWED: usize = 4_096;

pub(super) struct Health {
    backend: Arc<dyn Backend>,
    spawner: Arc<dyn Spawner>,
    state: Mutex<State>,
    link: watch::Sender<Phase>,
    owed: Mutex<Owed>,
}

/// Deletions that are still to be done.
#[derive(Debug, Default)]
struct Owed {
    removals: Vec<(Name, Stamp)>,
    /// Whether a task is at it.
    settling: bool,
}

#[derive(Clone)]
enum Phase {
    /// Nobody has asked for a connection yet.
    Idle,
    /// The first connection is being made; it is worth waiting for.
    Connecting,
    Up(Arc<dyn Link>),
    /// It failed; another is tried for in the background.
    Down,
}

#[derive(Debug)]
struct State {
    slow: u32,
    good: u32,
    pause: Duration,
}

impl Health {
    pub(super) fn new(backend: Arc<dyn Backend>, spawner: Arc<dyn Spawner>) -> Arc<Self> {
        Arc::new(Self {
            backend,
            spawner,
            state: Mutex::new(State {
                slow: 0,
                good: 0,
                pause: FIRST_PAUSE,
            }),
            link: watch::Sender::new(Phase::Idle),
            owed: Mutex::default(),
        })
    }

    /// Begins to connect, unless that has begun.
    pub(super) fn start(self: &Arc<Self>) {
        let first = self.link.send_if_modified(|phase| {
            let idle = matches!(phase, Phase::Idle);
            if idle {
                *phase = Phase::Connecting;
            }
            idle
        });
        if first {
            self.connect(None);
        }
    }

    /// The connection, if there is one; the very first is waited for until then.
    pub(super) async fn link(self: &Arc<Self>, until: Instant) -> Option<Arc<dyn Link>> {
        self.start();
        let mut phases = self.link.subscribe();
        let known = phases.wait_for(|phase| !matches!(phase, Phase::Connecting));
        match &*timeout_at(until, known).await.ok()?.ok()? {
            Phase::Up(link) => Some(Arc::clone(link)),
            _ => None,
        }
    }

    /// Waits for an answer of this connection, and takes note of how that went.
    pub(super) async fn ask<T>(
        self: &Arc<Self>,
        link: &Arc<dyn Link>,
        until: Instant,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timeout_at(until, answer).await;
        let answer = answer.unwrap_or(Err(StoreError::Slow));
        match &answer {
            Ok(_) | Err(StoreError::Refused(_)) => self.answered(),
            Err(StoreError::Slow) => {
                let mut state = self.state();
                state.slow += 1;
                state.good = 0;
                let too_slow = state.slow >= SLOW_ANSWERS;
                drop(state);
                if too_slow {
                    self.lost(link, &StoreError::Slow);
                }
            }
            Err(error @ StoreError::Broken(_)) => self.lost(link, error),
        }
        answer
    }

    fn answered(&self) {
        let mut state = self.state();
        state.slow = 0;
        if state.pause != FIRST_PAUSE {
            state.good += 1;
            if state.good >= GOOD_ANSWERS {
                state.pause = FIRST_PAUSE;
            }
        }
    }

    /// Gives this connection up, once, however many found it broken.
    fn lost(self: &Arc<Self>, link: &Arc<dyn Link>, error: &StoreError) {
        let lost = self.link.send_if_modified(|phase| {
            let current = matches!(phase, Phase::Up(current) if Arc::ptr_eq(current, link));
            if current {
                *phase = Phase::Down;
            }
            current
        });
        if lost {
            tracing::warn!(reason = %error, "the shared store of tokens is away; going on without it");
            // A server that was restarted is back at once; one that is slow is not asked again soon.
            let pause = (*error == StoreError::Slow).then(|| self.next_pause());
            self.connect(Some(pause.unwrap_or_default()));
        }
    }

    /// Connects in the background, until it has or nobody needs it any more. `after` is the pause
    /// before the first attempt, and says that this is not the very first connection.
    fn connect(self: &Arc<Self>, after: Option<Duration>) {
        let attempt = Attempt(Arc::downgrade(self));
        let spawner = Arc::clone(&self.spawner);
        spawner.spawn(Box::pin(async move {
            let mut away = after.is_some();
            if let Some(pause) = after {
                sleep(pause).await;
            }
            while let Some(health) = attempt.0.upgrade() {
                let made = timeout(CONNECT, async {
                    let link = health.backend.connect().await?;
                    health.settle(&link).await?;
                    Ok(link)
                });
                let made = made.await;
                let error = match made.unwrap_or(Err(StoreError::Slow)) {
                    Ok(link) => {
                        health.found(link);
                        tracing::info!("the shared store of tokens is there");
                        return;
                    }
                    Err(error) => error,
                };
                if !away {
                    tracing::warn!(reason = %error, "the shared store of tokens cannot be reached; going on without it");
                    away = true;
                }
                health.link.send_replace(Phase::Down);
                let pause = health.next_pause();
                drop(health);
                sleep(pause).await;
            }
        }));
    }

    fn found(&self, link: Arc<dyn Link>) {
        let mut state = self.state();
        state.slow = 0;
        state.good = 0;
        drop(state);
        self.link.send_replace(Phase::Up(link));
    }

    /// The pause before the next attempt, spread out so that a fleet does not come back as one.
    fn next_pause(&self) -> Duration {
        let mut state = self.state();
        let pause = state.pause;
        state.pause = (pause * 2).min(LAST_PAUSE);
        pause.mul_f64(f64::midpoint(1.0, crate::jitter::unit()))
    }

    /// Deletes this as soon as the store lets it be done: over a new connection before anybody uses
    /// that, over the present one after a pause.
    pub(super) fn owe(self: &Arc<Self>, name: Name, stamp: Stamp) {
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
                    Phase::Up(link) => Some(Arc::clone(link)),
                    _ => None,
                };
                if let Some(link) = up {
                    // If it fails, it is tried again after the next pause.
                    let _ = health.settle(&link).await;
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
    async fn settle(self: &Arc<Self>, link: &Arc<dyn Link>) -> Result<(), StoreError> {
        loop {
            let Some((name, stamp)) = self.owed().removals.last().cloned() else {
                return Ok(());
            };
            let until = Instant::now() + REMOVE;
            let removed = self.ask(link, until, link.remove(name.clone(), stamp));
            match removed.await {
                // Whoever may not delete now may not later either.
                Ok(()) | Err(StoreError::Refused(_)) => {
                    let done = (name, stamp);
                    self.owed().removals.retain(|owed| *owed != done);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt to connect. Should its task end without a result (a panic, a runtime that is gone),
/// nobody waits for it any longer.
struct Attempt(Weak<Health>);

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(health) = self.0.upgrade() {
            health.link.send_if_modified(|phase| {
                let left = matches!(phase, Phase::Connecting);
                if left {
                    *phase = Phase::Down;
                }
                left
            });
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("backend", &self.backend)
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}
