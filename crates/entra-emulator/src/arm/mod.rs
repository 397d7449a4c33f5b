//! Azure Resource Manager: the user's subscriptions, what is in them, and tenants.
//!
//! <https://learn.microsoft.com/rest/api/resources/subscriptions/list>

mod answer;
mod bearer;
mod one;
mod page;
pub(crate) mod rate;

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::Value;

use self::answer::{ArmError, Ids, Reads};
use self::bearer::Caller;
use self::rate::RateLimit;
use crate::form::Form;
use crate::state::State;

/// Versions of everything here; the answers are the same in all.
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
    read(
        &state,
        &headers,
        query,
        Reads::Tenant,
        |caller, query, version| {
            page::subscriptions(&state, caller, version, query.get("$skiptoken"))
        },
    )
}

/// `GET /subscriptions/{id}`
pub(crate) async fn subscription(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    read(
        &state,
        &headers,
        query,
        Reads::Subscription,
        |caller, _, _| one::subscription(&state, caller, &id),
    )
}

/// `GET /subscriptions/{id}/resourcegroups`
pub(crate) async fn resource_groups(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    read(
        &state,
        &headers,
        query,
        Reads::Subscription,
        |caller, _, _| one::resource_groups(&state, caller, &id),
    )
}

/// `GET /subscriptions/{id}/resourcegroups/{name}`
pub(crate) async fn resource_group(
    Shared(state): Shared<Arc<State>>,
    Path((id, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    read(
        &state,
        &headers,
        query,
        Reads::Subscription,
        |caller, _, _| one::resource_group(&state, caller, &id, &name),
    )
}

/// `GET /tenants`
pub(crate) async fn tenants(
    Shared(state): Shared<Arc<State>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    read(&state, &headers, query, Reads::Tenant, |caller, _, _| {
        Ok(one::tenants(&state, caller))
    })
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

/// What every read goes through: who asks, how often, and for which version.
fn read(
    state: &State,
    headers: &HeaderMap,
    query: Option<String>,
    reads: Reads,
    answer: impl FnOnce(&Caller, &Form, &str) -> Result<Value, ArmError>,
) -> Response {
    let ids = Ids::new(state.now(), headers);
    let query = Form::parse(query.unwrap_or_default().as_bytes());
    let answered = || {
        let caller = bearer::caller(state, headers)?;
        let left = take(state, &caller, reads)?;
        let version = query
            .get("api-version")
            .ok_or_else(ArmError::missing_api_version)?;
        if !API_VERSIONS.contains(&version) {
            return Err(ArmError::invalid_api_version(version, API_VERSIONS));
        }
        Ok((answer(&caller, &query, version)?, left))
    };
    match answered() {
        Ok((body, left)) => ids.success(&body, reads, left),
        Err(error) => ids.failure(&error),
    }
}

/// How many reads the caller has left after this one.
fn take(state: &State, caller: &Caller, reads: Reads) -> Result<u32, ArmError> {
    let Some(limit) = state.settings.arm_rate_limit else {
        return Ok(RateLimit::AZURE_AFTER_ONE);
    };
    let principal = format!("{}/{}", caller.tenant, caller.oid);
    let now = state.now();
    (state.arm_buckets)
        .take(limit, &principal, reads.word(), now)
        .map_err(|seconds| ArmError::throttled(reads, seconds))
}
