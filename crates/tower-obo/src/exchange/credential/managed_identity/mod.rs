//! An Azure managed identity whose tokens stand for the application: a federated credential without
//! any file.
//!
//! <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity>

mod endpoint;
mod fetch;
mod state;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OnceCell, OwnedMutexGuard},
    time::Instant,
};

pub use self::endpoint::ManagedIdentity;
use self::{
    fetch::{Failed, Fetched},
    state::{Held, State},
};
use super::{Audience, CredentialError};
use crate::{Secret, Timestamp, cloud, http_client::HttpClient};

/// A token is not used when less than this is left of it.
const MARGIN: Duration = Duration::from_secs(60);
/// Until the next attempt, when a token could not be renewed before its time.
const PAUSE: Duration = Duration::from_secs(30);
/// How long the one who renews a token that is good still waits for the new one.
const PATIENCE: Duration = Duration::from_secs(1);

/// The identity at work.
pub(super) struct Identity {
    settings: ManagedIdentity,
    state: Mutex<State>,
    /// Who has it fetches, and others wait unless they have a token.
    fetching: Arc<tokio::sync::Mutex<()>>,
    http: OnceCell<HttpClient>,
}

impl Identity {
    pub(super) fn new(settings: ManagedIdentity) -> Self {
        Self {
            settings,
            state: Mutex::default(),
            fetching: Arc::default(),
            http: OnceCell::new(),
        }
    }

    /// A token for the exchange, that of before while it is fresh.
    pub(super) async fn assertion(
        self: &Arc<Self>,
        audience: &Audience,
    ) -> Result<Secret, CredentialError> {
        let now = audience.now;
        let resource = cloud::token_exchange_audience(&audience.token_endpoint);
        let held = self.state().held(resource, now + MARGIN);
        if let Some(held) = held {
            // It is good still: one renews it, once, and hardly anybody waits.
            if held.renew <= now
                && let Ok(place) = Arc::clone(&self.fetching).try_lock_owned()
            {
                let this = Arc::clone(self);
                let renewal = async move { this.renew(place, &held, resource, now).await };
                let renewing = tokio::spawn(renewal);
                let _ = tokio::time::timeout(PATIENCE, renewing).await;
                if let Some(held) = self.state().held(resource, now + MARGIN) {
                    return Ok(held.token.clone());
                }
            } else {
                return Ok(held.token.clone());
            }
        }
        let failures = self.state().failures();
        let _place = self.fetching.lock().await;
        {
            let state = self.state();
            if let Some(held) = state.held(resource, now + MARGIN) {
                return Ok(held.token.clone());
            }
            // What somebody else just failed at is not tried again by each who waited.
            if let Some(error) = state.failed(failures, now) {
                return Err(error);
            }
        }
        let begun = Instant::now();
        let fetching = tokio::time::timeout(self.settings.limit, self.fetch(resource, now));
        let fetched = fetching.await.unwrap_or_else(|_| {
            let late = format!("it gave no token in {} s", self.settings.limit.as_secs());
            Err(Failed::Retry(late))
        });
        match fetched {
            Ok(fetched) => Ok(self.keep(fetched, resource, now)),
            Err(failed) => {
                let error = CredentialError::from(failed);
                self.state().fail(error.clone(), now + begun.elapsed());
                Err(error)
            }
        }
    }

    async fn renew(
        &self,
        _place: OwnedMutexGuard<()>,
        held: &Held,
        resource: &'static str,
        now: Timestamp,
    ) {
        let fetched = match self.http().await {
            Ok(http) => fetch::once(http, &self.settings, resource).await,
            Err(failed) => Err(failed),
        };
        match fetched {
            Ok(fetched) => drop(self.keep(fetched, resource, now)),
            Err(error) => {
                let error = error.text();
                tracing::warn!(error, "the managed identity's token stays in use");
                self.state().postpone(held, now + PAUSE);
            }
        }
    }

    /// A token in place of none. The platform keeps its tokens, so that one that Entra ID refused may come
    /// back: then it is asked once more.
    async fn fetch(&self, resource: &str, now: Timestamp) -> Result<Fetched, Failed> {
        let http = self.http().await?;
        let fetched = fetch::with_retries(http, &self.settings, resource).await?;
        if !self.state().was_refused(&fetched.token, now) {
            return Ok(fetched);
        }
        tokio::time::sleep(self.settings.pause).await;
        Ok(fetch::once(http, &self.settings, resource)
            .await
            .unwrap_or(fetched))
    }

    /// Made once, where that blocks nobody: it reads the system's certificates.
    async fn http(&self) -> Result<&HttpClient, Failed> {
        self.http
            .get_or_try_init(|| async {
                let made =
                    tokio::task::spawn_blocking(|| HttpClient::without_proxy(fetch::TIMEOUT));
                let made = made
                    .await
                    .map_err(|error| Failed::Retry(error.to_string()))?;
                made.map_err(Failed::Refused)
            })
            .await
    }

    pub(super) fn problem(&self) -> Option<String> {
        self.settings.problem()
    }

    /// Entra ID refused that token.
    pub(super) fn refused(&self, token: &Secret, now: Timestamp) {
        self.state().refuse(token, now);
    }

    fn keep(&self, fetched: Fetched, resource: &'static str, now: Timestamp) -> Secret {
        let token = fetched.token.clone();
        let lifetime = fetched.lifetime(now);
        // Those of a day are renewed at half time, as Azure's own libraries do.
        let renew = fetched.refresh_in.unwrap_or(lifetime / 2).min(lifetime);
        self.state().put(Held {
            token: fetched.token,
            resource,
            expires: now + lifetime,
            renew: now + renew,
        });
        token
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

#[cfg(test)]
mod tests;
