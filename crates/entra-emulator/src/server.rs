//! The two halves, what they route where, and how they are served.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use axum::serve::Listener;
use tokio::task::JoinHandle;

use crate::state::State;
use crate::taps::{self, Reset, Wire, Wired};
use crate::{arm, control, discovery, grant, graph, pages};

/// Entra ID.
pub(crate) fn entra(state: &Arc<State>) -> Router {
    Router::new()
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            get(discovery::v2),
        )
        .route(
            "/{tenant}/.well-known/openid-configuration",
            get(discovery::v1),
        )
        .route("/common/discovery/instance", get(discovery::instance))
        .route("/{tenant}/discovery/v2.0/keys", get(discovery::keys_v2))
        .route("/{tenant}/discovery/keys", get(discovery::keys_v1))
        .route("/{tenant}/oauth2/v2.0/token", any(grant::token))
        .merge(pages::router(state))
        .merge(control::router(state))
        .layer(from_fn_with_state(state.clone(), taps::entra))
        .with_state(state.clone())
}

/// Azure Resource Manager, and Microsoft Graph beside it: their paths have nothing in common.
pub(crate) fn arm(state: &Arc<State>) -> Router {
    Router::new()
        .route("/subscriptions", get(arm::subscriptions))
        .route("/subscriptions/{id}", get(arm::subscription))
        // ARM's own links have the capital, its documentation has not.
        .route(
            "/subscriptions/{id}/resourcegroups",
            get(arm::resource_groups),
        )
        .route(
            "/subscriptions/{id}/resourceGroups",
            get(arm::resource_groups),
        )
        .route(
            "/subscriptions/{id}/resourcegroups/{name}",
            get(arm::resource_group),
        )
        .route(
            "/subscriptions/{id}/resourceGroups/{name}",
            get(arm::resource_group),
        )
        .route("/tenants", get(arm::tenants))
        // Of the paths so far: another method is refused as ARM does, authentication first.
        .method_not_allowed_fallback(arm::unknown)
        .route("/v1.0/me", get(graph::me).fallback(graph::unknown))
        .route("/v1.0/{*path}", any(graph::directory))
        .route("/oidc/userinfo", get(graph::userinfo).post(graph::userinfo))
        .fallback(arm::unknown)
        .layer(from_fn_with_state(state.clone(), taps::arm))
        // Behind the taps, so that a person who looks isn't counted.
        .route("/", get(pages::home::arm))
        .merge(pages::style())
        .with_state(state.clone())
}

/// Serves until `stop` resolves; then answers what is in flight.
pub(crate) fn serve<L: Listener<Io: Reset, Addr: Debug>>(
    listener: L,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<io::Result<()>> {
    let service = router.into_make_service_with_connect_info::<Wire>();
    tokio::spawn(async move {
        axum::serve(Wired(listener), service)
            .with_graceful_shutdown(stop)
            .await
    })
}
