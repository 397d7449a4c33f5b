//! Starting and stopping.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle, Runtime},
    sync::watch,
    task::JoinHandle,
};
use tower_obo::ConfigErrors;

use crate::{
    admin,
    config::{Config, Origin, Problems},
    denied::Denied,
    deny_file::{DenyFile, DenyFileError},
    generation::{Generation, Live},
    metrics::{Configured, Exposition, Metrics},
    net::{backend::Backend, listen, peers::Peers},
    precheck::Wrong,
    readiness::{PATIENCE, Readiness},
    reload::Reloading,
    server_tls::{ServerTls, TlsError},
    steps::limit::Running as RunningRequests,
    trace,
    upstream_certificates::UpstreamCertificates,
    version,
    worker::{Shared, Stage, Worker},
};

/// How long the last spans may take to reach the collector.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The configuration cannot work; one problem a line.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// The same, with where each setting was given; what [`check`] finds.
    #[error("{0}")]
    Problems(Problems),
    /// The admin listener's socket, which came from a service manager, can be reached from other machines, and
    /// nothing says that it may.
    #[error(
        "admin.expose: the socket for the admin listener ({0}) can be reached from other machines; give one on loopback (ListenStream=127.0.0.1:9090), or set `admin.expose = true` where that is wanted"
    )]
    Exposed(SocketAddr),
    /// A file of the store that gateways share cannot be used.
    #[error("cache.redis: {0}")]
    SharedStore(String),
    /// The file that says who is refused cannot be used: whoever is to be kept out would get in.
    #[error("{0}")]
    DenyFile(#[from] DenyFileError),
    /// A certificate that the listener should show cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// An https upstream cannot be spoken with: a file that it needs cannot be used.
    #[error("upstream {name}: {message}")]
    Upstream {
        /// The upstream's name in the configuration.
        name: String,
        /// What is the matter.
        message: String,
    },
    /// The system gives no thread or no event queue.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A reload cannot be carried out now, though nothing is wrong with what the configuration says: what it
    /// needs is not there, or not yet. It may be tried again; see [`Running::reload_again`].
    #[error("{0}")]
    Reload(String),
}

/// Starts a gateway and comes back once it accepts connections.
///
/// It may not be ready yet (see [`Running::is_ready`]): an identity provider that is out of reach,
/// or a client secret whose file is still to come, is no reason not to start. Any number of gateways may run in one process.
///
/// # Errors
///
/// An address is taken, the configuration cannot work, or the system gives no threads.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_on(config, Sockets::default()).await
}

/// Sockets that are open already, from a service manager for instance; they are taken in place of
/// the configured addresses.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = obo_gateway::Sources::new().file("gw.toml", "
/// # upstream = 'http://127.0.0.1:9'\n accept.scopes = ['s']\n [entra]
/// # tenant = '00000000-0000-0000-0000-000000000001'\n client_id = '00000000-0000-0000-0000-000000000002'
/// # credential = { secret_file = '/nowhere' }").load()?;
/// let mut sockets = obo_gateway::Sockets::default();
/// sockets.listen = Some(std::net::TcpListener::bind("127.0.0.1:0")?);
/// let gateway = obo_gateway::start_on(config, sockets).await?;
/// # drop(gateway);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Sockets {
    /// For clients, in place of `listen`.
    pub listen: Option<std::net::TcpListener>,
    /// For probes, in place of `admin.listen`.
    pub admin: Option<std::net::TcpListener>,
}

/// As [`start`], on sockets that are open already.
///
/// # Errors
///
/// As of [`start`].
pub async fn start_on(mut config: Config, sockets: Sockets) -> Result<Running, StartError> {
    let control = Control(Some(
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("obo-control")
            .enable_all()
            .build()
            .map_err(StartError::Thread)?,
    ));
    let handle = control.handle();
    let metrics = Metrics::new();
    metrics.count_tasks_of(handle.clone());
    let deny_file = DenyFile::load(&config.accept, config.entra.other.is_none())?;
    let denied = (deny_file.as_ref()).map_or_else(Denied::default, DenyFile::denied);
    denied.are_of_entra(config.entra.other.is_none());
    let made = Generation::parts(&config, &handle, &metrics, &denied.list, None)?;
    let tls = config.tls.as_ref().map(ServerTls::load).transpose()?;
    check_upstreams(&config)?;
    let (traces, telling) = match &config.traces {
        Some(traces) => {
            let spans = Arc::clone(&metrics.spans);
            match trace::open(traces, &spans, &handle) {
                Ok(open) => (Some(open.traces), Some(open.task)),
                // A variable that says how others export, say.
                Err(error) => {
                    tracing::error!(
                        error,
                        "traces are off: no client can be made for the collector"
                    );
                    (None, None)
                }
            }
        }
        None => (None, None),
    };
    let workers = config.workers.max(1);
    let listeners = match sockets.listen {
        Some(socket) => listen::share(socket, workers),
        None => listen::bind(config.listen, workers),
    };
    let listeners = listeners.map_err(|source| StartError::Listen {
        address: config.listen,
        source,
    })?;
    let local = listeners
        .first()
        .map_or(Ok(config.listen), std::net::TcpListener::local_addr)
        .map_err(StartError::Thread)?;
    let asked = (config.listen, config.admin);
    // Which port is ours matters to whoever compares hosts.
    config.listen = local;
    let admin = match sockets.admin {
        Some(socket) => {
            socket.set_nonblocking(true).map_err(StartError::Thread)?;
            let address = socket.local_addr().map_err(StartError::Thread)?;
            if !address.ip().is_loopback() && !config.admin_expose {
                return Err(StartError::Exposed(address));
            }
            config.admin = Some(address);
            Some(socket)
        }
        None => admin_listener(&config)?,
    };
    let admin_local = admin
        .as_ref()
        .map(std::net::TcpListener::local_addr)
        .transpose()
        .map_err(StartError::Thread)?;

    let (stage, stages) = watch::channel(Stage::Serving);
    let requests = RunningRequests::new(config.limits.requests);
    let configured = Configured::of(&config, tls.as_ref().map(|(tls, _)| tls.clone()));
    // The logs are the workers' alone: their last lines are written when the last of them is gone.
    let (access_log, audit_log) = (config.access_log.take(), config.audit_log.take());
    let live = Live::new(Generation::new(config, made, &handle, None));
    let readiness = Readiness {
        live: live.clone(),
        stage: stages.clone(),
        of_upstreams: UpstreamCertificates::default(),
    };
    if let Some(listener) = admin {
        let pages = admin::Pages {
            denied: denied.clone(),
            readiness: readiness.clone(),
            loopback: admin_local.is_some_and(|address| address.ip().is_loopback()),
            exposition: Exposition::new(
                Arc::clone(&metrics),
                Arc::clone(&requests),
                readiness.clone(),
                denied.clone(),
                configured,
            ),
        };
        let listener = {
            let _entered = handle.enter();
            TcpListener::from_std(listener).map_err(StartError::Thread)?
        };
        handle.spawn(admin::serve(listener, pages));
    }
    let tls = tls.map(|(tls, reload)| {
        handle.spawn(reload.run());
        tls
    });
    if let Some(file) = deny_file {
        handle.spawn(file.run());
    }
    handle.spawn(readiness.clone().look_at_certificates());
    let scheme = if tls.is_some() { "https" } else { "http" };
    let shared = Shared {
        tls,
        peers: Peers::new(
            &live.now().config.limits,
            Arc::clone(&requests),
            Arc::clone(&metrics),
        ),
        running: requests,
        metrics,
        traces,
        access_log,
        audit_log,
        generation: live.now(),
        deny: denied.list.clone(),
    };
    let mut running = Running {
        url: url(scheme, local),
        local,
        admin: admin_local.map(|address| (address, url("http", address))),
        readiness,
        stage,
        reloading: Reloading::new(live, asked, denied.clone(), &shared),
        workers: Vec::new(),
        telling,
        control,
    };
    // From here on, an error drops `running`, which ends what has begun.
    for (number, listener) in listeners.into_iter().enumerate() {
        let worker = Worker::start(number, listener, shared.clone(), stages.clone())
            .await
            .map_err(StartError::Thread)?;
        running.workers.push(worker);
    }
    let generation = &shared.generation;
    warn_of(&generation.config, &handle).await;
    running.readiness.look().await;
    generation.core.start();
    announce(&running, &generation.config);
    Ok(running)
}

/// Files that hang are no reason not to start: what is wrong with them is said when it is known.
pub(crate) async fn warn_of(config: &Arc<Config>, control: &Handle) {
    let config = Arc::clone(config);
    let looking = control.spawn_blocking(move || {
        for warning in &config.warnings() {
            tracing::warn!(key = warning.key(), "{warning}");
        }
    });
    let _ = tokio::time::timeout(PATIENCE, looking).await;
}

/// Checks what [`start`] would check before it opens a socket. May be called within a runtime, and blocks:
/// it reads the files that are named.
///
/// # Errors
///
/// Everything that the library finds wrong with the configuration.
pub fn check(config: &Config) -> Result<(), StartError> {
    problems(config)
        .into_result(())
        .map_err(StartError::Problems)
}

/// What is wrong beyond the text of a configuration.
pub(crate) fn problems(config: &Config) -> Problems {
    // Ended in the background: a caller may be within a runtime of its own, where none may be dropped.
    let control = match Builder::new_current_thread().build() {
        Ok(runtime) => Control(Some(runtime)),
        Err(error) => {
            let mut problems = Problems::default();
            let message = StartError::Thread(error).to_string();
            problems.push(Origin::Nowhere, "", message);
            return problems;
        }
    };
    Wrong::of(config, &control.handle()).into_problems()
}

pub(crate) fn check_upstreams(config: &Config) -> Result<(), StartError> {
    for (name, upstream) in &config.upstreams {
        Backend::new(upstream, &config.limits).map_err(|error| StartError::Upstream {
            name: name.clone(),
            message: error.to_string(),
        })?;
    }
    Ok(())
}

fn admin_listener(config: &Config) -> Result<Option<std::net::TcpListener>, StartError> {
    let Some(address) = config.admin else {
        return Ok(None);
    };
    let mut bound =
        listen::bind(address, 1).map_err(|source| StartError::Listen { address, source })?;
    Ok(bound.pop())
}

fn announce(running: &Running, config: &Config) {
    tracing::info!(
        version = version::VERSION,
        commit = version::COMMIT,
        listen = running.url(),
        admin = running.admin_url(),
        workers = config.workers,
        issuer = (config.entra.other.as_ref()).map(|other| other.issuer.as_str()),
        tenant = config.entra.tenant,
        client_id = config.entra.client_id,
        credential = config.entra.credential.describe(),
        authority = config.entra.authority,
        "gateway listens"
    );
    for route in &config.routes {
        let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
        let names = route.downstreams.iter();
        let scopes = names
            .filter_map(|name| config.downstreams.get(name))
            .flat_map(|api| api.scopes.iter().map(String::as_str));
        let downstream = match scopes.collect::<Vec<_>>() {
            scopes if scopes.is_empty() => "none: no token is forwarded".to_owned(),
            scopes => scopes.join(" "),
        };
        tracing::info!(
            path = %route.path,
            methods = if methods.is_empty() { "any".to_owned() } else { methods.join(",") },
            access = route.access.word(),
            permission = route.permission.word(),
            scopes = route.scopes.join(" "),
            roles = route.roles.join(" "),
            upstream = config.upstreams.get(&route.upstream).map(tracing::field::display),
            downstream,
            "route"
        );
    }
}

fn url(scheme: &str, address: SocketAddr) -> String {
    let reachable = reachable(address);
    format!("{scheme}://{reachable}")
}

/// The address to connect to; a socket that listens on all addresses is reached by loopback.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    reachable
}

/// A gateway that runs. Dropped, it ends at once; [`Running::shutdown`] lets requests finish.
#[derive(Debug)]
#[must_use = "a gateway ends when this is dropped"]
pub struct Running {
    url: String,
    local: SocketAddr,
    admin: Option<(SocketAddr, String)>,
    readiness: Readiness,
    stage: watch::Sender<Stage>,
    pub(crate) reloading: Reloading,
    pub(crate) workers: Vec<Worker>,
    /// Sends what is told of requests, until the last worker has ended and all is sent.
    telling: Option<JoinHandle<()>>,
    pub(crate) control: Control,
}

impl Running {
    /// Where it listens, `http://127.0.0.1:8080` for instance, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address that it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where `/livez` and `/readyz` are, if anywhere.
    #[must_use]
    pub fn admin_url(&self) -> Option<&str> {
        self.admin.as_ref().map(|(_, url)| url.as_str())
    }

    /// Whether protected requests can be served: the signing keys are loaded, the credential's file
    /// has been there, and no shutdown has begun.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness.obstacle().is_none()
    }

    /// Stops listening, lets running requests finish for at most the configured time, and ends.
    ///
    /// Dropping the future ends everything at once.
    pub async fn shutdown(mut self) {
        let _ = self.stage.send_replace(Stage::Draining);
        for worker in std::mem::take(&mut self.workers) {
            worker.ended().await;
        }
        if let Some(telling) = self.telling.take() {
            let _ = tokio::time::timeout(LAST_SPANS, telling).await;
        }
        tracing::info!("gateway has ended");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stage.send_replace(Stage::Ended);
        self.control.end();
    }
}

/// The runtime for the core's network work and the admin listener.
#[derive(Debug)]
pub(crate) struct Control(Option<Runtime>);

impl Control {
    pub(crate) fn handle(&self) -> Handle {
        match &self.0 {
            Some(runtime) => runtime.handle().clone(),
            None => Handle::current(),
        }
    }

    fn end(&mut self) {
        // Dropping a runtime waits, which is not allowed within another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end();
    }
}
