//! What Graph accepts of an application, beyond the types of its properties.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Map, Value};
use url::{Host, Url};

use super::answer::GraphError;
use super::permission_ids::{roles, scopes};
use super::project::{text, texts};
use crate::directory::{Application, Directory};

const AUDIENCES: &[&str] = &[
    "AzureADMyOrg",
    "AzureADMultipleOrgs",
    "AzureADandPersonalMicrosoftAccount",
];

/// Refuses what can't be the properties of an application, `before` being those that it has now.
pub(super) fn check(
    app: &Application,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    directory: &Directory,
) -> Result<(), GraphError> {
    if text(&after["displayName"]).is_empty() {
        return Err(GraphError::missing("displayName"));
    }
    let audience = text(&after["signInAudience"]);
    if !AUDIENCES.contains(&&*audience) {
        let why = format!("entra-emulator knows {}.", AUDIENCES.join(", "));
        return Err(GraphError::invalid("signInAudience", &why));
    }
    match after["api"]["requestedAccessTokenVersion"].as_i64() {
        Some(2) => {}
        None | Some(1) if audience != "AzureADandPersonalMicrosoftAccount" => {}
        _ => {
            return Err(GraphError::invalid(
                "api.requestedAccessTokenVersion",
                "it is 1, 2 or null, and 2 where personal accounts sign in.",
            ));
        }
    }
    if after["api"]["preAuthorizedApplications"] != Value::Array(Vec::new()) {
        return Err(GraphError::invalid(
            "api.preAuthorizedApplications",
            "entra-emulator does not emulate it.",
        ));
    }
    for uri in texts(&after["identifierUris"]) {
        if !texts(&before["identifierUris"]).contains(&uri) {
            identifier_uri(app, &uri, directory)?;
        }
    }
    for platform in ["web", "spa", "publicClient"] {
        for uri in texts(&after[platform]["redirectUris"]) {
            redirect_uri(&format!("{platform}.redirectUris"), &uri)?;
        }
    }
    let scopes_of =
        |properties: &Map<String, Value>| list(&properties["api"]["oauth2PermissionScopes"]);
    permissions("api.oauth2PermissionScopes", &scopes_of(after))?;
    permissions("appRoles", &list(&after["appRoles"]))?;
    kept(
        "api.oauth2PermissionScopes",
        &scopes_of(before),
        &scopes_of(after),
    )?;
    kept(
        "appRoles",
        &list(&before["appRoles"]),
        &list(&after["appRoles"]),
    )?;
    required(app, before, after, directory)
}

/// Tenants allow what is unmistakably theirs, unless they say otherwise, and nothing twice.
fn identifier_uri(app: &Application, uri: &str, directory: &Directory) -> Result<(), GraphError> {
    let parsed = Url::parse(uri)
        .map_err(|_| GraphError::invalid("identifierUris", &format!("{uri:?} is no URI.")))?;
    let tenant = directory.tenant(&app.tenant);
    let domain = tenant.map(|tenant| tenant.domain.to_ascii_lowercase());
    let host = parsed.host_str().unwrap_or_default().to_ascii_lowercase();
    let verified =
        domain.is_some_and(|domain| host == domain || host.ends_with(&format!(".{domain}")));
    if !verified && !uri.contains(&app.client_id) && !uri.contains(&app.tenant) {
        return Err(GraphError::bad(format!(
            "Failed to add identifier URI {uri}. All newly added URIs must contain a tenant verified domain, tenant ID, or app ID, as per the default tenant policy of your organization."
        )));
    }
    let taken = directory
        .resource(uri)
        .is_some_and(|other| other.client_id != app.client_id);
    if taken {
        return Err(GraphError::there_already(
            StatusCode::BAD_REQUEST,
            "Another object with the same value for property identifierUris already exists.",
        ));
    }
    Ok(())
}

fn redirect_uri(at: &str, uri: &str) -> Result<(), GraphError> {
    let wrong = |why: &str| Err(GraphError::invalid(at, &format!("{uri:?} {why}")));
    let Ok(parsed) = Url::parse(uri) else {
        return wrong("is no URI.");
    };
    let loopback = match parsed.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if at.starts_with("publicClient") {
        return Ok(());
    }
    match parsed.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return wrong("must start with 'HTTPS' or 'http://localhost'."),
    }
    if parsed.fragment().is_some() || uri.contains('*') {
        return wrong("must have neither a fragment nor a wildcard.");
    }
    Ok(())
}

/// Scopes or roles: whole, and none twice.
fn permissions(at: &str, all: &[Value]) -> Result<(), GraphError> {
    let (mut ids, mut values) = (BTreeSet::new(), BTreeSet::new());
    let texts: &[&str] = if at == "appRoles" {
        &["id", "displayName", "description"]
    } else {
        &[
            "id",
            "value",
            "adminConsentDisplayName",
            "adminConsentDescription",
        ]
    };
    for one in all {
        for name in texts {
            if text(&one[*name]).is_empty() {
                return Err(GraphError::missing(&format!("{at}.{name}")));
            }
        }
        if !one["isEnabled"].is_boolean() {
            return Err(GraphError::missing(&format!("{at}.isEnabled")));
        }
        if at != "appRoles" && !["User", "Admin"].contains(&&*text(&one["type"])) {
            return Err(GraphError::invalid(
                &format!("{at}.type"),
                "it is User or Admin.",
            ));
        }
        if !ids.insert(text(&one["id"]).to_ascii_lowercase()) {
            return Err(GraphError::invalid(at, "an id is there twice."));
        }
        let value = text(&one["value"]);
        if !value.is_empty() && !values.insert(value) {
            return Err(GraphError::invalid(at, "a value is there twice."));
        }
    }
    Ok(())
}

/// What is enabled is in use: it can be disabled, and only then be taken away or be called otherwise.
fn kept(at: &str, before: &[Value], after: &[Value]) -> Result<(), GraphError> {
    for old in before.iter().filter(|one| one["isEnabled"] == true) {
        let id = text(&old["id"]);
        let same = |one: &&Value| text(&one["id"]).eq_ignore_ascii_case(&id);
        let new = after.iter().find(same);
        if new.is_none_or(|new| new["value"] != old["value"]) {
            return Err(GraphError::bad_as(
                "CannotDeleteOrUpdateEnabledEntitlement",
                format!(
                    "Property {at} ({}) cannot be updated or deleted unless it is disabled first.",
                    text(&old["value"])
                ),
            ));
        }
    }
    Ok(())
}

/// Stricter than Graph, which finds out at the sign-in: what is newly asked for is there. What was listed before may
/// have been deleted since, and does not stand in the way of other changes.
fn required(
    app: &Application,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    directory: &Directory,
) -> Result<(), GraphError> {
    let at = "requiredResourceAccess";
    let before = list(&before[at]);
    for one in list(&after[at]) {
        if before.contains(&one) {
            continue;
        }
        let id = text(&one["resourceAppId"]);
        let resource = directory
            .application(&id)
            .filter(|resource| resource.is_in(&app.tenant) || resource.tenant == app.tenant)
            .ok_or_else(|| {
                let why = format!("entra-emulator has no application {id:?} in this tenant.");
                GraphError::invalid(at, &why)
            })?;
        for access in list(&one["resourceAccess"]) {
            let known = match &*text(&access["type"]) {
                "Scope" => scopes(resource),
                "Role" => roles(resource),
                _ => return Err(GraphError::invalid(at, "type is Scope or Role.")),
            };
            let wanted = text(&access["id"]);
            if !known.iter().any(|(_, id)| id.eq_ignore_ascii_case(&wanted)) {
                let why = format!(
                    "{} exposes no permission {wanted:?} of this type.",
                    resource.display_name
                );
                return Err(GraphError::invalid(at, &why));
            }
        }
    }
    Ok(())
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
