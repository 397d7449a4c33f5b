//! The ids of scopes and roles. Those of Microsoft's own are the same in every tenant of the world; those of the
//! configuration are made of their names, and those that Graph made say their own.

use serde_json::Value;

use crate::directory::{Application, demo};
use crate::encoding::guid_of;

/// OpenID Connect's scopes. They are Graph's, though the sign-in treats them apart.
pub(super) const OPENID: [&str; 4] = ["email", "offline_access", "openid", "profile"];

/// Client id, value and id: <https://learn.microsoft.com/graph/permissions-reference>.
const KNOWN: &[(&str, &str, &str)] = &[
    (
        demo::ARM_CLIENT_ID,
        "user_impersonation",
        "41094075-9dad-400e-a0bd-54e686782033",
    ),
    (
        demo::GRAPH_CLIENT_ID,
        "User.Read",
        "e1fe6dd8-ba31-4d61-89e7-88639da4683d",
    ),
    (
        demo::GRAPH_CLIENT_ID,
        "email",
        "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0",
    ),
    (
        demo::GRAPH_CLIENT_ID,
        "offline_access",
        "7427e0e9-2fba-42fe-b0c0-848c9e6a8182",
    ),
    (
        demo::GRAPH_CLIENT_ID,
        "openid",
        "37f7f235-527c-4136-accd-4a02d197296e",
    ),
    (
        demo::GRAPH_CLIENT_ID,
        "profile",
        "14dad69e-099b-42c9-810b-d002981feec1",
    ),
    (
        demo::GRAPH_CLIENT_ID,
        "Application.ReadWrite.All",
        "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
    ),
    (
        demo::GRAPH_CLIENT_ID,
        "DelegatedPermissionGrant.ReadWrite.All",
        "8e8e4742-1d95-4f68-9d56-6ee75648c72a",
    ),
];

/// The id of a scope or a role of a registration that Graph has not written.
pub(super) fn id_of(app: &Application, value: &str) -> String {
    KNOWN
        .iter()
        .find(|(client, known, _)| *client == app.client_id && *known == value)
        .map_or_else(
            || guid_of(&format!("permission {value} of {}", app.client_id)),
            |(_, _, id)| (*id).to_owned(),
        )
}

/// The values of the scopes of an application, each with its id.
pub(super) fn scopes(app: &Application) -> Vec<(String, String)> {
    if let Some(properties) = &app.registration.properties {
        return written(&properties["api"]["oauth2PermissionScopes"]);
    }
    let openid: &[&str] = if app.client_id == demo::GRAPH_CLIENT_ID {
        &OPENID
    } else {
        &[]
    };
    let own = app.scopes.iter().map(|scope| &*scope.value);
    own.chain(openid.iter().copied())
        .map(|value| (value.to_owned(), id_of(app, value)))
        .collect()
}

/// The values of its application roles, each with its id.
pub(super) fn roles(app: &Application) -> Vec<(String, String)> {
    if let Some(properties) = &app.registration.properties {
        return written(&properties["appRoles"]);
    }
    let own = app.app_roles.iter();
    own.map(|value| (value.clone(), id_of(app, value)))
        .collect()
}

fn written(list: &Value) -> Vec<(String, String)> {
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let each = list.as_array().into_iter().flatten();
    each.map(|one| (text(one, "value"), text(one, "id")))
        .collect()
}
