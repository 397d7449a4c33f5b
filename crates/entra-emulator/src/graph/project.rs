//! From what was written by way of Graph to what the emulator goes by: sign-in, consent and tokens.

use serde_json::{Map, Value};

use super::permission_ids::{OPENID, scopes};
use crate::directory::{Application, Directory, Permission, Scope, TokenVersion, demo};

/// Brings every registration that Graph wrote up to date. One may name what another exposes, so that all are looked at.
pub(crate) fn project(directory: &mut Directory) {
    let all = directory.applications.clone();
    for app in &mut directory.applications {
        let Some(properties) = app.registration.properties.clone() else {
            continue;
        };
        own(app, &properties);
        app.required = required(&properties, &all);
    }
}

fn own(app: &mut Application, properties: &Map<String, Value>) {
    let value = |name: &str| properties.get(name).unwrap_or(&Value::Null);
    let (api, web) = (value("api"), value("web"));
    app.display_name = text(value("displayName"));
    app.app_id_uris = texts(value("identifierUris"));
    app.multi_tenant = value("signInAudience") != "AzureADMyOrg";
    app.redirect_uris = [web, value("spa"), value("publicClient")]
        .iter()
        .flat_map(|platform| texts(&platform["redirectUris"]))
        .collect();
    // Entra ID sends a browser back after sign-out wherever it would after sign-in. The configuration has a list of its
    // own for it, which Graph does not show, and what is there stays.
    if app.registration.made.is_some() {
        app.post_logout_redirect_uris.clear();
    }
    for uri in &app.redirect_uris {
        if !app.post_logout_redirect_uris.contains(uri) {
            app.post_logout_redirect_uris.push(uri.clone());
        }
    }
    app.known_client_applications = texts(&api["knownClientApplications"]);
    app.token_version = match api["requestedAccessTokenVersion"].as_i64() {
        Some(2) => TokenVersion::V2,
        _ => TokenVersion::V1,
    };
    app.scopes = enabled(&api["oauth2PermissionScopes"])
        .map(|scope| {
            let shown = [
                &scope["userConsentDisplayName"],
                &scope["adminConsentDisplayName"],
            ];
            let shown = shown.into_iter().find(|text| text.is_string());
            Scope::new(text(&scope["value"]), shown.map(text).unwrap_or_default())
        })
        .collect();
    app.app_roles = enabled(value("appRoles"))
        .filter(|role| texts(&role["allowedMemberTypes"]).contains(&"Application".to_owned()))
        .map(|role| text(&role["value"]))
        .collect();
    let claims = value("optionalClaims")["accessToken"].as_array();
    app.idtyp = claims
        .into_iter()
        .flatten()
        .any(|claim| claim["name"] == "idtyp");
}

/// What was asked for of applications that are there, as values. OpenID Connect's scopes are asked for by every sign-in
/// itself.
fn required(properties: &Map<String, Value>, all: &[Application]) -> Vec<Permission> {
    let listed = properties
        .get("requiredResourceAccess")
        .and_then(Value::as_array);
    let each = listed.into_iter().flatten().filter_map(|one| {
        let id = one["resourceAppId"].as_str()?;
        let resource = all
            .iter()
            .find(|app| app.client_id.eq_ignore_ascii_case(id))?;
        let known = scopes(resource);
        let values: Vec<String> = one["resourceAccess"]
            .as_array()?
            .iter()
            .filter(|access| access["type"] == "Scope")
            .filter_map(|access| {
                let wanted = access["id"].as_str()?;
                let (value, _) = known
                    .iter()
                    .find(|(_, id)| id.eq_ignore_ascii_case(wanted))?;
                Some(value.clone())
            })
            .filter(|value| {
                resource.client_id != demo::GRAPH_CLIENT_ID || !OPENID.contains(&&**value)
            })
            .collect();
        (!values.is_empty()).then(|| Permission::new(&resource.client_id, values))
    });
    each.collect()
}

fn enabled(list: &Value) -> impl Iterator<Item = &Value> {
    let each = list.as_array().into_iter().flatten();
    each.filter(|one| one["isEnabled"] == true)
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn texts(value: &Value) -> Vec<String> {
    let each = value.as_array().into_iter().flatten();
    each.map(text).collect()
}
