//! Starting an emulator.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;

use crate::arm::rate::RateLimit;
use crate::clock::Clock;
use crate::configuration::Configuration;
use crate::directory::{Directory, demo};
use crate::emulator::Emulator;
use crate::keys::{KeyError, KeyRing};
use crate::server;
use crate::state::{Settings, Shared, State};
use crate::state_file::StateFile;
use crate::tls::{Authority, CertificateError, TlsListener};

const PAGE_SIZE: usize = 100;
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Where the https base listens, and what it calls itself.
#[derive(Clone, Debug)]
struct Https {
    listen: SocketAddr,
    arm_listen: SocketAddr,
    url: Option<String>,
    arm_url: Option<String>,
}

impl Default for Https {
    fn default() -> Self {
        Self {
            listen: ANY_PORT,
            arm_listen: ANY_PORT,
            url: None,
            arm_url: None,
        }
    }
}

/// How an [`Emulator`] is set up; made by [`Emulator::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct EmulatorBuilder {
    directory: Option<Directory>,
    listen: SocketAddr,
    arm_listen: SocketAddr,
    url: Option<String>,
    arm_url: Option<String>,
    https: Option<Https>,
    expose: bool,
    keys: usize,
    state_file: Option<PathBuf>,
    settings: Settings,
}

impl EmulatorBuilder {
    pub(crate) fn new() -> Self {
        Self {
            directory: None,
            listen: ANY_PORT,
            arm_listen: ANY_PORT,
            url: None,
            arm_url: None,
            https: None,
            expose: false,
            keys: 1,
            state_file: None,
            settings: Settings {
                token_lifetime: None,
                page_size: PAGE_SIZE,
                arm_rate_limit: None,
            },
        }
    }

    /// What it knows; [`Directory::demo`] unless given.
    pub fn directory(mut self, directory: Directory) -> Self {
        self.directory = Some(directory);
        self
    }

    /// What a configuration file says: the directory, and the other settings that it has.
    pub fn configuration(mut self, configuration: Configuration) -> Self {
        let Configuration {
            directory,
            token_lifetime,
            page_size,
            arm_rate_limit,
        } = configuration;
        self.directory = Some(directory);
        if token_lifetime.is_some() {
            self.settings.token_lifetime = token_lifetime;
        }
        if let Some(page_size) = page_size {
            self = self.page_size(page_size);
        }
        if arm_rate_limit.is_some() {
            self.settings.arm_rate_limit = arm_rate_limit;
        }
        self
    }

    /// How many reads of one user Azure Resource Manager takes before it answers 429; any number unless
    /// given, so that a load test measures what it means to. Azure's own limit is
    /// [`RateLimit::AZURE`].
    pub fn arm_rate_limit(mut self, limit: RateLimit) -> Self {
        self.settings.arm_rate_limit = Some(limit);
        self
    }

    /// Where Entra ID listens; a free port of 127.0.0.1 unless given.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Where Azure Resource Manager listens; a free port of 127.0.0.1 unless given.
    pub fn arm_listen(mut self, address: SocketAddr) -> Self {
        self.arm_listen = address;
        self
    }

    /// Base URL that Entra ID advertises and mints issuers with, such as `http://localhost:9400`;
    /// `http://` and the address it listens on unless given.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Base URL that Azure Resource Manager advertises; `http://` and the address it listens on
    /// unless given.
    pub fn arm_url(mut self, url: impl Into<String>) -> Self {
        self.arm_url = Some(url.into());
        self
    }

    /// Serves everything over https as well, beside http: a second base with its own issuer, under a
    /// certificate for localhost whose authority is [`Emulator::ca_pem`].
    pub fn https(mut self) -> Self {
        self.https.get_or_insert_default();
        self
    }

    /// [`EmulatorBuilder::https`], and where Entra ID listens for it; a free port of 127.0.0.1
    /// unless given.
    pub fn https_listen(mut self, address: SocketAddr) -> Self {
        self.https.get_or_insert_default().listen = address;
        self
    }

    /// [`EmulatorBuilder::https`], and where Azure Resource Manager listens for it.
    pub fn arm_https_listen(mut self, address: SocketAddr) -> Self {
        self.https.get_or_insert_default().arm_listen = address;
        self
    }

    /// [`EmulatorBuilder::https`], and the base URL that Entra ID advertises and mints issuers with
    /// there. The certificate is good for its host.
    pub fn https_url(mut self, url: impl Into<String>) -> Self {
        self.https.get_or_insert_default().url = Some(url.into());
        self
    }

    /// [`EmulatorBuilder::https`], and the base URL that Azure Resource Manager advertises there.
    pub fn arm_https_url(mut self, url: impl Into<String>) -> Self {
        self.https.get_or_insert_default().arm_url = Some(url.into());
        self
    }

    /// Allows addresses that other machines can reach. Whoever reaches the emulator can sign in as
    /// anyone it knows.
    pub fn expose(mut self, expose: bool) -> Self {
        self.expose = expose;
        self
    }

    /// Lifetime of access tokens, in whole seconds; 60 to 90 minutes at random, as Entra's, unless
    /// given.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.token_lifetime = Some(lifetime);
        self
    }

    /// How many subscriptions ARM puts on a page; 100 unless given.
    pub fn page_size(mut self, subscriptions: usize) -> Self {
        self.settings.page_size = subscriptions.max(1);
        self
    }

    /// How many signing keys are made and published at start, the first of them in use; one unless
    /// given, since each takes a fifth of a second in a debug build. Entra publishes several.
    pub fn keys(mut self, count: usize) -> Self {
        self.keys = count;
        self
    }

    /// Keeps consents, applications that Microsoft Graph made, revoked sessions and signing keys in this file, so
    /// that a restart knows them: what users consented to there takes the place of their consents in the directory.
    /// In memory unless given. The file holds private keys and secrets and is its owner's to read only.
    pub fn state_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_file = Some(path.into());
        self
    }

    /// Makes keys, binds the listeners and serves, on the runtime this is called on.
    ///
    /// # Errors
    ///
    /// [`StartError`] when an address can't be bound or isn't loopback, or a key or a certificate
    /// can't be made.
    pub async fn start(self) -> Result<Emulator, StartError> {
        let https = self.https.iter();
        let others = https.flat_map(|https| [https.listen, https.arm_listen]);
        for address in [self.listen, self.arm_listen].into_iter().chain(others) {
            if !self.expose && !address.ip().is_loopback() {
                return Err(StartError::Exposed { address });
            }
        }
        let (listener, address) = bind(self.listen).await?;
        let (arm_listener, arm_address) = bind(self.arm_listen).await?;
        let secure = match self.https {
            Some(https) => Some(Secure::bind(https).await?),
            None => None,
        };

        // Finding primes takes a moment, in which the runtime has better things to do.
        let now = Clock::default().now();
        let mut directory = self.directory.unwrap_or_else(Directory::demo);
        let file = self.state_file.map(StateFile::new);
        let kept = match &file {
            Some(file) => file.load().map_err(|source| StartError::State {
                path: file.path().to_owned(),
                source,
            })?,
            None => None,
        };
        if let Some(kept) = &kept {
            kept.restore(&mut directory);
        }
        let keys = tokio::task::spawn_blocking(move || match kept {
            Some(kept) => kept.keys(),
            None => KeyRing::generate(now, self.keys),
        })
        .await
        .map_err(|_| StartError::Keys(KeyError))?
        .map_err(StartError::Keys)?;
        if let Some(file) = &file {
            // Now, so that a place where nothing can be written is said at once.
            file.save(&directory, &keys)
                .map_err(|source| StartError::State {
                    path: file.path().to_owned(),
                    source,
                })?;
        }
        let authority = match &secure {
            Some(secure) => {
                Some(Authority::generate(now, secure.hosts()).map_err(StartError::Tls)?)
            }
            None => None,
        };
        let url = advertised("http", self.url, address);
        let arm_url = advertised("http", self.arm_url, arm_address);
        // Who is told Graph's address here asks for tokens by it, as Azure CLI does.
        if let Some(graph) = directory.application_mut(demo::GRAPH_CLIENT_ID) {
            let secure = secure.iter().map(|secure| secure.arm_url.clone());
            graph.app_id_uris.extend(secure.chain([arm_url.clone()]));
        }
        let ca_pem = authority
            .as_ref()
            .map(|authority| authority.pem().to_owned());
        let shared = Arc::new(Shared::new(keys, directory, self.settings, ca_pem, file));

        let stop = watch::Sender::new(false);
        let mut servers = Vec::new();
        let mut https = None;
        if let Some((secure, authority)) = secure.zip(authority) {
            let state = Arc::new(State::new(shared.clone(), secure.url, secure.arm_url));
            for (listener, asked, router) in [
                (secure.listener, secure.asked, server::entra(&state)),
                (secure.arm_listener, secure.arm_asked, server::arm(&state)),
            ] {
                let listener =
                    TlsListener::new(listener, authority.acceptor()).map_err(|source| {
                        StartError::Listen {
                            address: asked,
                            source,
                        }
                    })?;
                servers.push(server::serve(listener, router, stopped(&stop)));
            }
            https = Some(state);
        }
        let state = Arc::new(State::new(shared, url, arm_url).with_https(https));
        servers.push(server::serve(
            listener,
            server::entra(&state),
            stopped(&stop),
        ));
        servers.push(server::serve(
            arm_listener,
            server::arm(&state),
            stopped(&stop),
        ));
        Ok(Emulator::new(state, address, arm_address, stop, servers))
    }
}

/// The listeners of the https base, before anything is served on them.
struct Secure {
    listener: TcpListener,
    asked: SocketAddr,
    url: String,
    arm_listener: TcpListener,
    arm_asked: SocketAddr,
    arm_url: String,
}

impl Secure {
    async fn bind(https: Https) -> Result<Self, StartError> {
        let (listener, address) = bind(https.listen).await?;
        let (arm_listener, arm_address) = bind(https.arm_listen).await?;
        Ok(Self {
            listener,
            asked: https.listen,
            url: advertised("https", https.url, address),
            arm_listener,
            arm_asked: https.arm_listen,
            arm_url: advertised("https", https.arm_url, arm_address),
        })
    }

    /// Whom the certificate is for, besides localhost.
    fn hosts(&self) -> Vec<String> {
        [&self.url, &self.arm_url]
            .iter()
            .filter_map(|url| Some(Url::parse(url).ok()?.host_str()?.to_owned()))
            .collect()
    }
}

/// A listener, and the address it got.
async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn stopped(stop: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut stop = stop.subscribe();
    async move {
        // An error is the emulator being dropped, which ends it as well.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

fn advertised(scheme: &str, given: Option<String>, address: SocketAddr) -> String {
    given.map_or_else(
        || format!("{scheme}://{address}"),
        |url| url.trim_end_matches('/').to_owned(),
    )
}

/// Why an emulator didn't start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address is not loopback, and [`EmulatorBuilder::expose`] is not set.
    Exposed {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// An address can't be listened on.
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The file with the state can't be read or written.
    State {
        /// Where it is.
        path: PathBuf,
        /// What the system says, or why it is no such file.
        source: io::Error,
    },
    /// No signing key could be made, or a kept one is none.
    Keys(KeyError),
    /// No certificate for https could be made.
    Tls(CertificateError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed { address } => write!(
                f,
                "{address} is not a loopback address: anyone who reaches the emulator can sign in as \
                 anyone; set `expose` (--expose) if that is meant"
            ),
            Self::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::State { path, source } => {
                write!(f, "the state in {}: {source}", path.display())
            }
            Self::Keys(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
