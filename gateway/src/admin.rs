//! The admin listener: `/livez` and `/readyz`, for probes. It runs on the control runtime, so that
//! it answers however busy the workers are.

use std::{borrow::Cow, convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, time};

use crate::run::Readiness;

/// Probes are few.
const CONNECTIONS: usize = 64;

/// How long a probe may take to ask; connections between probes are closed after this too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

const READYZ: &str = "/readyz";

/// Serves the admin listener for as long as its runtime runs.
pub(crate) async fn serve(listener: TcpListener, readiness: Readiness) {
    let places = std::sync::Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else {
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
        let readiness = readiness.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let readiness = readiness.clone();
                async move {
                    if request.uri().path() == READYZ {
                        readiness.look().await;
                    }
                    Ok::<_, Infallible>(answer(&request, &readiness))
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

fn answer<B>(request: &Request<B>, readiness: &Readiness) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => (StatusCode::OK, "alive\n".into()),
        (&Method::GET | &Method::HEAD, READYZ) => match readiness.obstacle() {
            None => (StatusCode::OK, Cow::from("ready\n")),
            Some(obstacle) => (StatusCode::SERVICE_UNAVAILABLE, obstacle),
        },
        (_, "/livez" | READYZ) => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into()),
        _ => (
            StatusCode::NOT_FOUND,
            "here are /livez and /readyz\n".into(),
        ),
    };
    let mut response = Response::new(Full::new(match text {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    }));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
