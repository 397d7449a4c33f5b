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
use axum::routing::{get, post};

use crate::state::State;

pub(crate) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/", get(home::entra))
        .route("/control", post(actions::press))
        .route("/style.css", get(home::style))
        .route("/error", get(error_page::explain))
        .route("/{tenant}/oauth2/v2.0/authorize", get(authorize::authorize))
        .route("/{tenant}/oauth2/v2.0/logout", get(logout::logout))
        .route("/sign-in", post(sign_in::submit))
        .route("/account", post(sign_in::choose_account))
        .route("/second-factor", post(sign_in::submit_second_factor))
        .route("/consent", post(consent_page::submit))
        .fallback(error_page::unknown)
}

/// The style sheet, for the ARM half's one page.
pub(crate) fn style() -> Router<Arc<State>> {
    Router::new().route("/style.css", get(home::style))
}
