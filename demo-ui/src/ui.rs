//! What all requests share.

use std::sync::Arc;

use oauth2::CsrfToken;
use tower_sessions::Session;

use crate::account::Account;
use crate::api::Api;
use crate::clock;
use crate::config::Settings;
use crate::entra::{Entra, Tokens, User};
use crate::expiring::Expiring;
use crate::http_client;
use crate::login::Login;
use crate::sessions;
use crate::views::Visitor;

/// Accounts and sign-ins under way, at most each.
const CAPACITY: usize = 10_000;

/// One web app.
#[derive(Debug)]
pub(crate) struct Ui {
    pub(crate) settings: Arc<Settings>,
    pub(crate) entra: Entra,
    pub(crate) api: Api,
    /// Sign-ins that were begun, by `state`.
    pub(crate) logins: Expiring<String, Login>,
    accounts: Expiring<String, Arc<Account>>,
}

impl Ui {
    pub(crate) fn new(settings: Settings) -> anyhow::Result<Arc<Self>> {
        let settings = Arc::new(settings);
        let http = http_client::client(&settings)?;
        Ok(Arc::new(Self {
            entra: Entra::new(Arc::clone(&settings), http.clone()),
            api: Api::new(http, settings.api_url.clone()),
            logins: Expiring::new(CAPACITY),
            accounts: Expiring::new(CAPACITY),
            settings,
        }))
    }

    /// Who is signed in in this session.
    pub(crate) async fn account(&self, session: &Session) -> Option<Arc<Account>> {
        self.accounts.get(&sessions::account(session).await?)
    }

    /// What pages need to know about who is looking at them.
    pub(crate) async fn visitor(&self, session: &Session) -> Option<Visitor> {
        Some(Visitor::new(&*self.account(session).await?))
    }

    /// Signs a user in, in place of whoever was signed in before.
    pub(crate) async fn sign_in(
        &self,
        session: &Session,
        user: User,
        tokens: Tokens,
        step_ups: u32,
    ) -> Result<(), tower_sessions::session::Error> {
        if let Some(previous) = sessions::account(session).await {
            self.accounts.remove(&previous);
        }
        let name = CsrfToken::new_random().into_secret();
        sessions::sign_in(session, &name).await?;
        let account = Arc::new(Account::new(user, tokens, step_ups));
        self.accounts
            .insert(name, account, clock::now() + sessions::SIGNED_IN);
        Ok(())
    }

    /// Forgets the user, tokens included, and ends the session.
    pub(crate) async fn sign_out(&self, session: &Session) {
        if let Some(name) = sessions::account(session).await {
            self.accounts.remove(&name);
        }
        if let Err(error) = session.flush().await {
            tracing::error!(%error, "the session could not be ended");
        }
    }
}
