//! What all requests share.

use std::sync::Arc;

use axum::response::Response;
use oauth2::{AccessToken, CsrfToken};
use tower_sessions::Session;

use crate::account::Account;
use crate::api::Api;
use crate::clock;
use crate::config::Settings;
use crate::entra::{Entra, EntraError, Tokens, User};
use crate::failure::Failure;
use crate::http_client;
use crate::people::People;
use crate::sessions;
use crate::shared::Shared;
use crate::views::Visitor;

/// One web app.
#[derive(Debug)]
pub(crate) struct Ui {
    pub(crate) settings: Arc<Settings>,
    pub(crate) entra: Entra,
    pub(crate) api: Api,
    pub(crate) people: People,
    /// Where sessions and people are kept, if that is not in memory.
    pub(crate) shared: Option<Arc<Shared>>,
}

impl Ui {
    pub(crate) fn new(settings: Settings) -> anyhow::Result<Arc<Self>> {
        let settings = Arc::new(settings);
        let http = http_client::client(&settings)?;
        let shared = match &settings.redis_url {
            Some(url) => Some(Arc::new(Shared::new(url, &settings)?)),
            None => None,
        };
        Ok(Arc::new(Self {
            entra: Entra::new(Arc::clone(&settings), http.clone()),
            api: Api::new(http, settings.api_url.clone()),
            people: People::new(shared.as_ref()),
            shared,
            settings,
        }))
    }

    /// Who is signed in in this session. That the store can't be read is an error: nobody is told that they are
    /// signed out who are not.
    pub(crate) async fn who(&self, session: &Session) -> anyhow::Result<Option<Arc<Account>>> {
        match sessions::account(session).await? {
            Some(name) => Ok(self.people.account(&name).await?),
            None => Ok(None),
        }
    }

    /// The same, with the page for those who can't be told: its way on is `here`.
    pub(crate) async fn account(
        &self,
        session: &Session,
        here: &'static str,
    ) -> Result<Option<Arc<Account>>, Response> {
        self.who(session).await.map_err(|error| {
            tracing::error!(%error, "the session could not be read");
            Failure::no_sessions(here).respond(None)
        })
    }

    /// What pages need to know about who is looking at them, as far as that is known.
    pub(crate) async fn visitor(&self, session: &Session) -> Option<Visitor> {
        let account = self.who(session).await.ok().flatten()?;
        Some(Visitor::new(&account))
    }

    /// The user's token for the API, renewed if its time has come.
    pub(crate) async fn access_token(
        self: &Arc<Self>,
        session: &Session,
        account: &Arc<Account>,
    ) -> Result<AccessToken, EntraError> {
        let name = sessions::account(session).await.ok().flatten();
        self.renewed(name.unwrap_or_default(), account).await
    }

    /// What has become of the account in this request is there for the next.
    pub(crate) async fn keep(&self, session: &Session, account: &Account) {
        if let Ok(Some(name)) = sessions::account(session).await {
            self.people.keep(&name, account).await;
        }
    }

    /// Signs a user in, in place of whoever was signed in before.
    pub(crate) async fn sign_in(
        &self,
        session: &Session,
        user: User,
        tokens: Tokens,
        step_ups: u32,
    ) -> anyhow::Result<()> {
        if let Some(previous) = sessions::account(session).await? {
            self.people.remove(&previous).await?;
        }
        let name = CsrfToken::new_random().into_secret();
        sessions::sign_in(session, &name).await?;
        let until = clock::now() + sessions::SIGNED_IN;
        let account = Account::new(user, tokens, step_ups, until);
        self.people.add(name, account).await?;
        Ok(())
    }

    /// Forgets the user, tokens included, and ends the session.
    pub(crate) async fn sign_out(&self, session: &Session) -> anyhow::Result<()> {
        if let Some(name) = sessions::account(session).await? {
            self.people.remove(&name).await?;
        }
        // A session without its account is nobody's, and the browser is told to let go of it in any case.
        if let Err(error) = session.flush().await {
            tracing::warn!(%error, "the session of somebody who signed out was left to end by itself");
        }
        Ok(())
    }
}
