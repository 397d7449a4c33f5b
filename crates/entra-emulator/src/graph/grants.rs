//! `/oauth2PermissionGrants`: what was consented to, by users or by an administrator for everybody.
//!
//! <https://learn.microsoft.com/graph/api/resources/oauth2permissiongrant>

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::{Done, GraphError};
use super::directory::{Call, Key};
use super::permission_ids::scopes;
use super::{principals, schema};
use crate::directory::{Application, Consent, Directory};
use crate::encoding::sha256_base64url;

const READ: &[&str] = &[WRITE[0], "Directory.Read.All"];
const WRITE: &[&str] = &["DelegatedPermissionGrant.ReadWrite.All"];
const FILTERABLE: &[&str] = &["clientId", "consentType", "id", "principalId", "resourceId"];
const COLLECTION: &str = "oauth2PermissionGrants";

pub(super) fn answer(
    call: &Call<'_>,
    key: Option<&Key<'_>>,
    below: &[&str],
) -> Option<Result<Done, GraphError>> {
    let key = match key {
        Some(Key::AppId(_)) => return None,
        Some(Key::Id(id)) => Some(*id),
        None => None,
    };
    Some(match (call.method, key, below) {
        (&Method::GET, None, _) => list(call),
        (&Method::POST, None, _) => create(call),
        (&Method::GET, Some(id), []) => read(call, id),
        (&Method::PATCH, Some(id), []) => change(call, id),
        (&Method::DELETE, Some(id), []) => remove(call, id),
        _ => return None,
    })
}

fn list(call: &Call<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(READ)?;
    let directory = call.state.directory();
    let own = directory
        .consents
        .iter()
        .filter(|consent| consent.tenant == call.caller.tenant);
    let shown = own.map(|consent| show(consent, &directory)).collect();
    call.list(COLLECTION, "OAuth2PermissionGrant", shown, FILTERABLE)
}

fn read(call: &Call<'_>, id: &str) -> Result<Done, GraphError> {
    call.caller.needs_one_of(READ)?;
    let directory = call.state.directory();
    let place = place(call, &directory, id)?;
    Ok(call.one(COLLECTION, show(&directory.consents[place], &directory)))
}

fn create(call: &Call<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    let written = schema::read(call.body, schema::GRANT)?;
    call.state.update(|directory| {
        let consent = consent(call, &written, directory)?;
        let same = id(&consent);
        if directory.consents.iter().any(|known| id(known) == same) {
            return Err(GraphError::there_already(
                StatusCode::CONFLICT,
                "Permission entry already exists.",
            ));
        }
        let shown = call.with_context(COLLECTION, show(&consent, directory));
        directory.grant(consent);
        Ok(Done::Made(shown))
    })
}

fn change(call: &Call<'_>, id: &str) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    let written = schema::read(call.body, schema::GRANT)?;
    if let Some(other) = written.keys().find(|name| *name != "scope") {
        return Err(GraphError::read_only(other));
    }
    call.state.update(|directory| {
        let place = place(call, directory, id)?;
        let resource = directory
            .application(&directory.consents[place].resource)
            .ok_or_else(|| GraphError::not_found(id))?;
        let values = values(&written, resource)?;
        directory.consents[place].scopes = values.into_iter().collect();
        Ok(Done::Changed)
    })
}

fn remove(call: &Call<'_>, id: &str) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    call.state.update(|directory| {
        let place = place(call, directory, id)?;
        directory.consents.remove(place);
        Ok(Done::Changed)
    })
}

fn consent(
    call: &Call<'_>,
    written: &Map<String, Value>,
    directory: &Directory,
) -> Result<Consent, GraphError> {
    let tenant = &call.caller.tenant;
    let text = |name: &str| written.get(name).and_then(Value::as_str);
    let principal = |name: &str| {
        let id = text(name).ok_or_else(|| GraphError::missing(name))?;
        principals::find(directory, tenant, &Key::Id(id))
    };
    let (client, resource) = (principal("clientId")?, principal("resourceId")?);
    let values = values(written, resource)?;
    let of =
        |user: &str| Consent::new(tenant, user, &client.client_id, &resource.client_id, values);
    match (text("consentType"), text("principalId")) {
        (Some("AllPrincipals"), None) => Ok(of("").for_everyone()),
        (Some("Principal"), Some(user)) => match directory.user_in(tenant, user) {
            Some(_) => Ok(of(user)),
            None => Err(GraphError::not_found(user)),
        },
        _ => Err(GraphError::invalid(
            "consentType",
            "it is AllPrincipals without a principalId, or Principal with one.",
        )),
    }
}

/// Stricter than Graph: what is granted is there.
fn values(written: &Map<String, Value>, resource: &Application) -> Result<Vec<String>, GraphError> {
    let scope = written.get("scope").and_then(Value::as_str);
    let scope = scope.ok_or_else(|| GraphError::missing("scope"))?;
    let known = scopes(resource);
    let each = scope.split_ascii_whitespace().map(|value| {
        if known.iter().any(|(own, _)| own == value) {
            Ok(value.to_owned())
        } else {
            let why = format!("{} exposes no scope {value:?}.", resource.display_name);
            Err(GraphError::invalid("scope", &why))
        }
    });
    each.collect()
}

fn place(call: &Call<'_>, directory: &Directory, wanted: &str) -> Result<usize, GraphError> {
    directory
        .consents
        .iter()
        .position(|consent| consent.tenant == call.caller.tenant && id(consent) == wanted)
        .ok_or_else(|| GraphError::not_found(wanted))
}

fn show(consent: &Consent, directory: &Directory) -> Value {
    let principal = |client_id: &str| {
        let app = directory.application(client_id)?;
        Some(app.principal_id(&consent.tenant))
    };
    let kind = match consent.user {
        Some(_) => "Principal",
        None => "AllPrincipals",
    };
    let scopes: Vec<&str> = consent.scopes.iter().map(String::as_str).collect();
    json!({
        "clientId": principal(&consent.client_id),
        "consentType": kind,
        "id": id(consent),
        "principalId": consent.user,
        "resourceId": principal(&consent.resource),
        "scope": scopes.join(" "),
    })
}

/// Opaque, as Graph's.
fn id(consent: &Consent) -> String {
    sha256_base64url(&format!(
        "grant {} {:?} {} {}",
        consent.tenant, consent.user, consent.client_id, consent.resource
    ))
}
