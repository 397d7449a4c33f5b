//! Which path is what.

use std::sync::Arc;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use tower_sessions::Session;

use crate::config::CALLBACK;
use crate::failure::{Failure, HOME};
use crate::return_path::return_path;
use crate::ui::Ui;
use crate::{assets, happened, login, security, sessions, subscriptions};

/// Longest form that is read, in bytes.
const MAX_FORM: usize = 8 * 1024;

pub(crate) fn router(ui: Arc<Ui>) -> Router {
    let shared = |ui: &Arc<Ui>| Arc::clone(ui);
    // Layers, outermost last.
    Router::new()
        .route("/", get(subscriptions::table))
        .route("/raw", get(subscriptions::raw))
        .route("/what-happened", get(happened::happened))
        .route("/account/login", get(login::login))
        .route(CALLBACK, get(login::callback))
        .route("/account/logout", post(login::logout))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(shared(&ui))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(sessions::layer(&ui.settings, ui.shared.as_ref()))
        .layer(middleware::from_fn_with_state(
            shared(&ui),
            sessions_are_there,
        ))
        .layer(middleware::from_fn_with_state(
            shared(&ui),
            security::use_public_name,
        ))
        .merge(assets::router())
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(middleware::from_fn_with_state(ui, security::set_headers))
        .layer(middleware::from_fn(log))
}

async fn not_found(State(ui): State<Arc<Ui>>, session: Session) -> Response {
    Failure::new(
        StatusCode::NOT_FOUND,
        "There is no such page",
        "The address may have a mistake in it.",
    )
    .action(HOME)
    .respond(ui.visitor(&session).await)
}

async fn method_not_allowed(State(ui): State<Arc<Ui>>, session: Session) -> Response {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "That can't be done by following a link",
        "Nothing was changed. Use the buttons on the pages of this app.",
    )
    .action(HOME)
    .respond(ui.visitor(&session).await)
}

/// Without its store the app knows nobody: to say so is better than to show everybody the page for
/// those who are not signed in.
async fn sessions_are_there(State(ui): State<Arc<Ui>>, request: Request, next: Next) -> Response {
    let here = return_path(Some(request.uri().path()));
    if let Some(shared) = &ui.shared
        && !shared.is_there().await
    {
        tracing::error!("the store of sessions does not answer");
        return Failure::no_sessions(here).respond(None);
    }
    let response = next.run(request).await;
    // All that the layer of sessions says where it can't save one; our own failures have pages.
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR
        && response.body().size_hint().exact() == Some(0)
    {
        return Failure::session_not_kept(here).respond(None);
    }
    response
}

/// One line per request: the path, never the query, which holds codes and states.
async fn log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    tracing::debug!(%method, %path, status = response.status().as_u16(), "answered");
    response
}
