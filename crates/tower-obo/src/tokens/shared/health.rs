//! The connection to a shared store: given up when it fails or is slow, and made again in the background.
//! No request waits for a store that is known to be away.

mod connect;
mod owed;

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use self::{connect::Begin, owed::Owed};
use super::{
    greeting::Greeting,
    link::{Backend, Link, StoreError},
};
use crate::{SharedStoreUsage, Spawner};

/// The pauses between attempts to connect: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// So many looks in a row that come too late mean that the store is no help.
const SLOW_LOOKS: u32 = 3;

/// A connection that breaks after less than this is not made anew at once: something is wrong that a new
/// one does not mend.
const BRIEF: Duration = Duration::from_secs(1);

/// A connection that has lasted this long was a good one: after it the pauses begin anew.
const LASTING: Duration = Duration::from_secs(60);

/// How long a write may take; nobody waits for it.
const WRITE: Duration = Duration::from_secs(2);

pub(super) struct Health {
    backend: Arc<dyn Backend>,
    spawner: Arc<dyn Spawner>,
    greeting: Greeting,
    /// The longest that a request waits for the store.
    wait: Duration,
    state: Mutex<State>,
    link: watch::Sender<Phase>,
    owed: Mutex<Owed>,
}

/// A connection with its age.
pub(super) struct Session {
    pub(super) link: Arc<dyn Link>,
    since: Instant,
}

#[derive(Clone)]
enum Phase {
    /// Nobody has asked for a connection yet.
    Idle,
    /// The first connection is being made, or one in place of another that has just broken; it is worth
    /// waiting for.
    Connecting,
    Up(Arc<Session>),
    /// It failed; another is tried for in the background.
    Down,
}

#[derive(Debug)]
struct State {
    slow: u32,
    pause: Duration,
    said: Said,
}

/// What the log has said last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Said {
    Nothing,
    There,
    Away,
}

impl Health {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        spawner: Arc<dyn Spawner>,
        greeting: Greeting,
        wait: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            backend,
            spawner,
            greeting,
            wait,
            state: Mutex::new(State {
                slow: 0,
                pause: FIRST_PAUSE,
                said: Said::Nothing,
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
            self.connect(Begin::First);
        }
    }

    /// The connection, if there is one; one that is worth it is waited for until then.
    pub(super) async fn session(self: &Arc<Self>, until: Instant) -> Option<Arc<Session>> {
        self.start();
        let mut phases = self.link.subscribe();
        let known = phases.wait_for(|phase| !matches!(phase, Phase::Connecting));
        match &*timeout_at(until, known).await.ok()?.ok()? {
            Phase::Up(session) => Some(Arc::clone(session)),
            _ => None,
        }
    }

    /// Takes note of how a look went, the whole of it: one that is answered in part and then too late is
    /// no help. It must have had its time.
    pub(super) fn looked<T>(
        self: &Arc<Self>,
        session: &Arc<Session>,
        look: &Result<T, StoreError>,
    ) {
        match look {
            Ok(_) => self.state().slow = 0,
            Err(refusal) if refusal.is_refusal() => self.state().slow = 0,
            Err(error @ StoreError::Slow) => {
                let mut state = self.state();
                state.slow += 1;
                let too_slow = state.slow >= SLOW_LOOKS;
                drop(state);
                if too_slow {
                    self.lost(session, error);
                }
            }
            Err(error) => self.lost(session, error),
        }
    }

    /// Waits for the answer to what no request waits for. How long that takes says nothing about looks,
    /// which have less time.
    pub(super) async fn write<T>(
        self: &Arc<Self>,
        session: &Arc<Session>,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timeout(WRITE, answer).await;
        let answer = answer.unwrap_or(Err(StoreError::Slow));
        if let Err(error @ StoreError::Broken(_)) = &answer {
            self.lost(session, error);
        }
        answer
    }

    /// Gives this connection up, once, however many found it broken.
    pub(super) fn lost(self: &Arc<Self>, session: &Arc<Session>, error: &StoreError) {
        let age = session.since.elapsed();
        // A server that was restarted, or that ends what is idle, is there at once; one that is slow is not
        // asked again soon.
        let at_once = matches!(error, StoreError::Broken(_)) && age >= BRIEF;
        let lost = self.link.send_if_modified(|phase| {
            let current = matches!(phase, Phase::Up(current) if Arc::ptr_eq(current, session));
            if current {
                *phase = match at_once {
                    true => Phase::Connecting,
                    false => Phase::Down,
                };
            }
            current
        });
        if !lost {
            return;
        }
        if age >= LASTING {
            self.state().pause = FIRST_PAUSE;
        }
        if at_once {
            tracing::debug!(reason = %error, "the connection to the shared store of tokens is made anew");
            self.connect(Begin::AtOnce);
        } else {
            self.away(error);
            self.connect(Begin::After(self.next_pause()));
        }
    }

    /// Says that it is away, unless that was the last thing that was said.
    fn away(&self, error: &StoreError) {
        let before = std::mem::replace(&mut self.state().said, Said::Away);
        match before {
            Said::Nothing => {
                tracing::warn!(reason = %error, "the shared store of tokens cannot be reached; going on without it");
            }
            Said::There => {
                tracing::warn!(reason = %error, "the shared store of tokens is away; going on without it");
            }
            Said::Away => {}
        }
    }

    /// The pause before the next attempt, spread out so that a fleet does not come back as one.
    fn next_pause(&self) -> Duration {
        let mut state = self.state();
        let pause = state.pause;
        state.pause = (pause * 2).min(LAST_PAUSE);
        pause.mul_f64(f64::midpoint(1.0, crate::jitter::unit()))
    }

    /// How the store is, for whoever watches over it.
    pub(super) fn usage(&self) -> SharedStoreUsage {
        let is_there = matches!(&*self.link.borrow(), Phase::Up(_));
        let (deletions_owed, deletions_dropped) = self.deletions();
        SharedStoreUsage {
            is_there,
            deletions_owed,
            deletions_dropped,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
