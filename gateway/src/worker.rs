//! One worker: a thread with a runtime of its own, its own listening socket, its own connections to
//! the upstreams. It shares nothing with other workers but the policy core and three counters.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    rc::{Rc, Weak},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use http::{HeaderName, header::AUTHORIZATION};
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::{mpsc, oneshot, watch},
    task, time,
};
use tower_obo::DenyList;

use crate::{
    AccessLog, AuditLog,
    bounds::Bounds,
    config::{self, Config, Upstream},
    connection::Serving,
    cors::Cors,
    generation::Generation,
    headers::Reserved,
    latest::{Current, Latest},
    message::{body::TokenEnds, trailers::Listed},
    metadata::Metadata,
    metrics::Metrics,
    net::{
        backend::Backend,
        listen::{self, Connections},
        peers::Peers,
        tls::TlsError,
        watch::Watches,
    },
    record::Readers,
    route::{Names, Route, Routes},
    server_tls::ServerTls,
    stack::{Parts, stack},
    steps::{count::Counts, limit::Running, route::AllowedHosts},
    trace::Traces,
};

/// How much of the time for draining is left to tell those who would not end by themselves, and to hear their
/// goodbye; a quarter at most.
const PARTING: Duration = Duration::from_secs(1);

/// How far the gateway is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Serving,
    /// No new connection; running requests may finish.
    Draining,
    /// Whatever still runs is dropped.
    Ended,
}

/// What all workers are given.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Option<Traces>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) audit_log: Option<AuditLog>,
    pub(crate) tls: Option<ServerTls>,
    /// Who is cut off, streams included.
    pub(crate) deny: DenyList,
    pub(crate) running: Arc<Running>,
    pub(crate) peers: Arc<Peers>,
    /// What they begin with.
    pub(crate) generation: Arc<Generation>,
}

/// Has a worker take another generation: it says whether it can, waits until all can, and says when it has.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) generation: Arc<Generation>,
    pub(crate) prepared: oneshot::Sender<Result<(), String>>,
    pub(crate) committed: oneshot::Receiver<()>,
    pub(crate) done: oneshot::Sender<()>,
}

/// A worker that runs.
#[derive(Debug)]
pub(crate) struct Worker {
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Worker {
    /// Starts a worker, and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// The thread or its runtime cannot be made.
    pub(crate) async fn start(
        number: usize,
        listener: std::net::TcpListener,
        shared: Shared,
        stage: watch::Receiver<Stage>,
    ) -> io::Result<Self> {
        let (started, has_started) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (orders, to_do) = mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name(format!("obo-worker-{number}"))
            .spawn(move || {
                let opened = runtime().and_then(|runtime| {
                    let listener = runtime.block_on(async { TcpListener::from_std(listener) })?;
                    let backends =
                        backends(&shared.generation.config, None).map_err(io::Error::other)?;
                    shared.metrics.count_tasks_of(runtime.handle().clone());
                    Ok((runtime, listener, backends))
                });
                match opened {
                    Ok((runtime, listener, backends)) => {
                        let _ = started.send(Ok(()));
                        runtime.block_on(run(listener, backends, shared, to_do, stage));
                        // A name that is asked for would be waited for otherwise, for as long as the
                        // system takes.
                        runtime.shutdown_background();
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
                let _ = end.send(());
            })?;
        has_started
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the worker ended while it started")))?;
        Ok(Self {
            thread,
            ended,
            orders,
        })
    }

    /// Where it takes orders. One that has ended drops them.
    pub(crate) const fn orders(&self) -> &mpsc::UnboundedSender<Order> {
        &self.orders
    }

    /// Waits until the worker has ended.
    pub(crate) async fn ended(self) {
        let _ = self.ended.await;
        if self.thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
}

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

/// All upstreams, by name.
type Backends = BTreeMap<String, Rc<Backend>>;

/// Those of an `earlier` configuration that are the same go on, with their connections.
fn backends(config: &Config, earlier: Option<(&Config, &Backends)>) -> Result<Backends, TlsError> {
    let same_limits = |of: &Config| {
        let (own, other) = (&config.limits, &of.limits);
        own.connect_timeout == other.connect_timeout && own.requests == other.requests
    };
    let earlier = earlier.filter(|(config, _)| same_limits(config));
    let backend = |(name, upstream): (&String, &Upstream)| {
        let same = earlier.and_then(|(_, backends)| backends.get(name));
        let backend = match same.filter(|same| same.upstream() == upstream) {
            Some(same) => Rc::clone(same),
            None => Backend::new(upstream, &config.limits)?,
        };
        Ok((name.clone(), backend))
    };
    config.upstreams.iter().map(backend).collect()
}

async fn run(
    listener: TcpListener,
    mut backends: Backends,
    shared: Shared,
    mut orders: mpsc::UnboundedReceiver<Order>,
    mut stage: watch::Receiver<Stage>,
) {
    let mut config = Arc::clone(&shared.generation.config);
    let limits = &config.limits;
    let watches = Watches::with_others(limits, shortest(&config));
    let watches = Rc::new(watches.with_deny_list(shared.deny.clone()));
    let connections = Connections::new(
        limits.connections.div_ceil(config.workers.max(1)),
        Arc::clone(&shared.metrics),
    );
    let swept = Rc::new(Swept::new(&backends, limits.idle_timeout));
    let sweeper = task::spawn_local(sweep(Rc::clone(&watches), Rc::clone(&swept)));
    let current = Current::new(
        stack(parts(&shared, &shared.generation, &backends)),
        &config.trusted_proxies,
    );
    // Of what is refused before it is a request of any generation.
    let counts = Counts::new(&shared.metrics, Rc::new(readers(&shared)));
    let serve = |config: &Config| {
        let (watches, tls) = (Rc::clone(&watches), shared.tls.clone());
        Serving::new(
            config,
            watches,
            tls,
            Arc::clone(&shared.peers),
            counts.clone(),
        )
    };
    let mut serving = serve(&config);

    let spawn = |serving: &Rc<Serving>, stream, peer, place| {
        let serving = serving.serve(stream, peer, Latest::of(&current));
        task::spawn_local(async move {
            serving.await;
            drop(place);
        });
    };
    loop {
        tokio::select! {
            (stream, peer, place) = listen::accept(&listener, &connections) => spawn(&serving, stream, peer, place),
            Some(order) = orders.recv() => {
                let Order { generation: next, prepared, committed, done } = order;
                let of_next = match self::backends(&next.config, Some((&config, &backends))) {
                    Ok(of_next) => of_next,
                    Err(error) => {
                        let _ = prepared.send(Err(error.to_string()));
                        continue;
                    }
                };
                if prepared.send(Ok(())).is_err() || committed.await.is_err() {
                    continue;
                }
                backends = of_next;
                config = Arc::clone(&next.config);
                watches.keep_to(&config.limits, shortest(&config));
                swept.add(&backends, config.limits.idle_timeout);
                serving = serve(&config);
                current.replace(stack(parts(&shared, &next, &backends)), &config.trusted_proxies);
                let _ = done.send(());
            }
            () = reaches(&mut stage, Stage::Draining) => break,
        }
    }

    // Connections that the kernel has completed would be reset when the socket closes.
    while let Ok((stream, peer, place)) =
        time::timeout(Duration::ZERO, listen::accept(&listener, &connections)).await
    {
        spawn(&serving, stream, peer, place);
    }
    drop(listener);
    // Those just accepted are told after they have begun to read, so that they are not idle.
    task::yield_now().await;
    watches.drain(config.drain_timeout);
    let parting = PARTING.min(config.drain_timeout / 4);
    let drained = async {
        time::sleep(config.drain_timeout.saturating_sub(parting)).await;
        watches.end_tunnels();
        time::sleep(parting).await;
    };
    tokio::select! {
        () = connections.none_left() => {}
        () = drained => {
            tracing::warn!("requests still ran at the end of the drain time-out; they were dropped");
        }
        () = reaches(&mut stage, Stage::Ended) => {}
    }
    watches.cut();
    sweeper.abort();
}

/// Waits until the gateway is at `wanted` or beyond.
async fn reaches(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    let there = |stage: &Stage| *stage == wanted || *stage == Stage::Ended;
    // An error: whoever would say so is gone, which is the end too.
    let _ = stage.wait_for(there).await;
}

/// Whose idle connections are closed, those too that only a request that runs still uses.
struct Swept {
    backends: RefCell<Vec<Weak<Backend>>>,
    idle: Cell<Duration>,
}

impl Swept {
    fn new(backends: &Backends, idle: Duration) -> Self {
        Self {
            backends: RefCell::new(backends.values().map(Rc::downgrade).collect()),
            idle: Cell::new(idle),
        }
    }

    fn add(&self, backends: &Backends, idle: Duration) {
        self.idle.set(idle);
        let mut known = self.backends.borrow_mut();
        for backend in backends.values() {
            let backend = Rc::downgrade(backend);
            if !known.iter().any(|known| known.ptr_eq(&backend)) {
                known.push(backend);
            }
        }
    }

    fn sweep(&self, now: u64) {
        let idle = u64::try_from(self.idle.get().as_millis()).unwrap_or(u64::MAX);
        self.backends.borrow_mut().retain(|backend| {
            let backend = backend.upgrade();
            if let Some(backend) = &backend {
                backend.sweep(now, idle);
            }
            backend.is_some()
        });
    }
}

async fn sweep(watches: Rc<Watches>, swept: Rc<Swept>) {
    loop {
        time::sleep(watches.tick()).await;
        watches.look().await;
        swept.sweep(watches.now());
    }
}

/// What the steps share.
fn readers(shared: &Shared) -> Readers {
    Readers {
        access: shared.access_log.clone(),
        audit: shared.audit_log.clone(),
        traces: shared.traces.clone(),
        server_timing: false,
    }
}

fn parts(shared: &Shared, generation: &Generation, backends: &Backends) -> Parts {
    let config = &*generation.config;
    let limits = &config.limits;
    let readers = Rc::new(Readers {
        server_timing: config.routes.iter().any(|route| route.server_timing),
        ..readers(shared)
    });
    Parts {
        core: generation.core.clone(),
        retry_challenges: generation.retry_challenges.clone(),
        running: Arc::clone(&shared.running),
        routes: Rc::new(routes(shared, generation, backends)),
        reserved: Rc::new(reserved(config)),
        head_bytes: limits.head_bytes,
        target_bytes: limits.target_bytes,
        head_fields: limits.head_fields,
        counts: Counts::new(&shared.metrics, Rc::clone(&readers)),
        readers,
        allowed: Rc::new(AllowedHosts {
            hosts: config.allowed_hosts.clone(),
            port: config.listen.port(),
        }),
    }
}

fn routes(shared: &Shared, generation: &Generation, backends: &Backends) -> Routes {
    let config = &*generation.config;
    Routes::new(
        config
            .routes
            .iter()
            .zip(&generation.policies)
            .zip(&generation.running_by_route)
            .filter_map(|((route, policy), running)| {
                let ready = Route {
                    methods: route.methods.clone(),
                    policy: Arc::clone(policy),
                    upstream: Rc::clone(backends.get(&route.upstream)?),
                    token_headers: token_headers(config, route),
                    upgrade: route.upgrade,
                    trailers: Listed::new(&route.trailers),
                    token_ends: if route.outlive_token {
                        TokenEnds::Nothing
                    } else {
                        TokenEnds::TheStream
                    },
                    cors: (route.cors.as_ref())
                        .map(|cors| Rc::new(Cors::new(cors, &route.methods))),
                    figures: shared.metrics.routes.open(&route.label()),
                    names: Rc::new(names(route)),
                    upstream_figures: shared.metrics.upstreams.open(&route.upstream),
                    bounds: Bounds::new(&config.limits, &route.limits, running.clone()),
                };
                Some((route.hosts.clone(), route.path.clone(), ready))
            }),
    )
    .with_metadata(Metadata::new(config))
}

fn names(route: &config::Route) -> Names {
    Names {
        label: route.label().into(),
        downstreams: match &*route.downstreams {
            [] => "none".into(),
            names => names.join(",").into(),
        },
        server_timing: route.server_timing,
    }
}

/// The shortest time that a route has of its own.
fn shortest(config: &Config) -> Duration {
    let own = config.routes.iter().flat_map(|route| {
        let own = &route.limits;
        [own.response_timeout, own.idle_timeout, own.total_timeout]
    });
    let times = own.chain([config.limits.total_timeout]).flatten();
    times.min().unwrap_or(Duration::MAX)
}

/// Where the upstream gets tokens, besides `Authorization`.
fn token_headers(config: &Config, route: &config::Route) -> Box<[HeaderName]> {
    let apis = route.downstreams.iter();
    apis.filter_map(|name| config.downstreams.get(name))
        .map(|api| api.header.clone())
        .filter(|header| *header != AUTHORIZATION)
        .collect()
}

fn reserved(config: &Config) -> Reserved {
    let mut reserved = Reserved::default();
    for (_, header) in config
        .routes
        .iter()
        .flat_map(|route| &route.identity_headers)
    {
        // Of all routes on each: a header that one route trusts is not taken from a caller of
        // another.
        reserved.add(header);
    }
    for api in config.downstreams.values() {
        reserved.add(&api.header);
    }
    reserved
}
