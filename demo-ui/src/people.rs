//! Who is signed in, and whose sign-in is under way: in memory, or in Redis.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use crate::account::{Account, Known};
use crate::entra::{Age, Entra, EntraError, Tokens};
use crate::expiring::Expiring;
use crate::http_client::HttpError;
use crate::login::Login;
use crate::shared::{
    AccountRecord, Kind, Lock, LoginRecord, Shared, StoreError, TokensRecord, When,
};

/// Accounts and sign-ins under way that are kept in memory, at most each.
const CAPACITY: usize = 10_000;

/// So much longer than Entra ID may take somebody else's renewal is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// So much longer than Entra ID may take a renewal is over, whatever became of whoever began it: Redis, which
/// is asked before and after, may take its time as well.
const RENEWAL: Duration = Duration::from_secs(20);

/// How often it is looked whether somebody else's renewal is done.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) enum People {
    Memory {
        /// By `state`.
        logins: Expiring<String, Login>,
        accounts: Expiring<String, Arc<Account>>,
    },
    Shared {
        shared: Arc<Shared>,
        /// What this process knows of an account, by its name.
        known: Expiring<String, Arc<Known>>,
    },
}

impl People {
    pub(crate) fn new(shared: Option<&Arc<Shared>>) -> Self {
        match shared {
            Some(shared) => Self::Shared {
                shared: Arc::clone(shared),
                known: Expiring::new(CAPACITY),
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
                let mine = shared.remove(&[Kind::Login], state).await?;
                Ok(mine.then_some(login))
            }
        }
    }

    pub(crate) async fn account(&self, name: &str) -> Result<Option<Arc<Account>>, StoreError> {
        match self {
            Self::Memory { accounts, .. } => Ok(accounts.get(name)),
            Self::Shared { shared, known } => {
                let record = shared.get::<AccountRecord>(Kind::Account, name);
                let (record, tokens) = tokio::try_join!(record, kept_tokens(shared, name))?;
                let account = record.zip(tokens);
                let Some(account) = account.and_then(|(record, tokens)| record.account(tokens))
                else {
                    return Ok(None);
                };
                let of_it = known.get(name).unwrap_or_else(|| {
                    let of_it = Arc::<Known>::default();
                    known.insert(name.to_owned(), Arc::clone(&of_it), account.until);
                    of_it
                });
                Ok(Some(Arc::new(account.with_known(of_it))))
            }
        }
    }

    /// Somebody has signed in.
    pub(crate) async fn add(&self, name: String, account: Account) -> Result<(), StoreError> {
        let until = account.until;
        match self {
            Self::Memory { accounts, .. } => accounts.insert(name, Arc::new(account), until),
            Self::Shared { shared, .. } => {
                let record = AccountRecord::of(&account);
                let tokens = TokensRecord::of(account.tokens());
                let kept = shared.put(Kind::Tokens, &name, &tokens, until, When::New);
                kept.await?;
                let kept = shared.put(Kind::Account, &name, &record, until, When::New);
                kept.await?;
            }
        }
        Ok(())
    }

    /// Renews the tokens of an account. Of all requests that need new ones at once, on however many machines,
    /// one asks Entra ID: a refresh token may be good once.
    pub(crate) async fn renew(
        &self,
        name: &str,
        account: &Account,
        entra: &Entra,
    ) -> Result<(), EntraError> {
        let Self::Shared { shared, .. } = self else {
            account.renew(entra).await?;
            return Ok(());
        };
        let begun = Instant::now();
        let longest = entra.longest_refresh();
        let lock = shared.lock(Kind::Renewal, name);
        loop {
            match shared.take(&lock, longest + RENEWAL).await {
                Ok(false) => {}
                // A refresh token is not spent where what it gives can't be kept, as long as there is a choice.
                Err(_) if account.age() != Age::Over => {
                    // The lock may have been taken all the same.
                    let shared = Arc::clone(shared);
                    tokio::spawn(async move { release(&shared, &lock).await });
                    return Ok(());
                }
                Ok(true) | Err(_) => {
                    let renewed = renew_first(shared, name, account, entra).await;
                    release(shared, &lock).await;
                    return renewed;
                }
            }
            // Somebody else is at it; the token of before serves to its end.
            if account.age() != Age::Over {
                return Ok(());
            }
            // They may be spending the refresh token, which may be good once: it is theirs alone.
            if begun.elapsed() > longest + PATIENCE {
                tracing::warn!("a renewal that somebody else began did not end");
                return Err(HttpError::Silent.into());
            }
            sleep(LOOK).await;
            if let Ok(Some(tokens)) = kept_tokens(shared, name).await {
                account.adopt(tokens);
            }
            if account.age() == Age::Fresh {
                return Ok(());
            }
        }
    }

    /// What has become of the account meanwhile is kept, unless it was ended. Its tokens are kept where they are
    /// renewed.
    pub(crate) async fn keep(&self, name: &str, account: &Account) {
        let Self::Shared { shared, .. } = self else {
            return;
        };
        if !account.take_changes() {
            return;
        }
        let record = AccountRecord::of(account);
        let kept = shared.put(Kind::Account, name, &record, account.until, When::There);
        if let Err(error) = kept.await {
            tracing::warn!(reason = %error, "an account was not kept");
        }
    }

    /// The account is ended, its tokens are forgotten.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self {
            Self::Memory { accounts, .. } => accounts.remove(name),
            Self::Shared { shared, known } => {
                let kinds = [Kind::Account, Kind::Tokens];
                shared.remove(&kinds, name).await?;
                known.remove(name);
            }
        }
        Ok(())
    }
}

async fn kept_tokens(shared: &Shared, name: &str) -> Result<Option<Tokens>, StoreError> {
    let record = shared.get::<TokensRecord>(Kind::Tokens, name).await?;
    Ok(record.and_then(TokensRecord::tokens))
}

async fn release(shared: &Shared, lock: &Lock) {
    if let Err(error) = shared.release(lock).await {
        tracing::warn!(reason = %error, "the end of a renewal was not kept");
    }
}

/// Renews the tokens unless somebody has been faster, and keeps them.
async fn renew_first(
    shared: &Shared,
    name: &str,
    account: &Account,
    entra: &Entra,
) -> Result<(), EntraError> {
    match kept_tokens(shared, name).await {
        Ok(Some(tokens)) => account.adopt(tokens),
        // Another machine may have spent what is known here: it is sent only where there is no choice.
        Err(_) if account.age() != Age::Over => return Ok(()),
        Ok(None) | Err(_) => {}
    }
    if account.renew(entra).await? {
        let record = TokensRecord::of(account.tokens());
        let keep = || shared.put(Kind::Tokens, name, &record, account.until, When::There);
        let mut kept = keep().await;
        // Those of before may be spent: without these the user has to sign in again.
        if kept.is_err() {
            kept = keep().await;
        }
        if let Err(error) = kept {
            tracing::warn!(reason = %error, "renewed tokens were not kept");
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use oauth2::{AccessToken, RefreshToken};
    use time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock;
    use crate::config::Config;
    use crate::entra::User;

    pub(crate) fn account(expires: OffsetDateTime, renew: OffsetDateTime) -> Account {
        let user = User {
            issuer: "i".to_owned(),
            tid: "t".to_owned(),
            id: "o".to_owned(),
            name: "Alice".to_owned(),
            username: None,
            logout_hint: None,
        };
        let now = clock::now();
        let access = AccessToken::new("a".to_owned());
        let refresh = RefreshToken::new("r".to_owned());
        let tokens = Tokens::restored(access, Some(refresh), (expires, renew));
        Account::new(user, tokens, 0, now + Duration::HOUR)
    }

    /// People with that Redis, and an Entra ID that nobody answers for yet.
    async fn people(redis_url: &str) -> (TcpListener, People, Entra) {
        let entra = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = format!("http://{}", entra.local_addr().unwrap());
        let mut config = Config::new(
            "organizations",
            "ui",
            "secret".to_owned().into(),
            "http://127.0.0.1:8080".parse().unwrap(),
            "api://x/.default",
        );
        config.authority = Some(authority.parse().unwrap());
        config.redis_url = Some(redis_url.to_owned().into());
        let settings = Arc::new(config.resolve(([127, 0, 0, 1], 1).into()).unwrap());
        let http = crate::http_client::client(&settings).unwrap();
        let shared = Shared::new(settings.redis_url.as_ref().unwrap(), &settings).unwrap();
        let people = People::new(Some(&Arc::new(shared)));
        (entra, people, Entra::new(settings, http))
    }

    /// A Redis that grants every lock and has no value.
    async fn writes_alone() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            while let Ok(length @ 1..) = client.read(&mut bytes).await {
                let asked = String::from_utf8_lossy(&bytes[..length]).into_owned();
                // Every command begins with the number of its words.
                for command in asked.split('*').skip(1) {
                    let answer = match command.split("\r\n").nth(2) {
                        Some("GET") => "-ERR not now\r\n",
                        Some("EVAL") => ":1\r\n",
                        _ => "+OK\r\n",
                    };
                    client.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        url
    }

    #[tokio::test]
    async fn a_refresh_token_that_another_may_have_spent_is_not_sent_while_the_token_lives() {
        let (entra, people, away) = people(&writes_alone().await).await;
        let good = account(clock::now() + Duration::minutes(5), clock::now());
        let renewal = people.renew("alice", &good, &away);
        let renewed = tokio::time::timeout(std::time::Duration::from_secs(1), renewal).await;
        assert!(renewed.is_ok_and(|renewed| renewed.is_ok()), "at once");
        let asked = tokio::time::timeout(LOOK, entra.accept()).await;
        assert!(asked.is_err(), "its token is good for five minutes more");

        let over = account(clock::now() - Duration::seconds(1), clock::now());
        tokio::select! {
            _ = people.renew("alice", &over, &away) => panic!("nobody has answered"),
            asked = entra.accept() => assert!(asked.is_ok(), "the lock was granted"),
        }
    }

    #[tokio::test]
    async fn where_nothing_can_be_kept_a_refresh_token_is_spent_only_if_it_has_to_be() {
        let nowhere = "redis+unix:///nowhere/demo-ui-unit-test";
        let (entra, people, away) = people(nowhere).await;

        let good = account(clock::now() + Duration::minutes(5), clock::now());
        people.renew("alice", &good, &away).await.unwrap();
        let asked = tokio::time::timeout(LOOK, entra.accept()).await;
        assert!(asked.is_err(), "its token is good for five minutes more");

        let over = account(clock::now() - Duration::seconds(1), clock::now());
        let renewal = people.renew("alice", &over, &away);
        tokio::select! {
            _ = renewal => panic!("nobody has answered"),
            asked = entra.accept() => assert!(asked.is_ok()),
        }
    }
}
