//! Microsoft Graph: who the user is, and the part of the directory that registering an application needs. It lives on the
//! same listeners as Azure Resource Manager.
//!
//! <https://learn.microsoft.com/graph/api/user-get>

mod answer;
mod applications;
mod bearer;
mod credentials;
mod directory;
mod federated;
mod filter;
mod grants;
mod permission_ids;
mod principals;
mod project;
mod query;
mod rules;
mod schema;
mod view;

pub(crate) use self::directory::directory;
pub(crate) use self::project::project;

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use self::answer::{GraphError, Ids};
use self::bearer::Caller;
use crate::state::State;

/// The delegated permission that `/me` needs.
const READ: &str = "User.Read";

/// `GET /v1.0/me`
pub(crate) async fn me(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> Response {
    let ids = Ids::new(state.now(), &headers);
    match profile(&state, &headers) {
        Ok(user) => ids.success(&user),
        Err(error) => ids.failure(&state, &error),
    }
}

/// `GET /oidc/userinfo` (OpenID Connect Core §5.3): what the ID token says, too.
pub(crate) async fn userinfo(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> Response {
    let ids = Ids::new(state.now(), &headers);
    match information(&state, &headers) {
        Ok(user) => ids.success(&user),
        Err(error) => ids.failure(&state, &error),
    }
}

/// Anything else of Graph: refused as Graph does, authentication first.
pub(crate) async fn unknown(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let ids = Ids::new(state.now(), &headers);
    let error = Caller::of(&state, &headers)
        .err()
        .unwrap_or_else(|| GraphError::not_emulated(&method, uri.path()));
    ids.failure(&state, &error)
}

fn profile(state: &State, headers: &HeaderMap) -> Result<Value, GraphError> {
    let caller = Caller::of(state, headers)?;
    let user = caller.user(state)?;
    if !caller.may(READ) {
        return Err(GraphError::denied());
    }
    let (given, family) = user
        .display_name
        .split_once(' ')
        .unwrap_or((&user.display_name, ""));
    Ok(json!({
        "@odata.context": format!("{}/v1.0/$metadata#users/$entity", state.arm_url),
        "businessPhones": [],
        "displayName": user.display_name,
        "givenName": given,
        "jobTitle": null,
        "mail": user.username,
        "mobilePhone": null,
        "officeLocation": null,
        "preferredLanguage": null,
        "surname": family,
        "userPrincipalName": user.username,
        "id": caller.oid,
    }))
}

fn information(state: &State, headers: &HeaderMap) -> Result<Value, GraphError> {
    let caller = Caller::of(state, headers)?;
    let user = caller.user(state)?;
    if !caller.may("openid") {
        return Err(GraphError::denied());
    }
    let mut information = json!({"sub": caller.subject});
    if caller.may("profile") {
        information["name"] = user.display_name.clone().into();
    }
    if caller.may("email") {
        information["email"] = user.username.into();
    }
    Ok(information)
}
