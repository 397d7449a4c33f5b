//! The admin listener: `/livez` and `/readyz` for probes, `/metrics` for Prometheus; for whoever is on
//! call `/`, `/config`, `/deny` and `/purge`. It runs on the control runtime, so that it answers however busy the workers are.

mod deny;
mod effective;
mod figures;
mod guard;
mod purge;
mod status;

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::AbortHandle,
    time,
};
use tower_obo::{Clock as _, SystemClock};

use self::{
    figures::{Figures, Recent},
    status::Facts,
};
use crate::{denied::Denied, metrics::Exposition, readiness::Readiness};

/// Probes are few. One more takes the place of the oldest: whoever holds connections keeps no probe away.
const CONNECTIONS: usize = 64;

/// How long a connection serves. Whoever does not read then has [`HEAD_TIMEOUT`] left.
const LONGEST: Duration = Duration::from_secs(30);

/// How long a probe may take to ask; connections between probes are closed after this too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

const READYZ: &str = "/readyz";
const METRICS: &str = "/metrics";
const PURGE: &str = "/purge";
const CONFIG: &str = "/config";
const DENY: &str = "/deny";
const STATUS: &str = "/";

/// What it has to tell.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) readiness: Readiness,
    pub(crate) exposition: Exposition,
    pub(crate) denied: Denied,
    /// Whether it listens on loopback.
    pub(crate) loopback: bool,
}

/// Serves the admin listener for as long as its runtime runs.
pub(crate) async fn serve(listener: TcpListener, pages: Pages) {
    let mut open = VecDeque::<AbortHandle>::new();
    let pages = Arc::new(pages);
    let recent = Arc::<Mutex<Recent>>::default();
    tokio::spawn(note(Arc::clone(&pages), Arc::clone(&recent)));
    loop {
        let (stream, from_here) = match listener.accept().await {
            Ok((stream, peer)) => (stream, peer.ip().to_canonical().is_loopback()),
            Err(error) => {
                tracing::warn!(%error, "accepting an admin connection failed");
                time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (pages, recent) = (Arc::clone(&pages), Arc::clone(&recent));
        let counted = pages.exposition.admin_connection();
        let serving = tokio::spawn(async move {
            let service = move |request: Request<Incoming>| {
                let (pages, recent) = (Arc::clone(&pages), Arc::clone(&recent));
                async move {
                    if matches!(request.uri().path(), READYZ | METRICS | STATUS) {
                        pages.readiness.look().await;
                    }
                    Ok::<_, Infallible>(answer(&request, &pages, &recent, from_here).await)
                }
            };
            converse(stream, service).await;
            drop(counted);
        });
        make_room(&mut open, CONNECTIONS - 1);
        open.push_back(serving.abort_handle());
    }
}

/// Ends the oldest connections of those that are open, until so many are left.
fn make_room(open: &mut VecDeque<AbortHandle>, most: usize) {
    open.retain(|connection| !connection.is_finished());
    for connection in open.drain(..open.len().saturating_sub(most)) {
        connection.abort();
    }
}

/// Serves one connection, for a while.
async fn converse<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service_fn(service));
    let mut connection = pin!(connection);
    let served = match time::timeout(LONGEST, connection.as_mut()).await {
        Ok(served) => served,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            match time::timeout(HEAD_TIMEOUT, connection).await {
                Ok(served) => served,
                Err(_) => {
                    tracing::debug!("an admin connection ended: nobody reads it");
                    return;
                }
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "an admin connection ended");
    }
}

async fn answer<B>(
    request: &Request<B>,
    pages: &Pages,
    recent: &Mutex<Recent>,
    from_here: bool,
) -> Response<Full<Bytes>> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path();
    if let Some(refusal) = guard::refuse(request, pages.loopback, from_here) {
        return refusal.into_response();
    }
    let page = match path {
        PURGE if *request.method() != Method::POST => return not_allowed("POST"),
        PURGE => purge::purge(request, pages).await,
        DENY if reads => deny::list(pages),
        DENY if matches!(*request.method(), Method::POST | Method::DELETE) => {
            deny::change(request, pages)
        }
        DENY => return not_allowed("GET, HEAD, POST, DELETE"),
        "/livez" | READYZ | METRICS | CONFIG | STATUS if !reads => return not_allowed("GET, HEAD"),
        "/livez" => Page::text(StatusCode::OK, "alive\n"),
        READYZ => match pages.readiness.obstacle() {
            None => Page::text(StatusCode::OK, "ready\n"),
            Some(obstacle) => Page::text(StatusCode::SERVICE_UNAVAILABLE, obstacle),
        },
        METRICS => {
            let openmetrics = wants_openmetrics(request);
            let kind = match openmetrics {
                true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
                false => "text/plain; version=0.0.4; charset=utf-8",
            };
            Page {
                kind,
                ..Page::text(StatusCode::OK, pages.exposition.render(openmetrics))
            }
        }
        CONFIG => Page::json(
            StatusCode::OK,
            &effective::effective(&pages.readiness.live.now().config),
        ),
        STATUS => return status(pages, recent),
        _ => {
            let text =
                "here are /, /livez, /readyz, /metrics, /config and /deny, and POST /purge\n";
            Page::text(StatusCode::NOT_FOUND, text)
        }
    };
    page.into_response()
}

/// Notes the figures every so often, for the rates of the status page.
async fn note(pages: Arc<Pages>, recent: Arc<Mutex<Recent>>) {
    let mut ticks = time::interval(figures::EVERY);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Figures::parse(&pages.exposition.render(true));
        recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(now);
    }
}

fn status(pages: &Pages, recent: &Mutex<Recent>) -> Response<Full<Bytes>> {
    let generation = pages.readiness.live.now();
    let config = &generation.config;
    let provider = match &config.entra.other {
        Some(other) => ("issuer", other.issuer.clone()),
        None => ("tenant", config.entra.tenant.clone()),
    };
    let upstreams = config.upstreams.iter();
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION"),
        obstacle: (pages.readiness.obstacle()).map(|text| text.trim_end().to_owned()),
        settings: vec![
            ("listens on", config.listen.to_string()),
            provider,
            ("client id", config.entra.client_id.clone()),
            ("credential", config.entra.credential.describe()),
        ],
        upstreams: upstreams
            .map(|(name, to)| (name.clone(), to.to_string()))
            .collect(),
        cut_off_here: pages.denied.added(),
        now: SystemClock.now().as_unix(),
    };
    let figures = Figures::parse(&pages.exposition.render(true));
    let recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
    let page = Page {
        kind: "text/html; charset=utf-8",
        ..Page::text(StatusCode::OK, status::page(&facts, &figures, &recent))
    };
    drop(recent);
    let mut response = page.into_response();
    let nothing = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let policy = HeaderValue::from_static(nothing);
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// An answer.
#[derive(Debug)]
struct Page {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

impl Page {
    fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            text: text.into(),
        }
    }

    fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        Self {
            kind: "application/json",
            ..Self::text(status, format!("{value}\n"))
        }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let text = format!("only {}\n", methods.replace(", ", " and "));
    let page = Page::text(StatusCode::METHOD_NOT_ALLOWED, text);
    let mut response = page.into_response();
    let allow = HeaderValue::from_static(methods);
    response.headers_mut().insert(ALLOW, allow);
    response
}

/// Whether the reader says that it knows OpenMetrics, as Prometheus does.
fn wants_openmetrics<B>(request: &Request<B>) -> bool {
    let accepted = request.headers().get_all(ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("application/openmetrics-text"))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_let_go() {
        let (mut client, server) = tokio::io::duplex(64);
        let asked = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
        let asking = tokio::spawn(async move {
            let _ = client.write_all(asked.as_bytes()).await;
            std::future::pending::<()>().await;
            drop(client);
        });
        let page = |_| async { Ok(Page::text(StatusCode::OK, "x".repeat(1_000)).into_response()) };
        let served = time::timeout(LONGEST + HEAD_TIMEOUT * 2, converse(server, page)).await;
        assert!(served.is_ok(), "it still waits");
        asking.abort();
    }

    #[tokio::test]
    async fn the_oldest_make_room() {
        let tasks: Vec<_> = (0..4)
            .map(|_| tokio::spawn(std::future::pending::<()>()))
            .collect();
        tasks[1].abort();
        while !tasks[1].is_finished() {
            tokio::task::yield_now().await;
        }
        let mut open = tasks
            .iter()
            .map(tokio::task::JoinHandle::abort_handle)
            .collect();
        make_room(&mut open, 2);
        assert_eq!(open.len(), 2);
        while !tasks[0].is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(!tasks[2].is_finished() && !tasks[3].is_finished());
    }
}
