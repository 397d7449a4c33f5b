//! Downstream tokens that several processes share, in a store outside of them.
//!
//! The store is a help and never a condition: whatever it does or fails to do costs an exchange at
//! most. It is asked within the task of an exchange, so nobody's giving up cancels it, and once for all
//! callers of this process who want the same token.

mod health;
mod link;
mod redis;
mod seal;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quick_cache::{UnitWeighter, sync::Cache};
use tokio::time::{Instant, sleep_until};

pub use self::redis::RedisStore;
pub(in crate::tokens) use self::seal::{Stamp, Stored};
use self::{
    health::Health,
    link::{Backend, Link, StoreError},
    seal::{Keys, Name},
};
use super::{CachedToken, Want};
use crate::{
    Clock, Event, Observer, Spawner, Timestamp,
    digest::{AsIs, Digest},
    observer::Lookup,
};

/// How often a process looks whether another has finished its exchange.
const POLL: Duration = Duration::from_millis(10);

/// How long the word of a process that it is exchanging counts, should it never be heard of again.
/// Others wait a tenth of a second at most, so that this is for them who come later.
const CLAIM: Duration = Duration::from_secs(2);

/// How long a write may take; nobody waits for it.
const WRITE: Duration = Duration::from_secs(2);

/// At most so many tokens are remembered as refused by their downstream.
const MOST_REFUSED: usize = 4_096;

/// The store of a core.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    health: Arc<Health>,
    keys: Keys,
    /// The longest that a request waits for the store, and for another process, together.
    wait: Duration,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    observer: Arc<dyn Observer>,
    /// Tokens that must not come back from the store, by their hash.
    refused: Cache<Digest, (), UnitWeighter, AsIs>,
    /// Whether it has been said that values cannot be read, or written.
    unreadable: Said,
    unwritable: Said,
}

/// Something that is said once, until it is over.
#[derive(Debug, Default)]
struct Said(AtomicBool);

impl Said {
    fn first(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    fn over(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What a look into the store came to.
enum Look {
    Found(Stored),
    Nothing,
    /// The store is no help now.
    Failed,
}

impl Shared {
    fn new(
        backend: Arc<dyn Backend>,
        keys: Keys,
        wait: Duration,
        clock: Arc<dyn Clock>,
        spawner: Arc<dyn Spawner>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self(Arc::new(Inner {
            health: Health::new(backend, Arc::clone(&spawner)),
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
            unreadable: Said::default(),
            unwritable: Said::default(),
        }))
    }

    /// Connects ahead of the first request.
    pub(crate) fn start(&self) {
        self.0.health.start();
    }

    /// A token that another process has left here, if it `serves`. Where another is just exchanging
    /// for it, that is waited for, though not long. `None`: exchange, then call [`keep`](Self::keep)
    /// or [`give_up`](Self::give_up).
    pub(super) async fn find(
        &self,
        want: &Want,
        serves: impl Fn(&Stored) -> bool,
    ) -> Option<Stored> {
        let until = Instant::now() + self.0.wait;
        let look = self.look(want, until, &serves).await;
        let (outcome, found) = match look {
            Look::Found(stored) => (Lookup::Hit, Some(stored)),
            Look::Nothing => (Lookup::Miss, None),
            Look::Failed => (Lookup::Failed, None),
        };
        self.0.observer.on(&Event::SharedStore { outcome });
        found
    }

    async fn look(&self, want: &Want, until: Instant, serves: &impl Fn(&Stored) -> bool) -> Look {
        let health = &self.0.health;
        let Some(link) = health.link(until).await else {
            return Look::Failed;
        };
        let names: Vec<_> = self.0.keys.names(&want.key).collect();
        let Some(first) = names.first() else {
            return Look::Nothing;
        };
        for name in &names {
            match health.ask(&link, until, link.get(name.clone())).await {
                Ok(value) => {
                    if let Some(stored) = self.read(want, name, value, serves) {
                        return Look::Found(stored);
                    }
                }
                Err(StoreError::Refused(reason)) => self.complain(&reason),
                Err(_) => return Look::Failed,
            }
        }
        let claimed = link.claim(first.claim(), CLAIM);
        match health.ask(&link, until, claimed).await {
            Ok(true) => return Look::Nothing,
            Ok(false) => {}
            Err(_) => return Look::Failed,
        }
        // Another process is at it.
        loop {
            let next = Instant::now() + POLL;
            if next >= until {
                return Look::Nothing;
            }
            sleep_until(next).await;
            // An answer that is late here says nothing about the store: little time was left.
            let value = tokio::time::timeout_at(until, link.get(first.clone())).await;
            let Ok(Ok(value)) = value else {
                return Look::Nothing;
            };
            if let Some(stored) = self.read(want, first, value, serves) {
                return Look::Found(stored);
            }
        }
    }

    /// Opens what stands under a name. What does not open is not there.
    fn read(
        &self,
        want: &Want,
        name: &Name,
        value: Option<Vec<u8>>,
        serves: &impl Fn(&Stored) -> bool,
    ) -> Option<Stored> {
        let value = value?;
        let Some(stored) = self.0.keys.open(name, want.assertion.as_ref()?, &value) else {
            self.complain("a value that does not open");
            return None;
        };
        self.0.unreadable.over();
        let refused = self
            .0
            .refused
            .get(&hash(stored.response.access_token.expose().as_bytes()));
        (refused.is_none() && serves(&stored)).then_some(stored)
    }

    fn complain(&self, reason: &str) {
        if self.0.unreadable.first() {
            tracing::warn!(
                reason,
                "the shared store of tokens holds something else; exchanging instead"
            );
        }
    }

    /// Notes as which value this token stands in the store: it was found there.
    #[expect(clippy::unused_self, reason = "there has to be a store")]
    pub(super) fn took(&self, stored: &Stored, token: &CachedToken) {
        token.stands_as(stored.stamp);
    }

    /// Puts a token into the store, in the background: nobody waits for it.
    pub(super) fn keep(
        &self,
        want: &Want,
        stored: &Stored,
        token: &Arc<CachedToken>,
        now: Timestamp,
    ) {
        let life = token.use_until().saturating_since(now);
        let assertion = want.assertion.as_ref();
        let sealed = assertion.and_then(|assertion| self.0.keys.seal(&want.key, assertion, stored));
        let (Some((name, sealed)), false) = (sealed, life.is_zero()) else {
            return self.give_up(want);
        };
        let stamp = Stamp::of(&sealed);
        token.stands_as(stamp);
        let (shared, token) = (self.clone(), Arc::clone(token));
        self.spawn(async move {
            let Some(link) = shared.link().await else {
                return;
            };
            let set = link.set(name.clone(), sealed, life);
            shared.written(shared.ask(&link, set).await);
            // Refused by its downstream in the meantime, perhaps before the store had it.
            if let Some(stamp) = stamp
                && !token.is_alive(shared.0.clock.now())
            {
                shared.remove(Some(&link), name.clone(), stamp).await;
            }
            // It may be another's by now, if ours took long. Then that one is found out a little
            // later that it has not been waited for.
            shared.unclaim(&link, &name).await;
        });
    }

    /// The exchange has failed: nobody needs to wait for it.
    pub(super) fn give_up(&self, want: &Want) {
        let Some(name) = self.0.keys.names(&want.key).next() else {
            return;
        };
        let shared = self.clone();
        self.spawn(async move {
            if let Some(link) = shared.link().await {
                shared.unclaim(&link, &name).await;
            }
        });
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
            let link = shared.link().await;
            for name in names {
                shared.remove(link.as_ref(), name, stamp).await;
            }
        });
    }

    async fn remove(&self, link: Option<&Arc<dyn Link>>, name: Name, stamp: Stamp) {
        let removed = match link {
            Some(link) => self.ask(link, link.remove(name.clone(), stamp)).await,
            None => Err(StoreError::Slow),
        };
        match removed {
            Ok(()) => {}
            Err(StoreError::Broken(_) | StoreError::Slow) => self.0.health.owe(name, stamp),
            refused @ Err(StoreError::Refused(_)) => self.written(refused),
        }
    }

    /// Takes back the word that this process is exchanging. Where that fails it ends by itself.
    async fn unclaim(&self, link: &Arc<dyn Link>, name: &Name) {
        let _ = self.ask(link, link.delete(name.claim())).await;
    }

    async fn link(&self) -> Option<Arc<dyn Link>> {
        self.0.health.link(Instant::now() + WRITE).await
    }

    async fn ask<T>(
        &self,
        link: &Arc<dyn Link>,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.0
            .health
            .ask(link, Instant::now() + WRITE, answer)
            .await
    }

    fn written(&self, written: Result<(), StoreError>) {
        match written {
            Ok(()) => self.0.unwritable.over(),
            Err(StoreError::Refused(reason)) if self.0.unwritable.first() => {
                tracing::warn!(%reason, "the shared store of tokens takes nothing in");
            }
            Err(_) => {}
        }
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
mod tests;
