//! Redis as the shared store: one server, or a cluster, over TCP, TLS or a Unix socket.

use std::{fmt, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, TlsCertificates,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
};

use super::{
    Shared,
    link::{Answer, Backend, LONGEST, Link, StoreError},
    seal::{Keys, MIN_KEY, Name, STAMP_LEN, Stamp},
};
use crate::{Clock, Observer, Secret, Spawner, digest::Digest};

/// How long the driver itself waits; what asks is less patient.
const DRIVER_PATIENCE: Duration = Duration::from_secs(2);

/// A Redis that several processes share, so that a user's token is exchanged once for all of them.
///
/// What it gets to see are keyed hashes for names, and values sealed with AES-256-GCM under a key
/// that is made of the operator's key *and* the user's own token: a dump of it opens nothing, not
/// even for somebody who has the operator's key. Nothing depends on it: where it is away, slow, or
/// holds something else, tokens are exchanged as without it.
///
/// ```
/// use tower_obo::RedisStore;
///
/// // The key comes from a file or a vault; `openssl rand -base64 32` makes one.
/// # let key = "a key for an example, longer than 32 bytes";
/// let store = RedisStore::new("rediss://cache.example.com:6380", key);
/// assert_eq!(format!("{store:?}"), "RedisStore { .. }");
/// ```
///
/// **Addresses.** `redis://[user:password@]host[:port][/db]`, `rediss://…` (TLS),
/// `redis+unix:///path`; a cluster is `redis-cluster://[user:password@]host:port,host:port` or
/// `rediss-cluster://…`, with as many of its nodes as one likes. A cluster has no databases, so its address has no
/// path.
///
/// **A new key** comes in without a flush: give every process the new key as one that
/// [opens](Self::also_opens), and once all of them have it, as the first with the old one beside it; an hour or so
/// later, when the last token sealed with the old key has ended, leave that out. With one step instead of two,
/// those that do not have the new key yet cannot open what the others seal.
#[derive(Clone)]
#[must_use = "a store does nothing until it is given to `CoreBuilder::shared_store`"]
pub struct RedisStore {
    url: Secret,
    keys: Vec<Secret>,
    roots: Option<Vec<u8>>,
    wait: Duration,
}

impl RedisStore {
    /// The store at this address, which may hold a password, with the operator's key: at least 32
    /// bytes that nobody can guess.
    pub fn new(url: impl Into<Secret>, key: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            keys: vec![key.into()],
            roots: None,
            wait: Duration::from_millis(100),
        }
    }

    /// Opens what was sealed with this key too.
    pub fn also_opens(mut self, key: impl Into<Secret>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Trusts the certificates of this PEM text, and no others, when it speaks TLS; by default those
    /// that the operating system trusts.
    pub fn with_root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }

    /// Replaces the longest that a request waits for the store and for another process's exchange
    /// together (100 ms).
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// What is wrong with it, for a person.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = self.server().err().into_iter().collect();
        for (at, key) in self.keys.iter().enumerate() {
            let length = key.expose().len();
            if length < MIN_KEY {
                problems.push(format!(
                    "key {} has {length} bytes; give at least {MIN_KEY}, from `openssl rand -base64 32` for instance",
                    at + 1
                ));
            }
        }
        problems
    }

    /// The store of this application's tokens. `None` where [`problems`](Self::problems) has something to say.
    pub(crate) fn open(
        &self,
        whose: &Digest,
        clock: Arc<dyn Clock>,
        spawner: Arc<dyn Spawner>,
        observer: Arc<dyn Observer>,
    ) -> Option<Shared> {
        let server = self.server().ok()?;
        let keys = Keys::new(&self.keys);
        Some(Shared::new(
            Arc::new(server),
            keys,
            whose,
            self.wait,
            clock,
            spawner,
            observer,
        ))
    }

    fn server(&self) -> Result<Server, String> {
        let url = self.url.expose();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        if url.contains('#') {
            return Err("the address has a fragment; certificates are always checked".to_owned());
        }
        let roots = self.roots.as_ref().map(|pem| TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.clone()),
        });
        let made = match scheme {
            "redis" | "redis+unix" => Client::open(url).map(Box::new).map(Server::Single),
            "rediss" => match roots {
                Some(roots) => Client::build_with_tls(url, roots),
                None => Client::open(url),
            }
            .map(Box::new)
            .map(Server::Single),
            "redis-cluster" | "rediss-cluster"
                if rest
                    .split_once('/')
                    .is_some_and(|(_, path)| !path.is_empty()) =>
            {
                return Err("the address of a cluster ends with its nodes: it has no databases, so there is no path".to_owned());
            }
            "redis-cluster" => cluster("redis", rest, None),
            "rediss-cluster" => cluster("rediss", rest, roots),
            _ => {
                return Err("the address is none of redis://, rediss:// (TLS), redis+unix://, redis-cluster:// and rediss-cluster://".to_owned());
            }
        };
        // The driver's own words may repeat the address, and a password with it.
        made.map_err(|error| {
            format!(
                "the address or its certificates are of no use: {}",
                reason(&error)
            )
        })
    }
}

fn cluster(scheme: &str, rest: &str, roots: Option<TlsCertificates>) -> Result<Server, RedisError> {
    let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let nodes = hosts
        .split(',')
        .map(|host| format!("{scheme}://{user}{host}"));
    let mut builder = ClusterClient::builder(nodes)
        .retries(2)
        .connection_timeout(DRIVER_PATIENCE)
        .response_timeout(DRIVER_PATIENCE);
    if let Some(roots) = roots {
        builder = builder.certs(roots);
    }
    builder.build().map(Box::new).map(Server::Cluster)
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

/// What is connected to.
enum Server {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

impl Backend for Server {
    fn connect(&self) -> Answer<'_, Arc<dyn Link>> {
        Box::pin(async move {
            let link: Arc<dyn Link> = match self {
                Self::Single(client) => {
                    let config = AsyncConnectionConfig::new()
                        .set_connection_timeout(Some(DRIVER_PATIENCE))
                        .set_response_timeout(Some(DRIVER_PATIENCE));
                    let connection = client
                        .get_multiplexed_async_connection_with_config(&config)
                        .await
                        .map_err(|error| broken(&error))?;
                    Arc::new(connection)
                }
                Self::Cluster(client) => {
                    let connection = client
                        .get_async_connection()
                        .await
                        .map_err(|error| broken(&error))?;
                    Arc::new(connection)
                }
            };
            Ok(link)
        })
    }

    fn has_parts(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single(_) => "Redis",
            Self::Cluster(_) => "Redis cluster",
        })
    }
}

trait Connection: ConnectionLike + Clone + Send + Sync + 'static {}

impl Connection for MultiplexedConnection {}
impl Connection for ClusterConnection {}

impl<C: Connection> Link for C {
    fn get(&self, name: Name) -> Answer<'_, Option<Vec<u8>>> {
        let mut command = redis::cmd("GETRANGE");
        command.arg(name.as_str()).arg(0).arg(LONGEST - 1);
        // Nothing, where nothing is there.
        let answer = run::<_, Vec<u8>>(self, command);
        Box::pin(async move { Ok(Some(answer.await?).filter(|value| !value.is_empty())) })
    }

    fn set(&self, name: Name, value: Vec<u8>, life: Duration) -> Answer<'_, ()> {
        let mut command = redis::cmd("SET");
        command.arg(name.as_str()).arg(value);
        command.arg("PX").arg(millis(life));
        run(self, command)
    }

    fn claim(&self, name: Name, stamp: Stamp, life: Duration) -> Answer<'_, bool> {
        let mut command = redis::cmd("SET");
        command.arg(name.as_str()).arg(stamp.as_bytes());
        command.arg("NX").arg("PX").arg(millis(life));
        // `OK`, or nothing where it is there already.
        let answer = run::<_, Option<String>>(self, command);
        Box::pin(async move { Ok(answer.await?.is_some()) })
    }

    fn remove(&self, name: Name, stamp: Stamp) -> Answer<'_, ()> {
        let mut command = redis::cmd("EVAL");
        command.arg(REMOVE).arg(1).arg(name.as_str());
        command.arg(stamp.as_bytes()).arg(STAMP_LEN);
        let removed = run::<_, u64>(self, command);
        let mut command = redis::cmd("DEL");
        command.arg(name.as_str());
        let deleted = run::<_, u64>(self, command);
        Box::pin(async move {
            match removed.await {
                // No scripts here, or not for this account. A token that has been refused goes in any
                // case, even if its successor should go with it: that costs an exchange.
                Err(refusal) if refusal.is_refusal() => deleted.await.map(drop),
                removed => removed.map(drop),
            }
        })
    }
}

/// Deletes `KEYS[1]` if it begins with `ARGV[1]`, of that many bytes.
const REMOVE: &str = "\
    if redis.call('GETRANGE', KEYS[1], 0, ARGV[2] - 1) == ARGV[1] then \
    return redis.call('DEL', KEYS[1]) end return 0";

fn run<C: Connection, T: FromRedisValue + Send + 'static>(
    connection: &C,
    command: Cmd,
) -> Answer<'_, T> {
    // Cheap: a handle to the one connection.
    let mut connection = connection.clone();
    Box::pin(async move {
        command
            .query_async(&mut connection)
            .await
            .map_err(|error| judged(&error))
    })
}

fn millis(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What a server says that does for nobody what it is asked, or takes nothing in: a script keeps it busy, its disk
/// is full, its replicas are gone, its slots are being moved.
const OF_THE_SERVER: [&str; 10] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOREPLICAS",
    "READONLY",
    "TRYAGAIN",
    "WRONGPASS",
];

/// Whether the connection is of use after this error. One that answered with an error of the one
/// command is, unless the error is about the server.
fn judged(error: &RedisError) -> StoreError {
    match error.code() {
        Some("NOPERM") => StoreError::Forbidden(reason(error)),
        Some(code) if !OF_THE_SERVER.contains(&code) => StoreError::Refused(reason(error)),
        _ if error.is_timeout() => StoreError::Slow,
        _ => broken(error),
    }
}

fn broken(error: &RedisError) -> StoreError {
    StoreError::Broken(reason(error))
}

/// Kinds and codes only: servers repeat in their errors what was sent.
fn reason(error: &RedisError) -> String {
    match error.code() {
        Some(code) if code.bytes().all(|b| b.is_ascii_uppercase()) => {
            format!("{} ({code})", error.category())
        }
        _ if error.is_connection_refusal() => "connection refused".to_owned(),
        _ if error.is_timeout() => "no answer in time".to_owned(),
        _ if error.is_connection_dropped() => "connection lost".to_owned(),
        _ => error.category().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a key of an operator, longer than 32 bytes";

    /// A server that is loading, or that has become a replica, is left; a command that it does not like says
    /// nothing about it.
    #[test]
    fn an_error_of_the_server_ends_the_connection_and_one_of_a_command_does_not() {
        let error = |code: &str| redis::make_extension_error(code.to_owned(), None);
        for code in [
            "BUSY",
            "CLUSTERDOWN",
            "LOADING",
            "MASTERDOWN",
            "MISCONF",
            "NOAUTH",
            "NOREPLICAS",
            "READONLY",
            "TRYAGAIN",
            "WRONGPASS",
        ] {
            let judged = judged(&error(code));
            assert!(
                matches!(judged, StoreError::Broken(_)),
                "{code}: {judged:?}"
            );
        }
        let judged_so = judged(&error("NOPERM"));
        assert!(matches!(judged_so, StoreError::Forbidden(_)));
        for code in ["OOM", "WRONGTYPE", "UNKNOWN"] {
            let judged = judged(&error(code));
            assert!(
                matches!(judged, StoreError::Refused(_)),
                "{code}: {judged:?}"
            );
        }
        let slow = RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        assert!(matches!(judged(&slow), StoreError::Slow));
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(judged(&lost), StoreError::Broken(_)));
    }

    #[test]
    fn every_form_of_address_is_understood_and_others_are_said_to_be_wrong() {
        for good in [
            "redis://localhost",
            "redis://user:p%40ss@localhost:6379/3",
            "rediss://cache.example.com:6380",
            "redis+unix:///run/redis.sock",
            "redis-cluster://a:1,b:2",
            "rediss-cluster://:word@a:1,b:2/",
        ] {
            assert_eq!(RedisStore::new(good, KEY).problems(), [""; 0], "{good}");
        }
        for bad in [
            "",
            "localhost",
            "http://localhost",
            "redis://",
            "redis://user:hunter2@host:port",
            "redis-cluster://",
            "redis-cluster://u:hunter2@a:1,b:port",
            "redis-cluster://:hunter2@a:1,b:2/3",
            "rediss-cluster://a:1/0",
            "rediss://localhost#insecure",
            "redis+cluster://a",
        ] {
            let problems = RedisStore::new(bad, KEY).problems();
            assert_eq!(problems.len(), 1, "{bad}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn a_short_key_is_a_problem_that_does_not_repeat_it() {
        let store = RedisStore::new("redis://h", KEY).also_opens("hunter2");
        let problems = store.problems();
        let just_long_enough = "k".repeat(MIN_KEY);
        assert_eq!(
            RedisStore::new("redis://h", just_long_enough).problems(),
            [""; 0]
        );
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("key 2 has 7 bytes"), "{problems:?}");
        assert!(!format!("{store:?}").contains("hunter2"));
    }

    #[test]
    fn certificates_that_are_none_are_a_problem() {
        let store = RedisStore::new("rediss://h", KEY).with_root_certificates(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
        assert_eq!(store.problems().len(), 1);
    }
}
