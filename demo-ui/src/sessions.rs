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

use crate::clock;
use crate::config::Settings;
use crate::expiring::Expiring;
use crate::shared::{Kind, Shared, StoreError, When};

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
pub(crate) fn layer(
    settings: &Settings,
    shared: Option<&Arc<Shared>>,
) -> SessionManagerLayer<Store> {
    SessionManagerLayer::new(Store::new(shared))
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
pub(crate) async fn account(
    session: &Session,
) -> Result<Option<String>, tower_sessions::session::Error> {
    session.get(ACCOUNT).await
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
pub(crate) async fn logins(
    session: &Session,
) -> Result<Option<String>, tower_sessions::session::Error> {
    session.get(LOGINS).await
}

/// Gives the session a name for its sign-ins.
pub(crate) async fn set_logins(
    session: &Session,
    name: &str,
) -> Result<(), tower_sessions::session::Error> {
    if account(session).await?.is_some() {
        session.set_expiry(Some(Expiry::OnInactivity(SIGNED_IN)));
    }
    session.insert(LOGINS, name).await
}

/// Sessions in memory, bounded, or in Redis. A session that was ended is not brought back by a request
/// that was under way meanwhile and saves it late.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    Memory(Arc<Expiring<Id, Record>>),
    Shared(Arc<Shared>),
}

impl Store {
    fn new(shared: Option<&Arc<Shared>>) -> Self {
        match shared {
            Some(shared) => Self::Shared(Arc::clone(shared)),
            None => Self::Memory(Arc::new(Expiring::new(CAPACITY))),
        }
    }

    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        match self {
            Self::Memory(sessions) => {
                while sessions.get(&record.id).is_some() {
                    record.id = Id::default();
                }
                sessions.insert(record.id, record.clone(), record.expiry_date);
            }
            Self::Shared(shared) => {
                while !put(shared, record, When::New).await? {
                    record.id = Id::default();
                }
            }
        }
        Ok(())
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        match self {
            Self::Memory(sessions) => {
                sessions.replace(&record.id, record.clone(), record.expiry_date);
            }
            Self::Shared(shared) => {
                put(shared, record, When::There).await?;
            }
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        match self {
            Self::Memory(sessions) => Ok(sessions.get(id)),
            Self::Shared(shared) => {
                let record = shared.get(Kind::Session, &id.to_string()).await;
                let record: Option<Record> = record.map_err(failed)?;
                // Redis lets go of it in time; whoever restores a copy of it does not.
                Ok(record.filter(|record| record.expiry_date > clock::now()))
            }
        }
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        match self {
            Self::Memory(sessions) => sessions.remove(id),
            Self::Shared(shared) => {
                let removed = shared.remove(&[Kind::Session], &id.to_string()).await;
                removed.map_err(failed)?;
            }
        }
        Ok(())
    }
}

async fn put(shared: &Shared, record: &Record, when: When) -> session_store::Result<bool> {
    let (id, expires) = (record.id.to_string(), record.expiry_date);
    let put = shared.put(Kind::Session, &id, record, expires, when).await;
    put.map_err(failed)
}

fn failed(error: StoreError) -> session_store::Error {
    session_store::Error::Backend(error.to_string())
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
        Box::pin(Self::create(self, record))
    }

    fn save<'a, 'b, 'c>(&'a self, record: &'b Record) -> Answer<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(Self::save(self, record))
    }

    fn load<'a, 'b, 'c>(&'a self, id: &'b Id) -> Answer<'c, Option<Record>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(Self::load(self, id))
    }

    fn delete<'a, 'b, 'c>(&'a self, id: &'b Id) -> Answer<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(Self::delete(self, id))
    }
}
