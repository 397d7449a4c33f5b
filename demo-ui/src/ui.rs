//! What all requests share.

use std::sync::Arc;

use oauth2::CsrfToken;
use tower_sessions::Session;

use crate::account::Account;
use crate::api::Api;
use crate::clock;
use crate::config::Settings;
use crate::entra::{Entra, Tokens, User};
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
            Some(url) => Some(Arc::new(Shared::new(url, &settings.client_secret)?)),
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

    /// Who is signed in in this session.
    pub(crate) async fn account(&self, session: &Session) -> Option<Arc<Account>> {
        let name = sessions::account(session).await?;
        self.people.account(&name).await
    }

    /// What pages need to know about who is looking at them.
    pub(crate) async fn visitor(&self, session: &Session) -> Option<Visitor> {
        Some(Visitor::new(&*self.account(session).await?))
    }

    /// What has become of the account in this request is there for the next.
    pub(crate) async fn keep(&self, session: &Session, account: &Account) {
        if let Some(name) = sessions::account(session).await {
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
        if let Some(previous) = sessions::account(session).await {
            self.people.remove(&previous).await;
        }
        let name = CsrfToken::new_random().into_secret();
        sessions::sign_in(session, &name).await?;
        let until = clock::now() + sessions::SIGNED_IN;
        let account = Account::new(user, tokens, step_ups, until);
        self.people.add(name, account).await?;
        Ok(())
    }

    /// Forgets the user, tokens included, and ends the session.
    pub(crate) async fn sign_out(&self, session: &Session) {
        if let Some(name) = sessions::account(session).await {
            self.people.remove(&name).await;
        }
        if let Err(error) = session.flush().await {
            tracing::error!(%error, "the session could not be ended");
        }
    }
}
