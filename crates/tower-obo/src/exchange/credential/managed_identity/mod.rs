//! An Azure managed identity whose tokens stand for the application: a federated credential without
//! any file.
//!
//! <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity>

mod endpoint;
mod fetch;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use self::endpoint::ManagedIdentity;
use self::fetch::Fetched;
use super::{Audience, CredentialError};
use crate::{Secret, Timestamp, cloud};

/// A token is not used when less than this is left of it.
const MARGIN: Duration = Duration::from_secs(60);
/// Until the next attempt, when a token could not be renewed before its time.
const PAUSE: Duration = Duration::from_secs(30);

/// The identity at work.
pub(super) struct Identity {
    settings: ManagedIdentity,
    held: Mutex<Option<Arc<Held>>>,
    /// Who has it fetches, and others wait unless they have a token.
    fetching: tokio::sync::Mutex<()>,
}

struct Held {
    token: Secret,
    resource: &'static str,
    expires: Timestamp,
    /// When a new one is asked for.
    renew: Timestamp,
}

impl Identity {
    pub(super) fn new(settings: ManagedIdentity) -> Self {
        Self {
            settings,
            held: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// A token for the exchange, that of before while it is fresh.
    pub(super) async fn assertion(&self, audience: &Audience) -> Result<Secret, CredentialError> {
        let now = audience.now;
        let resource = cloud::token_exchange_audience(&audience.token_endpoint);
        let held = || {
            self.held(resource)
                .filter(|held| held.expires > now + MARGIN)
        };
        let fresh = || held().filter(|held| held.renew > now);
        if let Some(held) = fresh() {
            return Ok(held.token.clone());
        }
        if let Some(held) = held() {
            // It is good still: one renews it, once, and nobody waits.
            if let Ok(_fetching) = self.fetching.try_lock() {
                match fetch::once(&self.settings, resource).await {
                    Ok(fetched) => return Ok(self.keep(fetched, resource, now)),
                    Err(error) => {
                        let error = error.text();
                        tracing::warn!(error, "the managed identity's token stays in use");
                        self.put(Held {
                            token: held.token.clone(),
                            renew: now + PAUSE,
                            ..*held
                        });
                    }
                }
            }
            return Ok(held.token.clone());
        }
        let _fetching = self.fetching.lock().await;
        if let Some(held) = fresh() {
            return Ok(held.token.clone());
        }
        let fetched = fetch::with_retries(&self.settings, resource).await?;
        Ok(self.keep(fetched, resource, now))
    }

    pub(super) fn problem(&self) -> Option<String> {
        self.settings.problem()
    }

    /// Entra ID refused the token.
    pub(super) fn forget(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn held(&self, resource: &str) -> Option<Arc<Held>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone().filter(|held| held.resource == resource)
    }

    fn keep(&self, fetched: Fetched, resource: &'static str, now: Timestamp) -> Secret {
        let token = fetched.token.clone();
        let lifetime = fetched.lifetime(now);
        // Those of a day are renewed at half time, as Azure's own libraries do.
        let renew = fetched.refresh_in.unwrap_or(lifetime / 2).min(lifetime);
        self.put(Held {
            token: fetched.token,
            resource,
            expires: now + lifetime,
            renew: now + renew,
        });
        token
    }

    fn put(&self, held: Held) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(held));
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

#[cfg(test)]
mod tests;
