//! The downstream tokens of a core.

mod foreign;
mod looks;
mod purge;
mod refused;

use std::{sync::Arc, time::Duration};

use quick_cache::{Weighter, sync::Cache};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use self::{
    foreign::is_foreign,
    looks::{Before, Looks, Ticket},
    purge::Purges,
    refused::OnceAMinute,
};
use super::{
    CachedToken, Owner, Unavailable, Want,
    cached::earliest_renewal,
    challenged::Challenged,
    flight::{Flights, FromStore, Outcome, Start},
    holdback::{Holdback, Whom},
    shared::{Shared, Stored},
};
use crate::{
    Clock, Event, Observer, Spawner, Timestamp, TokenExchange,
    digest::{AsIs, Digest},
    exchange::{ExchangeError, ExchangeErrorKind, ExchangeRequest},
    usage::{CacheUsage, Evictions, SharedStoreUsage},
};

/// Keeps downstream tokens, bounded by bytes, and gets those that are missing: one exchange per
/// token at a time, a bounded number of exchanges in all.
///
/// The tokens are found by content (the caller's whole token, tenant, client, resource, scopes),
/// never by a user's id, so that they outlive a reload of the configuration.
#[derive(Debug)]
pub(crate) struct DownstreamTokens {
    exchange: Arc<dyn TokenExchange>,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    observer: Arc<dyn Observer>,
    tokens: Cache<Digest, Arc<CachedToken>, ByBytes, AsIs, Evictions>,
    evictions: Evictions,
    flights: Arc<Flights>,
    holdback: Holdback,
    /// When a 401 of the downstream dropped a token, by the token's key.
    refused: OnceAMinute,
    /// When claims of a downstream were asked for, by the token's key.
    challenged: OnceAMinute,
    purges: Purges,
    /// What downstreams have answered tokens with.
    challenges: Challenged,
    exchanges: Arc<Semaphore>,
    /// Tokens that other processes may have exchanged.
    shared: Option<Shared>,
    looks: Arc<Looks>,
    /// How long a caller waits for a place among the exchanges.
    patience: Duration,
}

/// How long a request waits for a successor while the token it could be served with lives.
const PATIENCE_WHILE_ALIVE: Duration = Duration::from_secs(2);

/// How long such a token serves after an attempt that failed, before the next one.
const PAUSE_WHILE_ALIVE: Duration = Duration::from_secs(30);

/// The longest that an exchange may take, its retry included.
const MAX_EXCHANGE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl Weighter<Digest, Arc<CachedToken>> for ByBytes {
    fn weight(&self, _: &Digest, token: &Arc<CachedToken>) -> u64 {
        token.weight() as u64
    }
}

impl DownstreamTokens {
    pub(crate) fn new(
        exchange: Arc<dyn TokenExchange>,
        clock: Arc<dyn Clock>,
        spawner: Arc<dyn Spawner>,
        observer: Arc<dyn Observer>,
        max_bytes: u64,
        max_exchanges: usize,
    ) -> Self {
        let evictions = Evictions::default();
        Self {
            exchange,
            clock,
            spawner,
            observer,
            tokens: Cache::with(
                usize::try_from(max_bytes / 2_048).unwrap_or(usize::MAX),
                max_bytes,
                ByBytes,
                AsIs::default(),
                evictions.clone(),
            ),
            evictions,
            flights: Arc::default(),
            holdback: Holdback::default(),
            refused: OnceAMinute::default(),
            challenged: OnceAMinute::default(),
            purges: Purges::default(),
            challenges: Challenged::default(),
            exchanges: Arc::new(Semaphore::new(max_exchanges)),
            shared: None,
            looks: Arc::default(),
            patience: Duration::from_secs(5),
        }
    }

    /// How full the cache is.
    pub(crate) fn usage(&self) -> CacheUsage {
        CacheUsage {
            entries: self.tokens.len() as u64,
            bytes: self.tokens.weight(),
            evictions: self.evictions.count(),
        }
    }

    /// Shares the tokens with other processes.
    #[cfg(feature = "redis")]
    pub(crate) fn share(&mut self, shared: Shared) {
        self.shared = Some(shared);
    }

    /// How the shared store is, if there is one.
    pub(crate) fn shared_usage(&self) -> Option<SharedStoreUsage> {
        self.shared.as_ref().map(Shared::usage)
    }

    /// Begins to connect to the shared store, if there is one.
    pub(crate) fn connect(&self) {
        if let Some(shared) = &self.shared {
            shared.start();
        }
    }

    /// The token, if it is there and fresh.
    pub(crate) fn fresh(&self, key: &Digest, now: Timestamp) -> Option<Arc<CachedToken>> {
        self.tokens
            .get(key)
            .filter(|token| self.is_good(token, now))
    }

    /// Whether the token may be served without asking for another, wherever it was kept: it is fresh,
    /// and its downstream has not challenged the same token as another has had it.
    pub(crate) fn is_good(&self, token: &CachedToken, now: Timestamp) -> bool {
        token.is_fresh(now) && !self.challenges.meets(token, now)
    }

    /// The token, from here or by an exchange. Whoever gives up waiting neither cancels the
    /// exchange nor causes another.
    ///
    /// A token in the last part of its life still serves when the authorization server cannot
    /// answer; an expired one never does.
    pub(crate) async fn obtain(
        self: &Arc<Self>,
        want: Want,
    ) -> Result<Arc<CachedToken>, Unavailable> {
        let now = self.clock.now();
        if let Some(token) = self.fresh(&want.key, now) {
            return Ok(token);
        }
        self.observer.on(&Event::Token { hit: false });
        let key = want.key;
        // The cache may have let it go while the caller's admission still has it.
        let kept = self
            .tokens
            .get(&key)
            .into_iter()
            .chain(want.follows.clone());
        let Some(alive) = kept.into_iter().find(|token| self.is_alive(token)) else {
            return self.exchange(want, now).await;
        };
        // In the last part of a token's life another is tried for, but nobody is made to wait long
        // for it, nor each request anew.
        let exchange = timeout(PATIENCE_WHILE_ALIVE, self.exchange(want, now)).await;
        let failure = match exchange.unwrap_or_else(|_| Err(Unavailable::Exchange(too_slow()))) {
            Ok(token) => return Ok(token),
            Err(failure) => failure,
        };
        // It may have expired in the meantime, or been revoked.
        if failure.is_transient() && self.is_alive(&alive) {
            alive.serve_until(self.clock.now() + PAUSE_WHILE_ALIVE);
            return Ok(alive);
        }
        Err(failure)
    }

    async fn exchange(
        self: &Arc<Self>,
        want: Want,
        now: Timestamp,
    ) -> Result<Arc<CachedToken>, Unavailable> {
        let (key, whom) = (want.key, Whom::of(&want));
        if let Some(error) = self.refusal(&want, now) {
            return Err(Unavailable::Exchange(error));
        }
        let flight = match self.flights.join(&key) {
            Some(flight) => flight,
            None => {
                let ticket = match self.look(&want).await {
                    Before::Token(token) => return self.landed(token, &whom),
                    Before::Nothing(ticket) => ticket,
                };
                // What is not there is not asked for while the server is to be left alone.
                if let Some(error) = self.holdback.error(&whom, self.clock.now()) {
                    return Err(Unavailable::Exchange(error));
                }
                // Whoever has to wait here waits in its own task: nothing is spawned for it.
                let permit = timeout(self.patience, Arc::clone(&self.exchanges).acquire_owned());
                match permit.await {
                    Ok(Ok(permit)) => {
                        // While this caller waited, the server may have asked to slow down, or a
                        // refusal may have come: neither is asked for once more.
                        if let Some(error) = self.holdback.error(&whom, self.clock.now()) {
                            return Err(Unavailable::Exchange(error));
                        }
                        match self.start(want, permit, ticket) {
                            Start::Arrived(token) => return Ok(token),
                            Start::Joined(flight) => flight,
                        }
                    }
                    // Another who waited may have begun the exchange for this very token, or even
                    // ended it.
                    _ => match self.flights.join(&key) {
                        Some(flight) => flight,
                        None => return self.too_late(&whom),
                    },
                }
            }
        };
        let token = flight.outcome().await.map_err(Unavailable::Exchange)?;
        self.landed(token, &whom)
    }

    /// The token that has come. Others may have had it before this caller's turn came, and the downstream
    /// may have refused it: nobody is served with a token that has been challenged.
    fn landed(
        &self,
        token: Arc<CachedToken>,
        whom: &Whom,
    ) -> Result<Arc<CachedToken>, Unavailable> {
        if self.is_alive(&token) {
            return Ok(token);
        }
        let standing = self.holdback.error(whom, self.clock.now());
        Err(Unavailable::Exchange(standing.unwrap_or_else(gone)))
    }

    /// The error that stands for this token before anything is asked. Where others may have the
    /// token, only what holds for it whoever has it: a server that is to be left alone does not hinder
    /// a look into the shared store.
    fn refusal(&self, want: &Want, now: Timestamp) -> Option<ExchangeError> {
        let looks = self.looks_in(want).is_some();
        let standing = self.holdback.error(&Whom::of(want), now)?;
        (!looks || !standing.is_transient()).then_some(standing)
    }

    /// What there is for a caller who has waited long enough for a place.
    fn too_late(&self, whom: &Whom) -> Result<Arc<CachedToken>, Unavailable> {
        let now = self.clock.now();
        if let Some(token) = self.fresh(&whom.key, now) {
            return Ok(token);
        }
        let standing = self.holdback.error(whom, now);
        Err(standing.map_or(Unavailable::Overloaded, Unavailable::Exchange))
    }

    /// Renews a token ahead of its time, in the background, if nobody else does already.
    pub(crate) fn renew(self: &Arc<Self>, token: &Arc<CachedToken>, want: impl FnOnce() -> Want) {
        let now = self.clock.now();
        if !token.claim_renewal(now) {
            return;
        }
        // Callers who wait for a token come first: a renewal takes a place only if one is free.
        let Ok(permit) = Arc::clone(&self.exchanges).try_acquire_owned() else {
            return;
        };
        let mut want = want();
        want.from_store = FromStore::Renewed;
        want.follows = Some(Arc::clone(token));
        if self.refusal(&want, now).is_some() {
            return;
        }
        let until = self
            .looks_in(&want)
            .map(|shared| Instant::now() + shared.wait());
        match until {
            Some(until) => self.look_and_renew(want, until),
            None => {
                // Nobody waits for it; the task goes on by itself.
                let _ = self.start_unless(want, permit, None, |_| None);
            }
        }
    }

    fn start(
        self: &Arc<Self>,
        want: Want,
        permit: OwnedSemaphorePermit,
        ticket: Option<Arc<Ticket>>,
    ) -> Start {
        let fresh = |key: &Digest| self.fresh(key, self.clock.now());
        self.start_unless(want, permit, ticket, fresh)
    }

    fn start_unless(
        self: &Arc<Self>,
        want: Want,
        permit: OwnedSemaphorePermit,
        ticket: Option<Arc<Ticket>>,
        arrived: impl FnOnce(&Digest) -> Option<Arc<CachedToken>>,
    ) -> Start {
        let key = want.key;
        let store = Arc::clone(self);
        self.flights.start(
            key,
            permit,
            &*self.spawner,
            || arrived(&key),
            move || async move { store.run(want, ticket.as_deref()).await },
        )
    }

    /// A token by an exchange, for other processes too.
    async fn ask_and_share(&self, want: &Want, ticket: Option<&Ticket>) -> Outcome {
        // Others wait for it no longer than until this has ended.
        let claim = ticket.and_then(Ticket::claim);
        let (token, stored) = self.ask(want).await?;
        if let Some(shared) = self.shared_for(want) {
            shared.keep(want, &stored, &token, claim, self.clock.now());
        }
        Ok(token)
    }

    /// Whether a token of the shared store spares this exchange.
    fn serves(&self, want: &Want, stored: &Stored) -> bool {
        let now = self.clock.now();
        let response = &stored.response;
        let fresh = CachedToken::new(response, want.key, stored.obtained, want.caller_valid_until)
            .is_some_and(|token| token.is_fresh(now));
        fresh
            && match want.from_store {
                FromStore::Fresh => true,
                FromStore::Renewed => now < stored.obtained + earliest_renewal(response),
                FromStore::Nothing => false,
            }
    }

    async fn ask(&self, want: &Want) -> Result<(Arc<CachedToken>, Stored), ExchangeError> {
        let begun = Instant::now();
        let request = ExchangeRequest {
            tenant: Arc::clone(&want.tenant),
            grant: want.target.grant,
            assertion: want.assertion.clone(),
            scopes: Arc::clone(&want.target.scopes),
            audiences: Arc::clone(&want.target.audiences),
            resources: Arc::clone(&want.target.resources),
            claims: want.claims.clone(),
            correlation_id: uuid::Uuid::new_v4().to_string().into(),
        };
        let correlation_id = request.correlation_id.clone();
        // Whatever a custom exchange does, nobody waits for it for ever.
        let result = timeout(MAX_EXCHANGE, self.exchange.exchange(request)).await;
        let result = result.unwrap_or_else(|_| Err(too_slow()));
        // Where the server gave no id, ours still joins the answer, this log and the server's.
        let outcome = result
            .and_then(|response| {
                let obtained = self.clock.now();
                let stored = Stored::new(response, obtained);
                Ok((self.keep(want, &stored)?, stored))
            })
            .map_err(|error| error.or_correlation_id(&correlation_id));
        self.observer.on(&Event::Exchanged {
            took: begun.elapsed(),
            error: outcome.as_ref().err(),
        });
        if let Err(error) = &outcome {
            tracing::info!(
                reason = %error,
                kind = ?error.kind(),
                grant = want.target.grant.name(),
                correlation_id = error.correlation_id(),
                "an exchange failed"
            );
            if error.aadsts() == Some(OTHER_AUDIENCE) {
                tracing::warn!(
                    "Entra ID holds an audience that is accepted here for another application's: accept \
                     only those of this registration, or its users sign in again and again"
                );
            }
            self.holdback
                .remember(&Whom::of(want), error, self.clock.now());
            // A renewal that is refused tells as much about the token that it was to follow: a
            // disabled account, a withdrawn consent or a new policy holds from now on.
            if error.refuses_caller() {
                let cached = self.tokens.get(&want.key);
                for token in cached.iter().chain(&want.follows) {
                    self.revoke(token);
                }
            }
        }
        outcome
    }

    fn keep(&self, want: &Want, stored: &Stored) -> Outcome {
        let response = &stored.response;
        if is_foreign(want, response.access_token.expose()) {
            tracing::error!("the authorization server answered with a token of somebody else");
            self.observer.on(&Event::ForeignToken);
            return Err(unusable("the token is not the caller's downstream token"));
        }
        let obtained = stored.obtained;
        let token = CachedToken::new(response, want.key, obtained, want.caller_valid_until)
            .ok_or_else(|| unusable("the token holds characters that no token has"))?
            .owned_by(Owner::of(want));
        let token = Arc::new(token);
        self.unchallenged(&token)?;
        self.tokens.insert(want.key, Arc::clone(&token));
        // Who challenges it at this moment has either seen it in the cache, or is seen here.
        self.unchallenged(&token)
            .inspect_err(|_| self.revoke(&token))?;
        Ok(token)
    }

    /// An exchange may answer with a token that its downstream has challenged: one that keeps tokens
    /// itself, say.
    fn unchallenged(&self, token: &CachedToken) -> Result<(), ExchangeError> {
        match self.challenges.of(token, self.clock.now()) {
            Some(challenge) => Err(challenge),
            None => Ok(()),
        }
    }
}

/// The caller's token is for another application, though it has passed here: nothing that its user does
/// helps.
const OTHER_AUDIENCE: u32 = 500_131;

fn too_slow() -> ExchangeError {
    ExchangeError::new(ExchangeErrorKind::Timeout, "the exchange took too long")
}

pub(crate) fn gone() -> ExchangeError {
    ExchangeError::new(
        ExchangeErrorKind::Unavailable,
        "the token ended before it could be used",
    )
}

fn unusable(reason: &'static str) -> ExchangeError {
    ExchangeError::new(ExchangeErrorKind::UnusableAnswer, reason)
}

#[cfg(test)]
mod tests;
