//! Starting an emulator.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::emulator::Emulator;
use crate::keys::{KeyError, KeyRing};
use crate::server;
use crate::state::{Settings, State};

const PAGE_SIZE: usize = 100;

/// How an [`Emulator`] is set up; made by [`Emulator::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct EmulatorBuilder {
    directory: Option<Directory>,
    listen: SocketAddr,
    arm_listen: SocketAddr,
    url: Option<String>,
    arm_url: Option<String>,
    expose: bool,
    keys: usize,
    settings: Settings,
}

impl EmulatorBuilder {
    pub(crate) fn new() -> Self {
        Self {
            directory: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            arm_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            url: None,
            arm_url: None,
            expose: false,
            keys: 1,
            settings: Settings {
                token_lifetime: None,
                page_size: PAGE_SIZE,
            },
        }
    }

    /// What it knows; [`Directory::demo`] unless given.
    pub fn directory(mut self, directory: Directory) -> Self {
        self.directory = Some(directory);
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

    /// Makes keys, binds both listeners and serves, on the runtime this is called on.
    ///
    /// # Errors
    ///
    /// [`StartError`] when an address can't be bound or isn't loopback, or a key can't be made.
    pub async fn start(self) -> Result<Emulator, StartError> {
        for address in [self.listen, self.arm_listen] {
            if !self.expose && !address.ip().is_loopback() {
                return Err(StartError::Exposed { address });
            }
        }
        let bind = |address| async move {
            tokio::net::TcpListener::bind(address)
                .await
                .map_err(|source| StartError::Listen { address, source })
        };
        let listener = bind(self.listen).await?;
        let arm_listener = bind(self.arm_listen).await?;
        let address_of = |listener: &tokio::net::TcpListener, asked| {
            listener.local_addr().map_err(|source| StartError::Listen {
                address: asked,
                source,
            })
        };
        let address = address_of(&listener, self.listen)?;
        let arm_address = address_of(&arm_listener, self.arm_listen)?;
        let url = advertised(self.url, address);
        let arm_url = advertised(self.arm_url, arm_address);

        // Finding primes takes a moment, in which the runtime has better things to do.
        let now = Clock::default().now();
        let keys = tokio::task::spawn_blocking(move || KeyRing::generate(now, self.keys))
            .await
            .map_err(|_| StartError::Keys(KeyError))?
            .map_err(StartError::Keys)?;
        let directory = self.directory.unwrap_or_else(Directory::demo);
        let state = Arc::new(State::new(keys, directory, self.settings, url, arm_url));

        let stop = watch::Sender::new(false);
        let stopped = |stop: &watch::Sender<bool>| {
            let mut stop = stop.subscribe();
            async move {
                // An error is the emulator being dropped, which ends it as well.
                let _ = stop.wait_for(|stop| *stop).await;
            }
        };
        let entra = server::serve(listener, server::entra(&state), stopped(&stop));
        let arm = server::serve(arm_listener, server::arm(&state), stopped(&stop));
        Ok(Emulator::new(
            state,
            address,
            arm_address,
            stop,
            [entra, arm],
        ))
    }
}

fn advertised(given: Option<String>, address: SocketAddr) -> String {
    given.map_or_else(
        || format!("http://{address}"),
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
    /// No signing key could be made.
    Keys(KeyError),
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
            Self::Keys(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
