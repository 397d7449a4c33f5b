//! Who is signed in, and their token for the API.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oauth2::{AccessToken, CsrfToken};
use time::OffsetDateTime;

use crate::call::Call;
use crate::entra::{Age, Entra, EntraError, Tokens, User};
use crate::login::Intent;
use crate::renewal::Renewals;

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
    turned_down: Mutex<Option<Intent>>,
    /// When they have to sign in again.
    pub(crate) until: OffsetDateTime,
    /// Something beside the tokens is other than it was when it was last kept.
    changed: AtomicBool,
    known: Arc<Known>,
}

/// What this process knows of an account beside what is kept.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The last call for which Entra ID was asked.
    exchanged: Mutex<Option<Arc<Call>>>,
    renewals: Renewals,
}

impl Account {
    /// It goes on with what is known here of it.
    pub(crate) fn with_known(mut self, known: Arc<Known>) -> Self {
        self.known = known;
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
            turned_down: Mutex::default(),
            known: Arc::default(),
        }
    }

    /// The token for the API.
    pub(crate) fn access_token(&self) -> AccessToken {
        lock(&self.tokens).access.clone()
    }

    /// How urgent new tokens are. Those that can't be renewed are not.
    pub(crate) fn age(&self) -> Age {
        let tokens = lock(&self.tokens);
        match tokens.refresh {
            Some(_) => tokens.age(),
            None => Age::Fresh,
        }
    }

    pub(crate) fn renewals(&self) -> &Renewals {
        &self.known.renewals
    }

    /// Renews the tokens if their time has come; whether there are new ones. It is for the one whose turn it is
    /// ([`renewals`](Self::renewals)).
    pub(crate) async fn renew(&self, entra: &Entra) -> Result<bool, EntraError> {
        let tokens = self.tokens();
        let due = tokens.age() != Age::Fresh;
        let Some(refresh) = tokens.refresh.filter(|_| due) else {
            return Ok(false);
        };
        let renewed = entra.refresh(&refresh).await?;
        self.adopt(renewed);
        Ok(true)
    }

    /// Takes tokens that another machine has got.
    pub(crate) fn adopt(&self, tokens: Tokens) {
        *lock(&self.tokens) = tokens;
    }

    /// The API has accepted the user: the count starts anew.
    pub(crate) fn accepted(&self, call: &Call) {
        if call.was_exchanged() {
            *lock(&self.known.exchanged) = Some(Arc::new(call.clone()));
        }
        if self.step_ups.swap(0, Ordering::Relaxed) != 0 {
            self.changed.store(true, Ordering::Relaxed);
        }
        self.set_turned_down(None);
    }

    /// The last call for which Entra ID was asked, as far as this process knows.
    pub(crate) fn last_exchange(&self) -> Option<Arc<Call>> {
        lock(&self.known.exchanged).clone()
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

    pub(crate) fn tokens(&self) -> Tokens {
        lock(&self.tokens).clone()
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
