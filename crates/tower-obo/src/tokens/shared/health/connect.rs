//! Making a connection, in the background, again and again with growing pauses.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    super::link::{Link, StoreError},
    Health, Phase, Said, Session,
};

/// How long a connection may take to be made, its first answers included.
const CONNECT: Duration = Duration::from_secs(2);

/// The shortest time for which a store that was away has to be there before that is said.
const STEADY: Duration = Duration::from_secs(1);

/// What the attempts to connect begin with.
pub(super) enum Begin {
    /// The very first one.
    First,
    /// One in place of a connection that has broken. Requests wait for it, as long as they wait at all.
    AtOnce,
    /// A pause.
    After(Duration),
}

impl Health {
    /// Connects in the background, until it has or nobody needs it any more.
    pub(super) fn connect(self: &Arc<Self>, begin: Begin) {
        let attempt = Attempt(Some(Arc::downgrade(self)));
        let spawner = Arc::clone(&self.spawner);
        let mut first = matches!(begin, Begin::First);
        let mut patience = match begin {
            Begin::AtOnce => self.wait.min(CONNECT),
            _ => CONNECT,
        };
        spawner.spawn(Box::pin(async move {
            if let Begin::After(pause) = begin {
                sleep(pause).await;
            }
            while let Some(health) = attempt.health() {
                let made = timeout(patience, health.make(first)).await;
                let error = match made.unwrap_or(Err(StoreError::Slow)) {
                    Ok(link) => {
                        let session = health.found(link);
                        attempt.has_succeeded();
                        return health.proves(session).await;
                    }
                    Err(error) => error,
                };
                health.away(&error);
                health.link.send_replace(Phase::Down);
                let pause = health.next_pause();
                drop(health);
                sleep(pause).await;
                (first, patience) = (false, CONNECT);
            }
        }));
    }

    /// A connection over which the store has been read and written.
    async fn make(self: &Arc<Self>, first: bool) -> Result<Arc<dyn Link>, StoreError> {
        let link = self.backend.connect().await?;
        let has_parts = self.backend.has_parts();
        let patience = match (first, has_parts) {
            // A process that starts may be slow itself.
            (true, false) => CONNECT,
            (true, true) => CONNECT / 2,
            // As many steps as a look has: what takes longer than that would be no help.
            (false, _) => self.wait.min(CONNECT / 2),
        };
        self.greeting.greet(&*link, patience).await?;
        if has_parts {
            // What is owed to a part that is away does not keep us from the others; it stays owed.
            let _ = timeout(self.wait.min(CONNECT) / 4, self.settle(&link)).await;
        } else {
            self.settle(&link).await?;
        }
        Ok(link)
    }

    fn found(&self, link: Arc<dyn Link>) -> Arc<Session> {
        self.state().slow = 0;
        let session = Arc::new(Session {
            link,
            since: Instant::now(),
        });
        self.link.send_replace(Phase::Up(Arc::clone(&session)));
        session
    }

    /// Says that the store is there: at once for the first time, and after it was away once the connection
    /// has lasted as long as the last pause. One that comes and goes is away all the time, for the log.
    async fn proves(self: Arc<Self>, session: Arc<Session>) {
        let steady = {
            let state = self.state();
            match state.said {
                Said::There => return,
                Said::Nothing => Duration::ZERO,
                Said::Away => state.pause.max(STEADY),
            }
        };
        if !steady.is_zero() {
            let (health, one) = (Arc::downgrade(&self), Arc::downgrade(&session));
            drop((self, session));
            sleep(steady).await;
            if let (Some(health), Some(session)) = (health.upgrade(), one.upgrade()) {
                health.say_there(&session);
            }
            return;
        }
        self.say_there(&session);
    }

    fn say_there(&self, session: &Arc<Session>) {
        let phase = self.link.borrow();
        if matches!(&*phase, Phase::Up(current) if Arc::ptr_eq(current, session)) {
            // Before somebody else can say that it is gone.
            self.state().said = Said::There;
            tracing::info!("the shared store of tokens is there");
        }
    }
}

/// Attempts to connect. Should their task end without a result (a panic, a runtime that is gone), whoever
/// asks next begins anew, and nobody waits for this one any longer.
struct Attempt(Option<Weak<Health>>);

impl Attempt {
    fn health(&self) -> Option<Arc<Health>> {
        self.0.as_ref()?.upgrade()
    }

    fn has_succeeded(mut self) {
        self.0 = None;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(health) = self.health() {
            health.link.send_if_modified(|phase| {
                let left = matches!(phase, Phase::Connecting | Phase::Down);
                if left {
                    *phase = Phase::Idle;
                }
                left
            });
        }
    }
}
