//! The figures as text, with what is read off when somebody asks.

use std::{
    fmt::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text},
    registry::Registry,
};
use tracing_appender::non_blocking::ErrorCounter;

use super::{
    Metrics, OneMore,
    durations::{Durations, Read},
    exemplars::{self, Row},
    figures::Ledger,
    library::LOOKUPS,
    names::{self, Name},
    process::Process,
    text::classic,
};
use crate::{
    AccessLog, AuditLog, DroppedLines, config::Config, denied::Denied, readiness::Readiness,
    server_tls::ServerTls, steps::limit::Running, version,
};

/// Everything that `/metrics` tells.
#[derive(Debug)]
pub(crate) struct Exposition {
    registry: Registry,
    metrics: Arc<Metrics>,
    /// Those of the text that is being written, in its order; one writes at a time.
    rows: Rows,
    writing: Mutex<()>,
}

type Rows = Arc<Mutex<Vec<Row>>>;

impl Exposition {
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        running: Arc<Running>,
        readiness: Readiness,
        denied: Denied,
        configured: Configured,
    ) -> Self {
        let rows = Rows::default();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Everything {
            metrics: Arc::clone(&metrics),
            rows: Arc::clone(&rows),
            running,
            readiness,
            denied,
            configured,
        }));
        Self {
            registry,
            metrics,
            rows,
            writing: Mutex::default(),
        }
    }

    /// Somebody asks the admin listener.
    pub(crate) fn admin_connection(&self) -> OneMore {
        self.metrics.connections.admin()
    }

    /// OpenMetrics 1.0, or the older text format.
    pub(crate) fn render(&self, openmetrics: bool) -> String {
        let _alone = self.writing.lock();
        let mut rendered = String::new();
        if let Err(error) = text::encode(&mut rendered, &self.registry) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        let rows = self.rows.lock().map(|mut rows| std::mem::take(&mut *rows));
        if openmetrics {
            exemplars::put(&rendered, &rows.unwrap_or_default())
        } else {
            classic(&rendered)
        }
    }
}

#[derive(Debug)]
struct Everything {
    metrics: Arc<Metrics>,
    rows: Rows,
    running: Arc<Running>,
    readiness: Readiness,
    denied: Denied,
    configured: Configured,
}

/// What the configuration says about what is told.
#[derive(Debug)]
pub(crate) struct Configured {
    /// Who counts the lines that could not be written. The logs themselves are the workers': the last lines
    /// are written when the last of them is gone.
    access: Option<ErrorCounter>,
    audit: Option<ErrorCounter>,
    own: Option<DroppedLines>,
    /// Whether traces tell of requests.
    traced: bool,
    connections_max: u64,
    /// What new connections are shown, where they are encrypted.
    tls: Option<ServerTls>,
}

impl Configured {
    pub(crate) fn of(config: &Config, tls: Option<ServerTls>) -> Self {
        Self {
            tls,
            access: config.access_log.as_ref().map(AccessLog::dropped),
            audit: config.audit_log.as_ref().map(AuditLog::dropped),
            own: config.own_log_dropped.clone(),
            traced: config.traces.is_some(),
            connections_max: config.limits.connections as u64,
        }
    }
}

impl Collector for Everything {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut to = Encoder(encoder);
        self.gateway(&mut to)?;
        self.library(&mut to)?;
        self.certificates(&mut to)?;
        let logs = [
            (names::LOG_DROPPED, &self.configured.access),
            (names::AUDIT_DROPPED, &self.configured.audit),
        ];
        for (name, lines) in logs {
            if let Some(lines) = lines {
                counter(&mut to.begin(name)?, lines.dropped_lines() as u64)?;
            }
        }
        if let Some(own) = &self.configured.own {
            counter(&mut to.begin(names::OWN_DROPPED)?, own.count() as u64)?;
        }
        if self.configured.traced {
            to.several(names::SPANS, "result", self.metrics.spans.read())?;
        }
        process(&mut to)
    }
}

impl Everything {
    fn certificates(&self, to: &mut Encoder<'_>) -> Result<(), Error> {
        let now = self.readiness.live.now();
        let of_listener = self.configured.tls.as_ref().and_then(ServerTls::expires);
        let ends = [
            ("listener", of_listener),
            ("client_credential", now.credential.certificate_expires()),
        ];
        let of_upstreams = self.readiness.of_upstreams.read();
        if of_upstreams.is_empty() && ends.iter().all(|(_, end)| end.is_none()) {
            return Ok(());
        }
        let mut all = to.begin(names::CERTIFICATE_EXPIRES)?;
        for (word, end) in ends {
            if let Some(end) = end {
                let labels = [("use", word)];
                all.encode_family(&labels)?.encode_gauge(&end.as_unix())?;
            }
        }
        for (name, end) in of_upstreams {
            let labels = [("use", "upstream"), ("upstream", &*name)];
            all.encode_family(&labels)?.encode_gauge(&end.as_unix())?;
        }
        Ok(())
    }

    fn connections(&self, to: &mut Encoder<'_>) -> Result<(), Error> {
        let connections = &self.metrics.connections;
        let open = [
            ("public", read(&connections.public)),
            ("admin", read(&connections.admin)),
        ];
        to.gauges(names::CONNECTIONS, "listener", open)?;
        to.gauge(names::CONNECTIONS_MAX, self.configured.connections_max)?;
        let full = read(&connections.full);
        counter(&mut to.begin(names::CONNECTIONS_FULL)?, full)?;
        let refused = read(&connections.refused);
        counter(&mut to.begin(names::CONNECTIONS_REFUSED)?, refused)
    }

    fn gateway(&self, to: &mut Encoder<'_>) -> Result<(), Error> {
        let metrics = &*self.metrics;
        let version = [("version", version::VERSION), ("commit", version::COMMIT)];
        to.begin(names::BUILD)?.encode_info(&version)?;
        to.gauge(names::STARTED, metrics.started.as_unix())?;
        to.gauge(names::READY, u64::from(self.readiness.obstacle().is_none()))?;
        to.gauge(names::DRAINING, u64::from(self.readiness.is_draining()))?;
        to.counters(
            names::RELOADS,
            "result",
            ["ok", "failed", ""],
            &metrics.reloads,
        )?;
        let configured = metrics.is_configured.load(Ordering::Relaxed);
        to.gauge(names::CONFIGURED, u64::from(configured))?;
        to.gauge(names::CONFIGURED_AT, read(&metrics.configured_at))?;
        to.ledger(
            names::REQUESTS,
            names::REQUEST_DURATION,
            "route",
            &metrics.routes,
            &self.rows,
        )?;
        to.gauge(names::RUNNING, self.running.now())?;
        to.gauge(names::RUNNING_MAX, self.running.most())?;
        self.connections(to)?;
        to.gauge(names::TASKS, metrics.tasks())?;
        to.metric(names::REFUSALS, &metrics.refusals)?;
        to.gauge(names::DENY_RULES, self.denied.list.len() as u64)?;
        to.gauge(names::DENY_STALE, u64::from(self.denied.is_stale()))?;
        let upstreams = &metrics.upstreams;
        to.ledger(
            names::UPSTREAM_REQUESTS,
            names::UPSTREAM_DURATION,
            "upstream",
            upstreams,
            &Rows::default(),
        )
    }

    fn library(&self, to: &mut Encoder<'_>) -> Result<(), Error> {
        let library = &*self.metrics.library;
        let results = ["hit", "miss", "failed"];
        to.counters(names::ADMISSIONS, "result", results, &library.admissions)?;
        to.counters(names::TOKENS, "result", results, &library.tokens)?;
        let lookups = LOOKUPS
            .into_iter()
            .zip(library.shared_store.iter().map(read));
        to.several(names::SHARED_STORE, "result", lookups)?;
        let core = self.readiness.live.now().core.clone();
        if let Some(store) = core.shared_store() {
            to.gauge(names::SHARED_STORE_UP, u64::from(store.is_there))?;
            to.gauge(names::SHARED_STORE_OWED, store.deletions_owed)?;
            let dropped = &mut to.begin(names::SHARED_STORE_DROPPED)?;
            counter(dropped, store.deletions_dropped)?;
        }
        let usage = core.cache_usage();
        let caches = [("admissions", usage.admissions), ("tokens", usage.tokens)];
        let each = |of: fn(&tower_obo::CacheUsage) -> u64| {
            caches.each_ref().map(|(name, usage)| (*name, of(usage)))
        };
        to.gauges(names::CACHE_ENTRIES, "cache", each(|usage| usage.entries))?;
        to.gauges(names::CACHE_BYTES, "cache", each(|usage| usage.bytes))?;
        let evictions = each(|usage| usage.evictions);
        to.several(names::CACHE_EVICTIONS, "cache", evictions)?;
        to.metric(names::EXCHANGES, &library.exchanges)?;
        let durations = library.exchange_durations.read();
        histogram(&mut to.begin(names::EXCHANGE_DURATION)?, &durations)?;
        let fetches = &library.key_fetches;
        to.counters(names::KEY_FETCHES, "result", ["ok", "failed", ""], fetches)?;
        to.gauge(names::KEYS, read(&library.keys))?;
        to.gauge(names::KEYS_TIME, read(&library.keys_fetched_at))?;
        let max_age = self.readiness.live.now().config.accept.key_max_age;
        to.gauge(names::KEYS_MAX_AGE, max_age.as_secs())?;
        let foreign = read(&library.foreign_tokens);
        counter(&mut to.begin(names::FOREIGN_TOKENS)?, foreign)
    }
}

fn process(to: &mut Encoder<'_>) -> Result<(), Error> {
    let process = Process::now();
    for (name, value) in [
        (names::MEMORY, process.memory),
        (names::FILES, process.files),
        (names::THREADS, process.threads),
    ] {
        if let Some(value) = value {
            to.gauge(name, value)?;
        }
    }
    Ok(())
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// Writes figures under their names.
struct Encoder<'a>(DescriptorEncoder<'a>);

impl Encoder<'_> {
    fn begin(&mut self, name: Name) -> Result<MetricEncoder<'_>, Error> {
        let kind = name.kind.metric_type();
        self.0.encode_descriptor(name.name, name.help, None, kind)
    }

    fn metric(&mut self, name: Name, metric: &impl EncodeMetric) -> Result<(), Error> {
        // Without a sample there is nothing to declare.
        if metric.is_empty() {
            return Ok(());
        }
        metric.encode(self.begin(name)?)
    }

    fn gauge(&mut self, name: Name, value: u64) -> Result<(), Error> {
        self.begin(name)?.encode_gauge(&value)
    }

    fn gauges<const N: usize>(
        &mut self,
        name: Name,
        label: &str,
        values: [(&str, u64); N],
    ) -> Result<(), Error> {
        let mut all = self.begin(name)?;
        for (word, value) in values {
            let labels = [(label, word)];
            all.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters(
        &mut self,
        name: Name,
        label: &str,
        words: [&str; 3],
        counts: &[AtomicU64],
    ) -> Result<(), Error> {
        self.several(name, label, words.into_iter().zip(counts.iter().map(read)))
    }

    fn several<'v>(
        &mut self,
        name: Name,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) -> Result<(), Error> {
        let mut all = self.begin(name)?;
        for (word, value) in values {
            counter(&mut all.encode_family(&[(label, word)])?, value)?;
        }
        Ok(())
    }

    /// What a ledger holds, under two names: counts by outcome, and durations.
    fn ledger(
        &mut self,
        counts: Name,
        durations: Name,
        label: &str,
        ledger: &Ledger,
        rows: &Rows,
    ) -> Result<(), Error> {
        let all = ledger.read();
        if all.is_empty() {
            return Ok(());
        }
        let mut family = self.begin(counts)?;
        for (name, figures) in &all {
            for (outcome, count) in figures.outcomes() {
                let labels = [(label, &**name), ("outcome", outcome)];
                counter(&mut family.encode_family(&labels)?, count)?;
            }
        }
        if let Ok(mut rows) = rows.lock() {
            *rows = all
                .iter()
                .map(|(_, figures)| figures.exemplars.read())
                .collect();
        }
        let mut family = self.begin(durations)?;
        for (name, figures) in &all {
            let labels = [(label, &**name)];
            histogram(
                &mut family.encode_family(&labels)?,
                &Durations::read(&figures.durations),
            )?;
        }
        Ok(())
    }
}

fn counter(to: &mut MetricEncoder<'_>, value: u64) -> Result<(), Error> {
    to.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn histogram(to: &mut MetricEncoder<'_>, read: &Read) -> Result<(), Error> {
    to.encode_histogram::<NoLabelSet>(read.sum, read.count, &read.classes, None)
}
