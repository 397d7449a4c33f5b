//! One exchange for all who want the same token: a spawned task that nobody's giving up cancels.

use std::sync::Arc;

use dashmap::{DashMap, mapref::entry::Entry};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::CachedToken;
use crate::{
    Secret, Spawner, Timestamp,
    digest::{AsIs, Digest},
    exchange::{ExchangeError, ExchangeErrorKind},
    policy::Target,
};

/// A downstream token that is wanted, with what it takes to ask for it.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub(crate) key: Digest,
    /// Whom a throttle of the authorization server concerns.
    pub(crate) group: [u8; 32],
    /// The caller's token; `None` where the wanted one is the application's own.
    pub(crate) assertion: Option<Secret>,
    pub(crate) tenant: Arc<str>,
    pub(crate) target: Arc<Target>,
    /// A claims request that goes with the exchange.
    pub(crate) claims: Option<Arc<str>>,
    /// Whose token it has to be.
    pub(crate) object_id: Option<Box<str>>,
    /// The same where the provider is not Entra ID: issuer and `sub`.
    pub(crate) subject: Option<(Box<str>, Box<str>)>,
    /// The token must not outlive the caller's right to call.
    pub(crate) caller_valid_until: Timestamp,
    /// Which tokens of the shared store will do.
    pub(crate) from_store: FromStore,
    /// The token that this one is to follow. It may be known to its admission alone: the cache of
    /// tokens has let it go.
    pub(crate) follows: Option<Arc<CachedToken>>,
}

/// What a token of the shared store must be to spare an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FromStore {
    /// Fresh.
    Fresh,
    /// Newer than one whose renewal is due.
    Renewed,
    /// None is: something is asked for that what is there does not have.
    Nothing,
}

/// Why there is no token.
#[derive(Clone, Debug)]
pub(crate) enum Unavailable {
    Exchange(ExchangeError),
    /// Too many exchanges are under way.
    Overloaded,
}

impl Unavailable {
    /// Whether the same request may succeed later without anybody doing anything.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Exchange(error) => error.is_transient(),
            Self::Overloaded => true,
        }
    }
}

pub(super) type Outcome = Result<Arc<CachedToken>, ExchangeError>;

/// The exchanges under way, by what they are for.
#[derive(Debug, Default)]
pub(super) struct Flights(DashMap<Digest, Flight, AsIs>);

/// An exchange under way. It can be waited for, by any number of callers, as long as they like.
#[derive(Clone, Debug)]
pub(super) struct Flight(watch::Receiver<Option<Outcome>>);

/// What came of the wish to start an exchange.
pub(super) enum Start {
    Joined(Flight),
    /// The token has arrived since the last look.
    Arrived(Arc<CachedToken>),
}

impl Flights {
    pub(super) fn join(&self, key: &Digest) -> Option<Flight> {
        self.0.get(key).map(|flight| flight.clone())
    }

    /// Starts `exchange`, unless one for the same token is under way or the token has arrived.
    ///
    /// The permit is held until the exchange has ended.
    pub(super) fn start<F>(
        self: &Arc<Self>,
        key: Digest,
        permit: OwnedSemaphorePermit,
        spawner: &dyn Spawner,
        arrived: impl FnOnce() -> Option<Arc<CachedToken>>,
        exchange: impl FnOnce() -> F,
    ) -> Start
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let vacant = match self.0.entry(key) {
            Entry::Occupied(under_way) => return Start::Joined(under_way.get().clone()),
            Entry::Vacant(vacant) => vacant,
        };
        // An exchange puts its token into the cache before it leaves this map: whoever finds
        // neither may start one, if it looks in this order and under the lock.
        if let Some(token) = arrived() {
            return Start::Arrived(token);
        }
        let (sender, receiver) = watch::channel(None);
        let flight = Flight(receiver);
        vacant.insert(flight.clone());
        let landing = Landing {
            flights: Arc::clone(self),
            key,
        };
        let exchange = exchange();
        spawner.spawn(Box::pin(async move {
            let outcome = exchange.await;
            drop(landing);
            drop(permit);
            sender.send_replace(Some(outcome));
        }));
        Start::Joined(flight)
    }

    #[cfg(test)]
    pub(super) fn put_back(&self, key: Digest, flight: Flight) {
        self.0.insert(key, flight);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Flight {
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => match &*outcome {
                Some(outcome) => outcome.clone(),
                None => Err(lost()),
            },
            // The task was dropped or panicked; the next caller starts a new one.
            Err(_) => Err(lost()),
        }
    }
}

fn lost() -> ExchangeError {
    ExchangeError::new(
        ExchangeErrorKind::Unavailable,
        "the exchange ended without a result",
    )
}

/// Empties the place of an exchange on every way out, a panic included.
struct Landing {
    flights: Arc<Flights>,
    key: Digest,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.0.remove(&self.key);
    }
}
