//! Who is signed in, and whose sign-in is under way: in memory, or in Redis.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::account::{Account, LastExchange};
use crate::expiring::Expiring;
use crate::login::Login;
use crate::shared::{AccountRecord, Kind, LoginRecord, Shared, StoreError, When};

/// Accounts and sign-ins under way that are kept in memory, at most each.
const CAPACITY: usize = 10_000;

#[derive(Debug)]
pub(crate) enum People {
    Memory {
        /// By `state`.
        logins: Expiring<String, Login>,
        accounts: Expiring<String, Arc<Account>>,
    },
    Shared {
        shared: Arc<Shared>,
        /// What this process has seen of the calls of an account.
        exchanged: Expiring<String, LastExchange>,
    },
}

impl People {
    pub(crate) fn new(shared: Option<&Arc<Shared>>) -> Self {
        match shared {
            Some(shared) => Self::Shared {
                shared: Arc::clone(shared),
                exchanged: Expiring::new(CAPACITY),
            },
            None => Self::Memory {
                logins: Expiring::new(CAPACITY),
                accounts: Expiring::new(CAPACITY),
            },
        }
    }

    /// A sign-in was begun, and can be finished until `expires`.
    pub(crate) async fn begin(
        &self,
        login: Login,
        expires: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let state = login.proofs.state.secret().clone();
        match self {
            Self::Memory { logins, .. } => logins.insert(state, login, expires),
            Self::Shared { shared, .. } => {
                let record = LoginRecord::of(&login);
                let kept = shared.put(Kind::Login, &state, &record, expires, When::Always);
                kept.await?;
            }
        }
        Ok(())
    }

    /// The sign-in of this name, if it was begun in this session. It is given once.
    pub(crate) async fn finish(&self, state: &str, session: &str) -> Option<Login> {
        match self {
            Self::Memory { logins, .. } => logins.take_if(state, |login| login.session == session),
            Self::Shared { shared, .. } => {
                let record: LoginRecord = heard(shared.get(Kind::Login, state).await)?;
                let login = record.login();
                if login.session != session {
                    return None;
                }
                let mine = shared.remove(Kind::Login, state).await;
                (mine == Ok(true)).then_some(login)
            }
        }
    }

    pub(crate) async fn account(&self, name: &str) -> Option<Arc<Account>> {
        match self {
            Self::Memory { accounts, .. } => accounts.get(name),
            Self::Shared { shared, exchanged } => {
                let record: AccountRecord = heard(shared.get(Kind::Account, name).await)?;
                let account = record.account()?;
                let seen = exchanged.get(name).unwrap_or_else(|| {
                    let seen = LastExchange::default();
                    exchanged.insert(name.to_owned(), Arc::clone(&seen), account.until);
                    seen
                });
                Some(Arc::new(account.with_last_exchange(seen)))
            }
        }
    }

    /// Somebody has signed in.
    pub(crate) async fn add(&self, name: String, account: Account) -> Result<(), StoreError> {
        let until = account.until;
        match self {
            Self::Memory { accounts, .. } => accounts.insert(name, Arc::new(account), until),
            Self::Shared { shared, .. } => {
                let record = AccountRecord::of(&account).await;
                let kept = shared.put(Kind::Account, &name, &record, until, When::New);
                kept.await?;
            }
        }
        Ok(())
    }

    /// What has become of the account meanwhile is kept, unless it was ended.
    pub(crate) async fn keep(&self, name: &str, account: &Account) {
        let Self::Shared { shared, .. } = self else {
            return;
        };
        if !account.take_changes() {
            return;
        }
        let record = AccountRecord::of(account).await;
        let kept = shared.put(Kind::Account, name, &record, account.until, When::There);
        if let Err(error) = kept.await {
            tracing::warn!(reason = %error, "an account was not kept");
        }
    }

    pub(crate) async fn remove(&self, name: &str) {
        match self {
            Self::Memory { accounts, .. } => accounts.remove(name),
            Self::Shared { shared, exchanged } => {
                exchanged.remove(name);
                if let Err(error) = shared.remove(Kind::Account, name).await {
                    tracing::error!(reason = %error, "an account was not ended");
                }
            }
        }
    }
}

/// What Redis has; nothing where it does not answer.
fn heard<T>(answer: Result<Option<T>, StoreError>) -> Option<T> {
    answer.unwrap_or_else(|error| {
        tracing::warn!(reason = %error, "nothing is heard of Redis");
        None
    })
}
