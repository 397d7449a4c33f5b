//! Sessions, sign-ins and accounts in Redis, so that the app runs on several machines.
//!
//! What is kept there is sealed: whoever reads the store reads neither a token nor a session. The key
//! follows from the app's own client secret, which all its machines have, and is another for each app.

mod lock;
mod records;
mod seal;

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, TlsCertificates,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use url::Url;

pub(crate) use self::lock::Lock;
pub(crate) use self::records::{AccountRecord, LoginRecord, TokensRecord};

use self::seal::Seal;
use crate::clock;
use crate::config::{Settings, is_loopback};

/// How long an answer of Redis is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the address of a Redis begins with.
const SCHEMES: [&str; 3] = ["redis://", "rediss://", "redis+unix://"];

/// What a name in Redis is of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Session,
    Login,
    Account,
    Tokens,
    /// That the tokens of an account are being renewed.
    Renewal,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Login => "login",
            Self::Account => "account",
            Self::Tokens => "tokens",
            Self::Renewal => "renewal",
        }
    }
}

/// When a value may be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum When {
    /// Only where there is none.
    New,
    /// Only where there is one: what was ended is not brought back.
    There,
    Always,
}

/// Redis did not do what it was asked for. What it says may hold its address, and a password with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StoreError(&'static str);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for StoreError {}

/// One Redis.
pub(crate) struct Shared {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
    seal: Seal,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Nothing is connected to yet.
    pub(crate) fn new(url: &SecretString, settings: &Settings) -> anyhow::Result<Self> {
        let url = url.expose_secret();
        // The client knows more: some go through the network in the clear where nothing says so.
        anyhow::ensure!(
            SCHEMES.iter().any(|scheme| url.starts_with(scheme)),
            "redis_url begins with redis://, rediss:// (TLS) or redis+unix://"
        );
        let client = match &settings.redis_ca {
            Some(pem) => {
                anyhow::ensure!(
                    url.starts_with("rediss://"),
                    "redis_ca is for a Redis with TLS, whose address begins with rediss://"
                );
                let root_cert = Some(pem.clone());
                let roots = TlsCertificates {
                    client_tls: None,
                    root_cert,
                };
                Client::build_with_tls(url, roots)
            }
            None => Client::open(url),
        };
        let client = client.map_err(|_says_the_address| {
            anyhow::anyhow!(
                "redis_url is no address such as rediss://redis.example.com:6380, or redis_ca no certificate"
            )
        })?;
        Ok(Self {
            client,
            connection: Mutex::default(),
            seal: Seal::new(settings).context("the key of what is kept in Redis")?,
        })
    }

    /// Whether it answers.
    pub(crate) async fn is_there(&self) -> bool {
        self.run::<String>(&redis::cmd("PING")).await.is_ok()
    }

    /// Keeps a value until `expires`; whether it was written.
    pub(crate) async fn put(
        &self,
        kind: Kind,
        name: &str,
        value: &impl Serialize,
        expires: OffsetDateTime,
        when: When,
    ) -> Result<bool, StoreError> {
        let name = self.seal.name(kind.word(), name);
        let plain = serde_json::to_vec(value).map_err(|_| StoreError("a value can't be kept"))?;
        let sealed = self.seal.close(&name, plain)?;
        let life = (expires - clock::now()).whole_milliseconds();
        let Ok(life @ 1..) = u64::try_from(life) else {
            return Err(StoreError("a value would be over before it is kept"));
        };
        let mut command = redis::cmd("SET");
        command.arg(&name).arg(sealed).arg("PX").arg(life);
        match when {
            When::New => command.arg("NX"),
            When::There => command.arg("XX"),
            When::Always => &mut command,
        };
        let answer: Option<String> = self.run(&command).await?;
        Ok(answer.is_some())
    }

    /// A value; `None` also where it can't be opened: another secret sealed it.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        kind: Kind,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        let name = self.seal.name(kind.word(), name);
        let mut command = redis::cmd("GET");
        command.arg(&name);
        let sealed: Option<Vec<u8>> = self.run(&command).await?;
        let plain = sealed.and_then(|sealed| self.seal.open(&name, sealed));
        Ok(plain.and_then(|plain| serde_json::from_slice(&plain).ok()))
    }

    /// Takes the values of a name away, all at once; whether one was there. Of several callers one hears that
    /// it was.
    pub(crate) async fn remove(&self, kinds: &[Kind], name: &str) -> Result<bool, StoreError> {
        let mut command = redis::cmd("DEL");
        for kind in kinds {
            command.arg(self.seal.name(kind.word(), name));
        }
        Ok(self.run::<u64>(&command).await? > 0)
    }

    /// Asks, for so long: where a connection has to be opened, all wait for that, one after the other.
    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let asked = tokio::time::timeout(PATIENCE * 2, self.ask(command));
        let late = |_| StoreError("Redis does not answer");
        asked.await.map_err(late)?
    }

    /// Asks, over a new connection where the last one broke.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let (mut connection, fresh) = self.connection().await?;
        match command.query_async(&mut connection).await {
            Err(error) if is_broken(&error) => {
                self.connection.lock().await.take();
                if fresh {
                    return Err(StoreError("Redis broke off"));
                }
                let (mut connection, _) = self.connection().await?;
                let answer = command.query_async(&mut connection).await;
                answer.map_err(|_| StoreError("Redis does not answer"))
            }
            answer => answer.map_err(|_| StoreError("Redis refuses")),
        }
    }

    /// The connection that all share, and whether it was opened just now.
    async fn connection(&self) -> Result<(MultiplexedConnection, bool), StoreError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = &*slot {
            return Ok((connection.clone(), false));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let opened = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let opened = opened.await.map_err(|error| {
            StoreError(match error.kind() {
                ErrorKind::AuthenticationFailed => "Redis refuses the password",
                _ => "Redis can't be reached",
            })
        })?;
        *slot = Some(opened.clone());
        Ok((opened, true))
    }
}

/// Whether a password goes through a network in the clear.
pub(crate) fn tells_its_password(url: &SecretString) -> bool {
    Url::parse(url.expose_secret())
        .is_ok_and(|url| url.scheme() == "redis" && url.password().is_some() && !is_loopback(&url))
}

fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_timeout()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_told_where_it_is_sent_elsewhere_without_tls() {
        for (url, told) in [
            ("redis://:pw@redis.example:6379", true),
            ("redis://user:pw@10.0.0.1", true),
            ("redis://redis.example", false),
            ("redis://:pw@localhost:6379", false),
            ("redis://:pw@127.0.0.1", false),
            ("redis://:pw@[::1]:6379", false),
            ("rediss://:pw@redis.example", false),
            ("redis+unix:///socket", false),
        ] {
            let url = SecretString::from(url.to_owned());
            assert_eq!(tells_its_password(&url), told, "{}", url.expose_secret());
        }
    }
}
