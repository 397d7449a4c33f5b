//! What the backend answers to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::arm::Arm;

/// `GET /subscriptions` and `GET /healthz`; everything but the latter is counted.
pub(crate) fn router(arm: Arm, requests: Arc<AtomicU64>) -> Router {
    Router::new()
        .route("/subscriptions", get(subscriptions))
        .with_state(Arc::new(arm))
        .layer(middleware::from_fn_with_state(requests, count))
        .route("/healthz", get(|| async { "ok\n" }))
}

async fn subscriptions(
    State(arm): State<Arc<Arm>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match arm.subscriptions(query.as_deref(), &headers).await {
        Ok(response) => {
            tracing::debug!(status = response.status().as_u16(), "answer passed on");
            response
        }
        Err(problem) => {
            tracing::warn!(
                reason = problem.reason(),
                "no answer of Azure Resource Manager"
            );
            problem.into_response()
        }
    }
}

async fn count(State(requests): State<Arc<AtomicU64>>, request: Request, next: Next) -> Response {
    requests.fetch_add(1, Ordering::Relaxed);
    next.run(request).await
}
