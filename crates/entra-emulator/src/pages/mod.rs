//! What a person sees.

pub(crate) mod home;
pub(crate) mod session;

use std::sync::Arc;

use axum::Router;

use crate::state::State;

pub(crate) fn router() -> Router<Arc<State>> {
    Router::new()
}
