//! One worker: a thread with a runtime of its own, its own listening socket, its own connections to
//! the upstreams. It shares nothing with other workers but the policy core and three counters.

use std::{
    collections::BTreeMap,
    io,
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use http::{HeaderName, header::AUTHORIZATION};
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::{oneshot, watch},
    task, time,
};
use tower_obo::{BoundPolicy, Core, DenyList};

use crate::{
    bounds::Bounds,
    config::{self, Config, Upstream},
    connection::Serving,
    cors::Cors,
    headers::Reserved,
    message::{body::TokenEnds, room::Room},
    metadata::Metadata,
    metrics::Metrics,
    net::{
        backend::Backend,
        listen::{self, Connections},
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
    pub(crate) config: Arc<Config>,
    pub(crate) core: Core,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Option<Traces>,
    pub(crate) tls: Option<ServerTls>,
    /// See [`Config::retry_challenges`]; for what is kept of requests meanwhile.
    pub(crate) retry_challenges: Option<Room>,
    /// Who is cut off, streams included.
    pub(crate) deny: DenyList,
    /// In the order of the configuration's routes.
    pub(crate) policies: Arc<[Arc<BoundPolicy>]>,
    pub(crate) running: Arc<Running>,
    /// In the same order; `None` where the route has no limit of its own.
    pub(crate) running_by_route: Arc<[Option<Arc<Running>>]>,
}

/// A worker that runs.
#[derive(Debug)]
pub(crate) struct Worker {
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
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
        let thread = thread::Builder::new()
            .name(format!("obo-worker-{number}"))
            .spawn(move || {
                let opened = runtime().and_then(|runtime| {
                    let listener = runtime.block_on(async { TcpListener::from_std(listener) })?;
                    let backends = backends(&shared.config).map_err(io::Error::other)?;
                    Ok((runtime, listener, backends))
                });
                match opened {
                    Ok((runtime, listener, backends)) => {
                        let _ = started.send(Ok(()));
                        runtime.block_on(run(listener, backends, shared, stage));
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
        Ok(Self { thread, ended })
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

fn backends(config: &Config) -> Result<Backends, TlsError> {
    let backend = |(name, upstream): (&String, &Upstream)| {
        Backend::new(upstream, &config.limits).map(|backend| (name.clone(), backend))
    };
    config.upstreams.iter().map(backend).collect()
}

async fn run(
    listener: TcpListener,
    backends: Backends,
    shared: Shared,
    mut stage: watch::Receiver<Stage>,
) {
    let config = &*shared.config;
    let limits = &config.limits;
    let watches =
        Rc::new(Watches::with_others(limits, shortest(config)).with_deny_list(shared.deny.clone()));
    let connections = Connections::new(
        limits.connections.div_ceil(config.workers.max(1)),
        Arc::clone(&shared.metrics),
    );
    let sweeper = task::spawn_local(sweep(
        Rc::clone(&watches),
        backends.values().cloned().collect(),
        limits.idle_timeout,
    ));
    let readers = Rc::new(Readers {
        access: config.access_log.clone(),
        audit: config.audit_log.clone(),
        traces: shared.traces.clone(),
    });
    let stack = stack(Parts {
        core: shared.core.clone(),
        retry_challenges: shared.retry_challenges.clone(),
        running: Arc::clone(&shared.running),
        routes: Rc::new(routes(config, &shared, &backends)),
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
    });
    let serving = Serving::new(config, Rc::clone(&watches), shared.tls.clone());

    let spawn = |stream, peer, place| {
        let serving = serving.serve(stream, peer, stack.clone());
        task::spawn_local(async move {
            serving.await;
            drop(place);
        });
    };
    loop {
        tokio::select! {
            (stream, peer, place) = listen::accept(&listener, &connections) => spawn(stream, peer, place),
            () = reaches(&mut stage, Stage::Draining) => break,
        }
    }

    // Connections that the kernel has completed would be reset when the socket closes.
    while let Ok((stream, peer, place)) =
        time::timeout(Duration::ZERO, listen::accept(&listener, &connections)).await
    {
        spawn(stream, peer, place);
    }
    drop(listener);
    // Those just accepted are told after they have begun to read, so that they are not idle.
    task::yield_now().await;
    watches.drain();
    tokio::select! {
        () = connections.none_left() => {}
        () = time::sleep(config.drain_timeout) => {
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

async fn sweep(watches: Rc<Watches>, backends: Vec<Rc<Backend>>, idle: Duration) {
    let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
    let mut ticks = time::interval(watches.tick());
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        watches.sweep();
        for backend in &backends {
            backend.sweep(watches.now(), idle);
        }
    }
}

fn routes(config: &Config, shared: &Shared, backends: &Backends) -> Routes {
    Routes::new(
        config
            .routes
            .iter()
            .zip(&*shared.policies)
            .zip(&*shared.running_by_route)
            .filter_map(|((route, policy), running)| {
                let ready = Route {
                    methods: route.methods.clone(),
                    policy: Arc::clone(policy),
                    upstream: Rc::clone(backends.get(&route.upstream)?),
                    token_headers: token_headers(config, route),
                    upgrade: route.upgrade,
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
