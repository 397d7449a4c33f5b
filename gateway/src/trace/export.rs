//! Spans on their way to the collector: OTLP over HTTP, in the background, on the control runtime. What
//! the collector does not take in time is counted and forgotten: no request waits for it, and memory is
//! bounded by the queue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

use super::Traces;
use crate::config;

/// Requests whose spans may wait.
const WAITING: usize = 2_048;

/// Spans that go out together, and how long the first waits for others.
const BATCH: usize = 512;
const LINGER: Duration = Duration::from_secs(1);

/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two lines that say that it fails.
const REMINDER: Duration = Duration::from_secs(60);

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Spans {
    pub(super) fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> [(&'static str, u64); 3] {
        [
            ("exported", self.exported.load(Ordering::Relaxed)),
            ("dropped", self.dropped.load(Ordering::Relaxed)),
            ("failed", self.failed.load(Ordering::Relaxed)),
        ]
    }
}

/// Traces that are told of, and the task that sends them: it ends when the last [`Traces`] is gone and all
/// that waited has been sent.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) traces: Traces,
    pub(crate) task: JoinHandle<()>,
}

/// Begins to send what is told to the collector.
///
/// # Errors
///
/// No client can be made for it.
pub(crate) fn open(
    config: &config::Traces,
    counts: &Arc<Spans>,
    control: &Handle,
) -> Result<Open, String> {
    let exporter = exporter(config)?;
    let (queue, waiting) = mpsc::channel(WAITING);
    let traces = Traces::new(queue, Arc::clone(counts), config.ratio);
    let task = control.spawn(run(exporter, waiting, Arc::clone(counts)));
    Ok(Open { traces, task })
}

fn exporter(config: &config::Traces) -> Result<SpanExporter, String> {
    // Proxies are for calls to the identity provider.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .map_err(|error| error.to_string())?;
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(config.endpoint.as_str())
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| error.to_string())?;
    exporter.set_resource(&resource());
    Ok(exporter)
}

/// Who tells: what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, and else our own name.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let named = Resource::builder().with_attribute(version.clone()).build();
    let name = named.get(&"service.name".into());
    let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if is_named {
        return named;
    }
    Resource::builder()
        .with_attribute(version)
        .with_service_name("obo-gateway")
        .build()
}

async fn run(
    exporter: SpanExporter,
    mut waiting: mpsc::Receiver<Vec<SpanData>>,
    counts: Arc<Spans>,
) {
    let mut said: Option<Instant> = None;
    while let Some(mut batch) = waiting.recv().await {
        let until = Instant::now() + LINGER;
        while batch.len() < BATCH
            && let Ok(Some(more)) = timeout_at(until, waiting.recv()).await
        {
            batch.extend(more);
        }
        let count = batch.len() as u64;
        let error = match timeout(PATIENCE, exporter.export(batch)).await {
            Ok(Ok(())) => {
                counts.exported.fetch_add(count, Ordering::Relaxed);
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        counts.failed.fetch_add(count, Ordering::Relaxed);
        if said.is_none_or(|said| said.elapsed() >= REMINDER) {
            said = Some(Instant::now());
            tracing::warn!(error, "traces do not reach the collector (traces.endpoint)");
        }
    }
}
