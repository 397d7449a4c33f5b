//! What a person sees: sign-in, consent, sign-out, the home page.

mod actions;
mod authorize;
mod browser;
mod consent;
mod consent_page;
mod error_page;
mod flow;
pub(crate) mod home;
mod html;
mod logout;
mod redirect;
mod requests;
pub(crate) mod session;
mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};

use crate::control::host_is_ours;
use crate::state::State;

pub(crate) fn router(state: &Arc<State>) -> Router<Arc<State>> {
    Router::new()
        .route("/", get(home::entra))
        .route("/control", post(actions::press))
        .route("/style.css", get(home::style))
        .route("/ca.pem", get(home::ca))
        .route("/error", get(error_page::explain))
        .route("/{tenant}/oauth2/v2.0/authorize", get(authorize::authorize))
        .route("/{tenant}/oauth2/v2.0/logout", get(logout::logout))
        .route("/sign-in", post(sign_in::submit))
        .route("/account", post(sign_in::choose_account))
        .route("/second-factor", post(sign_in::submit_second_factor))
        .route("/consent", post(consent_page::submit))
        .fallback(error_page::unknown)
        .layer(from_fn_with_state(state.clone(), by_its_own_name))
}

/// A name that somebody has made to point here (DNS rebinding) would let their page read these.
async fn by_its_own_name(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    if host_is_ours(request.headers(), &state.url) {
        return next.run(request).await;
    }
    error_page::plain(
        StatusCode::FORBIDDEN,
        "The emulator shows its pages under the address that it names itself by, localhost, or an IP address alone.",
    )
}

/// The style sheet, for the ARM half's one page.
pub(crate) fn style() -> Router<Arc<State>> {
    Router::new().route("/style.css", get(home::style))
}
