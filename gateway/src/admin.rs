//! The admin listener: `/livez` and `/readyz` for probes, `/metrics` for Prometheus, `/purge` for
//! whoever is on call. It runs on the control runtime, so that it answers however busy the workers are.

mod guard;
mod purge;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, time};

use crate::{metrics::Exposition, readiness::Readiness};

/// Probes are few.
const CONNECTIONS: usize = 64;

/// How long a probe may take to ask; connections between probes are closed after this too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

const READYZ: &str = "/readyz";
const METRICS: &str = "/metrics";
const PURGE: &str = "/purge";

/// What it has to tell.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) readiness: Readiness,
    pub(crate) exposition: Exposition,
    /// Whether it listens on loopback.
    pub(crate) loopback: bool,
}

/// Serves the admin listener for as long as its runtime runs.
pub(crate) async fn serve(listener: TcpListener, pages: Pages) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let pages = Arc::new(pages);
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting an admin connection failed");
                time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let pages = Arc::clone(&pages);
        let counted = pages.exposition.admin_connection();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let pages = Arc::clone(&pages);
                async move {
                    if matches!(request.uri().path(), READYZ | METRICS) {
                        pages.readiness.look().await;
                    }
                    Ok::<_, Infallible>(answer(&request, &pages).await)
                }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "an admin connection ended");
            }
            drop((place, counted));
        });
    }
}

async fn answer<B>(request: &Request<B>, pages: &Pages) -> Response<Full<Bytes>> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path();
    if let Some(refusal) = guard::refuse(request, pages.loopback) {
        return refusal.into_response();
    }
    let page = match path {
        PURGE if *request.method() != Method::POST => return not_allowed("POST"),
        PURGE => purge::purge(request, pages).await,
        "/livez" | READYZ | METRICS if !reads => return not_allowed("GET, HEAD"),
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
        _ => {
            let text = "here are /livez, /readyz and /metrics, and POST /purge\n";
            Page::text(StatusCode::NOT_FOUND, text)
        }
    };
    page.into_response()
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
