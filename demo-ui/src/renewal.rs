//! Renewals of an account's tokens, one at a time. While the token of before is good it is handed out at once
//! and the renewal goes on in the background: no page waits for an Entra ID that does not answer, but in the
//! token's last minute, for two seconds.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use oauth2::AccessToken;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use crate::account::Account;
use crate::entra::{Age, EntraError};
use crate::ui::Ui;

/// After a renewal that failed none is begun for so long, as long as the token of before is good.
const PAUSE: Duration = Duration::from_secs(15);

/// A token that may be over before it is used is waited for so long, rather than handed out.
const PATIENCE: Duration = Duration::from_secs(2);

/// The renewals of one account, as far as this process knows.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    /// Whoever has it renews.
    turn: tokio::sync::Mutex<()>,
    last: std::sync::Mutex<Last>,
}

/// What became of the last one.
#[derive(Debug, Default)]
struct Last {
    /// How many have failed.
    failures: u64,
    /// The last one that did, unless one went well since.
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    when: Instant,
    error: EntraError,
    /// When the token ends that was to be renewed: about another, which another machine has got meanwhile,
    /// the failure says nothing.
    ends: OffsetDateTime,
}

impl Renewals {
    /// Renews. Whoever comes while somebody is at it waits, and has their failure rather than ask again.
    async fn one(
        &self,
        ends: OffsetDateTime,
        renewal: impl Future<Output = Result<(), EntraError>>,
    ) -> Result<(), EntraError> {
        let failures = self.last().failures;
        let _turn = self.turn.lock().await;
        {
            let last = self.last();
            if last.failures != failures
                && let Some(failed) = last.failed.as_ref().filter(|failed| failed.ends == ends)
            {
                return Err(failed.error.clone());
            }
        }
        let renewed = renewal.await;
        let mut last = self.last();
        let when = Instant::now();
        let failed = |error| Failed { when, error, ends };
        last.failed = renewed.clone().err().map(failed);
        last.failures += u64::from(renewed.is_err());
        renewed
    }

    fn is_under_way(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// The refusal that only the user can help with, if that is how the last one of this token ended.
    fn needs_user(&self, ends: OffsetDateTime) -> Option<EntraError> {
        let last = self.last();
        let failed = last.failed.as_ref().filter(|failed| failed.ends == ends)?;
        failed.error.needs_user().then(|| failed.error.clone())
    }

    fn failed_just_now(&self) -> bool {
        let last = self.last();
        let failed = last.failed.as_ref();
        failed.is_some_and(|failed| failed.when.elapsed() < PAUSE)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ui {
    /// The token of the account of this name, renewed if its time has come. As long as it is good it is an error
    /// only that the user is needed.
    pub(crate) async fn renewed(
        self: &Arc<Self>,
        name: String,
        account: &Arc<Account>,
    ) -> Result<AccessToken, EntraError> {
        let age = account.age();
        let renewals = account.renewals();
        let (ends, _) = account.tokens().times();
        match age {
            Age::Fresh => return Ok(account.access_token()),
            Age::Due | Age::Ending => {
                if let Some(error) = renewals.needs_user(ends) {
                    return Err(error);
                }
                if renewals.failed_just_now() || (age == Age::Due && renewals.is_under_way()) {
                    return Ok(account.access_token());
                }
            }
            Age::Over => {}
        }
        let (ui, renewed) = (Arc::clone(self), Arc::clone(account));
        // In a task of its own: a browser that goes away meanwhile does not take the answer with it, and a
        // refresh token that is good once.
        let renewal = tokio::spawn(
            async move {
                let renewal = ui.people.renew(&name, &renewed, &ui.entra);
                let ended = renewed.renewals().one(ends, renewal).await;
                if let Err(error) = &ended {
                    tracing::warn!(reason = error.reason(), "no new token yet");
                }
                ended
            }
            .in_current_span(),
        );
        let ended = match age {
            Age::Fresh | Age::Due => return Ok(account.access_token()),
            Age::Ending => timeout(PATIENCE, renewal).await.ok(),
            Age::Over => Some(renewal.await),
        };
        match ended {
            Some(Ok(Err(error))) if age == Age::Over || error.needs_user() => Err(error),
            Some(Err(_)) if age == Age::Over => {
                Err(EntraError::Unusable("a renewal that broke off"))
            }
            _ => Ok(account.access_token()),
        }
    }
}

#[cfg(test)]
mod tests;
