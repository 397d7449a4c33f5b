//! The admin listener: `/livez` and `/readyz` for probes, `/metrics` for Prometheus. It runs on the control runtime, so that
//! it answers however busy the workers are.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, time};

use crate::{metrics::Exposition, run::Readiness};

/// Probes are few.
const CONNECTIONS: usize = 64;

/// How long a probe may take to ask; connections between probes are closed after this too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

const READYZ: &str = "/readyz";
const METRICS: &str = "/metrics";

/// What it has to tell.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) readiness: Readiness,
    pub(crate) exposition: Exposition,
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
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let pages = Arc::clone(&pages);
                async move {
                    if matches!(request.uri().path(), READYZ | METRICS) {
                        pages.readiness.look().await;
                    }
                    Ok::<_, Infallible>(answer(&request, &pages))
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
            drop(place);
        });
    }
}

fn answer<B>(request: &Request<B>, pages: &Pages) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let openmetrics = wants_openmetrics(request);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, kind, text) = match request.uri().path() {
        "/livez" | READYZ | METRICS if !reads => {
            let text = "only GET and HEAD\n".into();
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, text)
        }
        "/livez" => (StatusCode::OK, TEXT, "alive\n".into()),
        READYZ => match pages.readiness.obstacle() {
            None => (StatusCode::OK, TEXT, "ready\n".into()),
            Some(obstacle) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, obstacle.into_owned()),
        },
        METRICS => {
            let kind = match openmetrics {
                true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
                false => "text/plain; version=0.0.4; charset=utf-8",
            };
            (StatusCode::OK, kind, pages.exposition.render(openmetrics))
        }
        _ => {
            let text = "here are /livez, /readyz and /metrics\n".into();
            (StatusCode::NOT_FOUND, TEXT, text)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Whether the reader says that it knows OpenMetrics, as Prometheus does.
fn wants_openmetrics<B>(request: &Request<B>) -> bool {
    let accepted = request.headers().get_all(ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("application/openmetrics-text"))
}
