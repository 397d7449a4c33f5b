//! The look into the shared store, before an exchange. It takes no place among the exchanges: however slow
//! the store is, as many are under way as without it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
};

use dashmap::{DashMap, mapref::entry::Entry};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout_at},
};

use super::{
    super::{
        CachedToken, Owner, Want,
        flight::FromStore,
        holdback::Whom,
        shared::{Claim, Found, Shared},
    },
    DownstreamTokens,
};
use crate::digest::{AsIs, Digest};

/// At most so many looks are under way. Whoever finds no place until its time is over goes on without one.
const MOST_LOOKS: usize = 1_024;

/// The looks under way and what follows from them, by what they are for.
#[derive(Debug)]
pub(super) struct Looks {
    places: Arc<Semaphore>,
    tickets: DashMap<Digest, Weak<Ticket>, AsIs>,
}

/// One look for all who want the same token. It lasts until the exchange that follows has ended, or nobody
/// wants the token any more: until then nobody else of this process looks, who would find but our own claim.
pub(super) struct Ticket {
    key: Digest,
    looks: Arc<Looks>,
    looked: watch::Sender<Option<Looked>>,
    /// Of whoever begins the exchange.
    claim: Mutex<Option<Claim>>,
}

/// What came of a look.
#[derive(Clone, Debug)]
enum Looked {
    Token(Arc<CachedToken>),
    NotThere,
}

/// What there is before an exchange.
pub(super) enum Before {
    Token(Arc<CachedToken>),
    /// Nothing, and the look that says so, if there was one.
    Nothing(Option<Arc<Ticket>>),
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST_LOOKS)),
            tickets: DashMap::default(),
        }
    }
}

impl Looks {
    fn join(&self, key: &Digest) -> Option<Arc<Ticket>> {
        self.tickets.get(key).and_then(|ticket| ticket.upgrade())
    }

    /// Whether the ticket is a new one, so that whoever gets it is to look.
    fn join_or_begin(self: &Arc<Self>, key: Digest) -> (Arc<Ticket>, bool) {
        let new = || {
            Arc::new(Ticket {
                key,
                looks: Arc::clone(self),
                looked: watch::Sender::new(None),
                claim: Mutex::default(),
            })
        };
        match self.tickets.entry(key) {
            Entry::Occupied(mut entry) => match entry.get().upgrade() {
                Some(ticket) => (ticket, false),
                None => {
                    let ticket = new();
                    entry.insert(Arc::downgrade(&ticket));
                    (ticket, true)
                }
            },
            Entry::Vacant(entry) => {
                let ticket = new();
                entry.insert(Arc::downgrade(&ticket));
                (ticket, true)
            }
        }
    }

    #[cfg(all(test, feature = "redis"))]
    pub(super) fn len(&self) -> usize {
        self.tickets.len()
    }

    #[cfg(all(test, feature = "redis"))]
    pub(super) fn places(&self) -> &Arc<Semaphore> {
        &self.places
    }
}

impl Ticket {
    /// The claim, for whoever exchanges.
    pub(super) fn claim(&self) -> Option<Claim> {
        self.claim
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    async fn looked(&self) -> Looked {
        let mut looked = self.looked.subscribe();
        let looked = looked.wait_for(Option::is_some).await;
        looked
            .ok()
            .and_then(|looked| looked.clone())
            .unwrap_or(Looked::NotThere)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Another may have taken its place.
        let gone = |_: &Digest, ticket: &Weak<Self>| ticket.strong_count() == 0;
        self.looks.tickets.remove_if(&self.key, gone);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

/// A look under way. On every way out, a panic included, those who wait for it learn that it is over.
struct UnderWay {
    ticket: Arc<Ticket>,
    _place: OwnedSemaphorePermit,
}

impl UnderWay {
    fn ends(&self, looked: Looked) {
        self.ticket.looked.send_if_modified(|known| {
            let open = known.is_none();
            if open {
                *known = Some(looked);
            }
            open
        });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.ends(Looked::NotThere);
    }
}

impl DownstreamTokens {
    /// The store in which this token may be. What is shared is sealed with the caller's own token; the
    /// application's tokens have none.
    pub(super) fn shared_for(&self, want: &Want) -> Option<&Shared> {
        self.shared.as_ref().filter(|_| want.assertion.is_some())
    }

    /// The store in which this token is looked for.
    pub(super) fn looks_in(&self, want: &Want) -> Option<&Shared> {
        self.shared_for(want)
            .filter(|_| want.from_store != FromStore::Nothing)
    }

    /// Looks into the shared store, or joins who does. Whoever waits for a place waits in its own task.
    pub(super) async fn look(self: &Arc<Self>, want: &Want) -> Before {
        let Some(shared) = self.looks_in(want) else {
            return Before::Nothing(None);
        };
        let until = Instant::now() + shared.wait();
        let ticket = match self.looks.join(&want.key) {
            Some(ticket) => ticket,
            None => {
                let place = Arc::clone(&self.looks.places).acquire_owned();
                let Ok(Ok(place)) = timeout_at(until, place).await else {
                    shared.skipped();
                    return Before::Nothing(None);
                };
                let (ticket, new) = self.looks.join_or_begin(want.key);
                if new {
                    self.begin_look(want.clone(), Arc::clone(&ticket), place, until);
                }
                ticket
            }
        };
        match ticket.looked().await {
            Looked::Token(token) => Before::Token(token),
            Looked::NotThere => Before::Nothing(Some(ticket)),
        }
    }

    fn begin_look(
        self: &Arc<Self>,
        want: Want,
        ticket: Arc<Ticket>,
        place: OwnedSemaphorePermit,
        until: Instant,
    ) {
        let store = Arc::clone(self);
        let under_way = UnderWay {
            ticket,
            _place: place,
        };
        self.spawner.spawn(Box::pin(async move {
            let (looked, claim) = store.look_until(&want, until).await;
            let ticket = &under_way.ticket;
            *ticket.claim.lock().unwrap_or_else(PoisonError::into_inner) = claim;
            under_way.ends(looked);
        }));
    }

    async fn look_until(&self, want: &Want, until: Instant) -> (Looked, Option<Claim>) {
        let Some(shared) = self.looks_in(want) else {
            return (Looked::NotThere, None);
        };
        let purges = Owner::of(want).map(|owner| self.purges.of(owner));
        let purged = || purges.map(|count| count.load(Ordering::SeqCst));
        let before = purged();
        // While the server is to be left alone, nobody else is made to wait for us.
        let may_ask = self.holdback.error(&Whom::of(want), self.clock.now());
        let serves = |stored: &_| self.serves(want, stored);
        let found = shared.find(want, until, may_ask.is_none(), serves).await;
        let stored = match found {
            Found::Token(stored) => stored,
            Found::Nothing(claim) => return (Looked::NotThere, claim),
            Found::Busy | Found::Failed => return (Looked::NotThere, None),
        };
        let Ok(token) = self.keep(want, &stored) else {
            return (Looked::NotThere, None);
        };
        shared.took(&stored, &token);
        if purged() != before {
            self.revoke(&token);
            return (Looked::NotThere, None);
        }
        (Looked::Token(token), None)
    }

    /// Renews by what another process has put into the store, or by an exchange if a place is free then.
    /// Nobody waits for it.
    pub(super) fn look_and_renew(self: &Arc<Self>, want: Want, until: Instant) {
        let places = Arc::clone(&self.looks.places);
        let Ok(place) = places.try_acquire_owned() else {
            if let Some(shared) = self.looks_in(&want) {
                shared.skipped();
            }
            return;
        };
        let (ticket, true) = self.looks.join_or_begin(want.key) else {
            return;
        };
        self.begin_look(want.clone(), Arc::clone(&ticket), place, until);
        let store = Arc::clone(self);
        self.spawner.spawn(Box::pin(async move {
            if matches!(ticket.looked().await, Looked::NotThere)
                && store
                    .holdback
                    .error(&Whom::of(&want), store.clock.now())
                    .is_none()
                && let Ok(permit) = Arc::clone(&store.exchanges).try_acquire_owned()
            {
                let _ = store.start_unless(want, permit, Some(ticket), |_| None);
            }
        }));
    }
}
