//! Downstream tokens that several processes share, in a store outside of them.
//!
//! The store is a help and never a condition: whatever it does or fails to do costs an exchange at
//! most. It is asked before an exchange, in a task of its own, so nobody's giving up cancels it, and once
//! for all callers of this process who want the same token.

mod claim;
mod complaints;
mod greeting;
mod health;
mod link;
mod look;
mod redis;
mod seal;

use std::{fmt, sync::Arc, time::Duration};

use quick_cache::{UnitWeighter, sync::Cache};
use tokio::time::Instant;

pub use self::redis::RedisStore;
pub(in crate::tokens) use self::{
    claim::Claim,
    seal::{Stamp, Stored},
};
use self::{
    complaints::Complaints,
    greeting::Greeting,
    health::{Health, Session},
    link::{Backend, LONGEST, StoreError},
    look::Looker,
    seal::{Keys, Name},
};
use super::{CachedToken, Want};
use crate::{
    Clock, Event, Observer, SharedStoreUsage, Spawner, Timestamp,
    digest::{AsIs, Digest},
    observer::Lookup,
};

/// How often a process looks whether another has finished its exchange.
const POLL: Duration = Duration::from_millis(10);

/// How long what no request waits for waits for a connection.
const CONNECTION: Duration = Duration::from_secs(2);

/// At most so many tokens are remembered as refused by their downstream.
const MOST_REFUSED: usize = 4_096;

/// The store of a core.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    health: Arc<Health>,
    keys: Arc<Keys>,
    /// The longest that a request waits for the store, and for another process, together.
    wait: Duration,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    observer: Arc<dyn Observer>,
    /// Tokens that must not come back from the store, by their hash.
    refused: Cache<Digest, (), UnitWeighter, AsIs>,
    complaints: Arc<Complaints>,
}

/// What a look into the store came to.
pub(super) enum Found {
    Token(Stored),
    /// Nothing. With the claim to exchange, where nobody else has it.
    Nothing(Option<Claim>),
    /// Another process is exchanging for it, and has not ended in time.
    Busy,
    /// The store is no help now.
    Failed,
}

impl Shared {
    fn new(
        backend: Arc<dyn Backend>,
        keys: Keys,
        whose: &Digest,
        wait: Duration,
        clock: Arc<dyn Clock>,
        spawner: Arc<dyn Spawner>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let (keys, complaints) = (Arc::new(keys), Arc::<Complaints>::default());
        let greeting = Greeting::new(
            Arc::clone(&keys),
            Arc::clone(&complaints),
            whose,
            backend.has_parts(),
        );
        Self(Arc::new(Inner {
            health: Health::new(backend, Arc::clone(&spawner), greeting, wait),
            keys,
            wait,
            clock,
            spawner,
            observer,
            refused: Cache::with(
                MOST_REFUSED,
                MOST_REFUSED as u64,
                UnitWeighter,
                AsIs::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
            complaints,
        }))
    }

    /// Connects ahead of the first request.
    pub(crate) fn start(&self) {
        self.0.health.start();
    }

    /// A token that another process has left here, if it `serves`. Where another is just exchanging
    /// for it, that is waited for, though not long: until then. Whoever `may_ask`, and finds nothing, is to
    /// exchange, and to keep the claim until that has ended.
    pub(super) async fn find(
        &self,
        want: &Want,
        until: Instant,
        may_ask: bool,
        serves: impl Fn(&Stored) -> bool,
    ) -> Found {
        let looker = Looker {
            shared: self,
            want,
            may_ask,
            serves,
        };
        let found = looker.look(until).await;
        let outcome = match &found {
            Found::Token(_) => Lookup::Hit,
            Found::Nothing(_) => Lookup::Miss,
            Found::Busy => Lookup::Busy,
            Found::Failed => Lookup::Failed,
        };
        self.0.observer.on(&Event::SharedStore { outcome });
        found
    }

    /// How it is.
    pub(crate) fn usage(&self) -> SharedStoreUsage {
        self.0.health.usage()
    }

    /// A request that wanted to look found no place for that.
    pub(super) fn skipped(&self) {
        let outcome = Lookup::Skipped;
        self.0.observer.on(&Event::SharedStore { outcome });
    }

    /// The longest that a request waits for the store.
    pub(super) fn wait(&self) -> Duration {
        self.0.wait
    }

    /// Notes as which value this token stands in the store: it was found there.
    #[expect(clippy::unused_self, reason = "there has to be a store")]
    pub(super) fn took(&self, stored: &Stored, token: &CachedToken) {
        token.stands_as(stored.stamp);
    }

    /// Puts a token into the store, in the background: nobody waits for it. The claim ends then, also
    /// where nothing can be put there.
    pub(super) fn keep(
        &self,
        want: &Want,
        stored: &Stored,
        token: &Arc<CachedToken>,
        claim: Option<Claim>,
        now: Timestamp,
    ) {
        let life = token.use_until().saturating_since(now);
        let assertion = want.assertion.as_ref();
        let sealed = assertion.and_then(|assertion| self.0.keys.seal(&want.key, assertion, stored));
        let (Some((name, sealed)), false) = (sealed, life.is_zero()) else {
            return;
        };
        // Nobody would read it whole.
        if sealed.len() > LONGEST {
            return;
        }
        let stamp = Stamp::of(&sealed);
        token.stands_as(stamp);
        let (shared, token) = (self.clone(), Arc::clone(token));
        self.spawn(async move {
            let session = shared.put(&name, sealed, life).await;
            // Refused by its downstream in the meantime, perhaps before the store had it.
            if let Some(stamp) = stamp
                && !token.is_alive(shared.0.clock.now())
            {
                shared.remove(session.as_ref(), name, stamp).await;
            }
            drop(claim);
        });
    }

    /// Over the connection that there is, and over the next one should that turn out to be broken.
    async fn put(&self, name: &Name, sealed: Vec<u8>, life: Duration) -> Option<Arc<Session>> {
        let session = self.session().await?;
        let set = session.link.set(name.clone(), sealed.clone(), life);
        let written = self.0.health.write(&session, set).await;
        self.0.complaints.written(&written);
        if !matches!(written, Err(StoreError::Broken(_))) {
            return Some(session);
        }
        let session = self.session().await?;
        let set = session.link.set(name.clone(), sealed, life);
        let written = self.0.health.write(&session, set).await;
        self.0.complaints.written(&written);
        Some(session)
    }

    /// Takes a token out of the store that its downstream has refused: neither this process nor one
    /// that looks from now on gets it again. Another that has taken its place stays.
    pub(super) fn forget(&self, token: &CachedToken) {
        if let Some(text) = token.header().as_bytes().strip_prefix(b"Bearer ") {
            self.0.refused.insert(hash(text), ());
        }
        // One that was never put there, nor taken from there, is not there.
        let Some(stamp) = token.stamp() else {
            return;
        };
        let names: Vec<_> = self.0.keys.names(token.key()).collect();
        let shared = self.clone();
        self.spawn(async move {
            let session = shared.session().await;
            for name in names {
                shared.remove(session.as_ref(), name, stamp).await;
            }
        });
    }

    async fn remove(&self, session: Option<&Arc<Session>>, name: Name, stamp: Stamp) {
        let health = &self.0.health;
        let removed = match session {
            Some(session) => {
                let removed = session.link.remove(name.clone(), stamp);
                health.write(session, removed).await
            }
            None => Err(StoreError::Slow),
        };
        match removed {
            Ok(()) => self.0.complaints.deletable(),
            Err(StoreError::Broken(_) | StoreError::Slow) => health.owe(name, stamp),
            Err(refusal) => health.cannot_delete(&refusal),
        }
    }

    /// The connection, for what no request waits for.
    async fn session(&self) -> Option<Arc<Session>> {
        self.0.health.session(Instant::now() + CONNECTION).await
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawner.spawn(Box::pin(task));
    }
}

fn hash(token: &[u8]) -> Digest {
    Digest::of(&[token])
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("health", &self.0.health)
            .field("keys", &self.0.keys)
            .field("wait", &self.0.wait)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(in crate::tokens) mod fake;
#[cfg(test)]
mod tests;
