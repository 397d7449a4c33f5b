//! Who is signed in, and their token for the API.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use oauth2::{AccessToken, CsrfToken};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::call::Call;
use crate::entra::{Entra, EntraError, Tokens, User};
use crate::login::Intent;

/// New sign-ins in a row that the API may ask for before we stop: a user who has just brought what
/// was asked for, and is asked again, would go round in circles.
const MAX_STEP_UPS: u32 = 2;

/// A user who is signed in, in one browser.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) user: User,
    /// Goes with every form (the synchronizer token of OWASP's guide).
    pub(crate) csrf: CsrfToken,
    tokens: Mutex<Tokens>,
    step_ups: AtomicU32,
    /// The stronger sign-in that the user turned away from.
    turned_down: std::sync::Mutex<Option<Intent>>,
    /// When they have to sign in again.
    pub(crate) until: OffsetDateTime,
    /// Something beside the tokens is other than it was when it was last kept.
    changed: AtomicBool,
    /// The last call for which Entra ID was asked.
    exchanged: LastExchange,
}

/// The last call of somebody for which Entra ID was asked, as far as this process knows.
pub(crate) type LastExchange = Arc<std::sync::Mutex<Option<Arc<Call>>>>;

impl Account {
    /// It goes on with what is known here of its calls.
    pub(crate) fn with_last_exchange(mut self, exchanged: LastExchange) -> Self {
        self.exchanged = exchanged;
        self
    }

    pub(crate) fn new(user: User, tokens: Tokens, step_ups: u32, until: OffsetDateTime) -> Self {
        Self::restored(user, CsrfToken::new_random(), tokens, step_ups, until)
    }

    /// An account that was kept somewhere.
    pub(crate) fn restored(
        user: User,
        csrf: CsrfToken,
        tokens: Tokens,
        step_ups: u32,
        until: OffsetDateTime,
    ) -> Self {
        Self {
            user,
            csrf,
            until,
            changed: AtomicBool::new(false),
            tokens: Mutex::new(tokens),
            step_ups: AtomicU32::new(step_ups),
            turned_down: std::sync::Mutex::default(),
            exchanged: LastExchange::default(),
        }
    }

    /// The token for the API.
    pub(crate) async fn access_token(&self) -> AccessToken {
        self.tokens.lock().await.access.clone()
    }

    /// Whether the tokens are to be renewed, and can be.
    pub(crate) async fn is_due(&self) -> bool {
        let tokens = self.tokens.lock().await;
        tokens.is_due() && tokens.refresh.is_some()
    }

    /// Whether the token for the API can no longer be used.
    pub(crate) async fn is_expired(&self) -> bool {
        self.tokens.lock().await.is_expired()
    }

    /// Renews the tokens if their time has come; whether there are new ones. Whoever asks meanwhile waits for
    /// the same renewal.
    pub(crate) async fn renew(&self, entra: &Entra) -> Result<bool, EntraError> {
        let mut tokens = self.tokens.lock().await;
        if tokens.is_due()
            && let Some(refresh) = &tokens.refresh
        {
            match entra.refresh(refresh).await {
                Ok(renewed) => {
                    *tokens = renewed;
                    return Ok(true);
                }
                // The old one serves to its end when Entra ID just can't be reached.
                Err(EntraError::Http(error)) if !tokens.is_expired() => {
                    tracing::warn!(reason = %error, "no new token yet");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Takes tokens that another machine has got.
    pub(crate) async fn adopt(&self, tokens: Tokens) {
        *self.tokens.lock().await = tokens;
    }

    /// The API has accepted the user: the count starts anew.
    pub(crate) fn accepted(&self, call: &Call) {
        if call.was_exchanged() {
            *lock(&self.exchanged) = Some(Arc::new(call.clone()));
        }
        if self.step_ups.swap(0, Ordering::Relaxed) != 0 {
            self.changed.store(true, Ordering::Relaxed);
        }
        self.set_turned_down(None);
    }

    /// The last call for which Entra ID was asked, as far as this process knows.
    pub(crate) fn last_exchange(&self) -> Option<Arc<Call>> {
        lock(&self.exchanged).clone()
    }

    /// The stronger sign-in that the user turned away from. None is begun while there is one, until
    /// they ask for it: they would be sent back to what they have just left.
    pub(crate) fn turned_down(&self) -> Option<Intent> {
        lock(&self.turned_down).clone()
    }

    pub(crate) fn set_turned_down(&self, intent: Option<Intent>) {
        let mut known = lock(&self.turned_down);
        if known.is_some() || intent.is_some() {
            self.changed.store(true, Ordering::Relaxed);
        }
        *known = intent;
    }

    /// Whether anything has changed since this was asked last.
    pub(crate) fn take_changes(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    pub(crate) async fn tokens(&self) -> Tokens {
        self.tokens.lock().await.clone()
    }

    pub(crate) fn step_ups(&self) -> u32 {
        self.step_ups.load(Ordering::Relaxed)
    }

    /// Which new sign-in in a row the next would be; `None` if there were enough.
    pub(crate) fn next_step_up(&self) -> Option<u32> {
        let next = self.step_ups.load(Ordering::Relaxed) + 1;
        (next <= MAX_STEP_UPS).then_some(next)
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
