//! Browser sessions: the cookie, and the store behind it.
//!
//! A session holds two random names, of the sign-ins that were begun in it and of the account that
//! is signed in; codes and tokens are in maps of their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use time::Duration;
use tower_sessions::cookie::SameSite;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{self, SessionStore};
use tower_sessions::{Expiry, Session, SessionManagerLayer};

use crate::config::Settings;
use crate::expiring::Expiring;

/// Sessions at most. Those without an account end first and make room first.
const CAPACITY: usize = 10_000;

/// How long a session lasts in which nobody has signed in yet.
const ANONYMOUS: Duration = Duration::hours(1);

/// How long a user stays signed in.
pub(crate) const SIGNED_IN: Duration = Duration::hours(12);

const ACCOUNT: &str = "account";
const LOGINS: &str = "logins";

/// The session layer for these settings: `__Host-` and `Secure` on https, neither on plain http,
/// where browsers would refuse them. Cookies of one host are shared by all of its ports, so that the
/// port is part of the name.
pub(crate) fn layer(settings: &Settings) -> SessionManagerLayer<Store> {
    SessionManagerLayer::new(Store::default())
        .with_name(cookie_name(settings))
        .with_secure(settings.https())
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(ANONYMOUS))
}

pub(crate) fn cookie_name(settings: &Settings) -> String {
    let port = settings.public_url.port_or_known_default().unwrap_or(0);
    let prefix = if settings.https() { "__Host-" } else { "" };
    format!("{prefix}demo-ui-{port}")
}

/// The name of the account that is signed in.
pub(crate) async fn account(session: &Session) -> Option<String> {
    session.get(ACCOUNT).await.ok().flatten()
}

/// Puts the account into the session, under a new session id.
pub(crate) async fn sign_in(
    session: &Session,
    account: &str,
) -> Result<(), tower_sessions::session::Error> {
    // An id from before the sign-in may be known to others.
    session.cycle_id().await?;
    session.set_expiry(Some(Expiry::OnInactivity(SIGNED_IN)));
    session.insert(ACCOUNT, account).await
}

/// The name under which sign-ins are begun in this session.
pub(crate) async fn logins(session: &Session) -> Option<String> {
    session.get(LOGINS).await.ok().flatten()
}

/// Gives the session a name for its sign-ins.
pub(crate) async fn set_logins(
    session: &Session,
    name: &str,
) -> Result<(), tower_sessions::session::Error> {
    if account(session).await.is_some() {
        session.set_expiry(Some(Expiry::OnInactivity(SIGNED_IN)));
    }
    session.insert(LOGINS, name).await
}

/// Sessions in memory, bounded. A session that was ended is not brought back by a request that was
/// under way meanwhile and saves it late.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Expiring<Id, Record>>);

impl Default for Store {
    fn default() -> Self {
        Self(Arc::new(Expiring::new(CAPACITY)))
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = session_store::Result<T>> + Send + 'a>>;

// The trait is written with async-trait: these are the signatures that it makes.
impl SessionStore for Store {
    fn create<'a, 'b, 'c>(&'a self, record: &'b mut Record) -> Answer<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            while self.0.get(&record.id).is_some() {
                record.id = Id::default();
            }
            self.0.insert(record.id, record.clone(), record.expiry_date);
            Ok(())
        })
    }

    fn save<'a, 'b, 'c>(&'a self, record: &'b Record) -> Answer<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            self.0
                .replace(&record.id, record.clone(), record.expiry_date);
            Ok(())
        })
    }

    fn load<'a, 'b, 'c>(&'a self, id: &'b Id) -> Answer<'c, Option<Record>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move { Ok(self.0.get(id)) })
    }

    fn delete<'a, 'b, 'c>(&'a self, id: &'b Id) -> Answer<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            self.0.remove(id);
            Ok(())
        })
    }
}
