//! Azure Resource Manager: the user's subscriptions.
//!
//! <https://learn.microsoft.com/rest/api/resources/subscriptions/list>

mod answer;
mod bearer;
mod page;

use std::sync::Arc;

use axum::extract::{RawQuery, State as Shared};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;

use self::answer::{ArmError, Ids};
use crate::form::Form;
use crate::state::State;

/// Versions of `GET /subscriptions`; the answer is the same in all.
const API_VERSIONS: &[&str] = &[
    "2014-04-01-preview",
    "2015-01-01",
    "2016-06-01",
    "2018-06-01",
    "2019-06-01",
    "2019-11-01",
    "2020-01-01",
    "2021-01-01",
    "2022-12-01",
];

/// `GET /subscriptions?api-version=2022-12-01`
pub(crate) async fn subscriptions(
    Shared(state): Shared<Arc<State>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let ids = Ids::new(state.now(), &headers);
    let query = Form::parse(query.unwrap_or_default().as_bytes());
    match list(&state, &headers, &query) {
        Ok(body) => ids.success(&body),
        Err(error) => ids.failure(&error),
    }
}

/// Anything else: refused as ARM does, authentication first.
pub(crate) async fn unknown(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let ids = Ids::new(state.now(), &headers);
    let error = bearer::caller(&state, &headers)
        .err()
        .unwrap_or_else(|| ArmError::not_emulated(&method, uri.path()));
    ids.failure(&error)
}

fn list(state: &State, headers: &HeaderMap, query: &Form) -> Result<serde_json::Value, ArmError> {
    let caller = bearer::caller(state, headers)?;
    let version = query
        .get("api-version")
        .ok_or_else(ArmError::missing_api_version)?;
    if !API_VERSIONS.contains(&version) {
        return Err(ArmError::invalid_api_version(version, API_VERSIONS));
    }
    page::subscriptions(state, &caller, version, query.get("$skiptoken"))
}
