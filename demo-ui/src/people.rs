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
                let record = LoginRecord::of(&login, expires);
                let kept = shared.put(Kind::Login, &state, &record, expires, When::Always);
                kept.await?;
            }
        }
        Ok(())
    }

    /// The sign-in of this name, if it was begun in this session. It is given once.
    pub(crate) async fn finish(
        &self,
        state: &str,
        session: &str,
    ) -> Result<Option<Login>, StoreError> {
        match self {
            Self::Memory { logins, .. } => {
                Ok(logins.take_if(state, |login| login.session == session))
            }
            Self::Shared { shared, .. } => {
                let record: Option<LoginRecord> = shared.get(Kind::Login, state).await?;
                let login = record.and_then(LoginRecord::login);
                let Some(login) = login.filter(|login| login.session == session) else {
                    return Ok(None);
                };
                let mine = shared.remove(Kind::Login, state).await?;
                Ok(mine.then_some(login))
            }
        }
    }

    pub(crate) async fn account(&self, name: &str) -> Result<Option<Arc<Account>>, StoreError> {
        match self {
            Self::Memory { accounts, .. } => Ok(accounts.get(name)),
            Self::Shared { shared, exchanged } => {
                let record: Option<AccountRecord> = shared.get(Kind::Account, name).await?;
                let Some(account) = record.and_then(AccountRecord::account) else {
                    return Ok(None);
                };
                let seen = exchanged.get(name).unwrap_or_else(|| {
                    let seen = LastExchange::default();
                    exchanged.insert(name.to_owned(), Arc::clone(&seen), account.until);
                    seen
                });
                Ok(Some(Arc::new(account.with_last_exchange(seen))))
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

    /// The account is ended, its tokens are forgotten.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self {
            Self::Memory { accounts, .. } => accounts.remove(name),
            Self::Shared { shared, exchanged } => {
                shared.remove(Kind::Account, name).await?;
                exchanged.remove(name);
            }
        }
        Ok(())
    }
}
