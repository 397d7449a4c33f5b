//! `/servicePrincipals`: the applications that can be used in the caller's tenant, Microsoft's own among them.
//!
//! <https://learn.microsoft.com/graph/api/resources/serviceprincipal>

use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::answer::{Done, GraphError};
use super::applications::{READ, WRITE};
use super::directory::{Call, Key};
use super::{schema, view};
use crate::directory::{Application, Directory};

const FILTERABLE: &[&str] = &[
    "accountEnabled",
    "appId",
    "displayName",
    "id",
    "servicePrincipalNames",
    "servicePrincipalType",
];

pub(super) fn answer(
    call: &Call<'_>,
    key: Option<&Key<'_>>,
    below: &[&str],
) -> Option<Result<Done, GraphError>> {
    Some(match (call.method, key, below) {
        (&Method::GET, None, _) => list(call),
        (&Method::POST, None, _) => create(call),
        (&Method::GET, Some(key), []) => read(call, key),
        (&Method::PATCH, Some(key), []) => change(call, key),
        (&Method::DELETE, Some(key), []) => remove(call, key),
        _ => return None,
    })
}

fn list(call: &Call<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(READ)?;
    let directory = call.state.directory();
    let tenant = &call.caller.tenant;
    let here = directory
        .applications
        .iter()
        .filter(|app| app.is_in(tenant));
    let shown = here
        .map(|app| view::principal(app, tenant, &directory))
        .collect();
    call.list("servicePrincipals", "ServicePrincipal", shown, FILTERABLE)
}

fn read(call: &Call<'_>, key: &Key<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(READ)?;
    let directory = call.state.directory();
    let app = find(&directory, &call.caller.tenant, key)?;
    let shown = view::principal(app, &call.caller.tenant, &directory);
    Ok(call.one("servicePrincipals", shown))
}

fn create(call: &Call<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    let written = schema::read(call.body, schema::PRINCIPAL)?;
    let Some(client_id) = written.get("appId").and_then(Value::as_str) else {
        return Err(GraphError::missing("appId"));
    };
    let tenant = &call.caller.tenant;
    call.state.update(|directory| {
        let found = directory
            .application_mut(client_id)
            .filter(|app| app.tenant == *tenant || app.is_in(tenant));
        let Some(app) = found else {
            return Err(GraphError::bad_as(
                "NoBackingApplicationObject",
                format!(
                    "The appId '{client_id}' of the service principal does not reference a valid application object."
                ),
            ));
        };
        if app.is_in(tenant) {
            return Err(GraphError::there_already(
                StatusCode::CONFLICT,
                format!(
                    "The service principal cannot be created, updated, or restored because the service principal name {client_id} is already in use."
                ),
            ));
        }
        // Last: what is refused makes nothing.
        set(app, &written)?;
        app.registration.no_principal = false;
        let app = app.clone();
        let shown = view::principal(&app, tenant, directory);
        Ok(Done::Made(call.with_context("servicePrincipals", shown)))
    })
}

fn change(call: &Call<'_>, key: &Key<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    let mut written = schema::read(call.body, schema::PRINCIPAL)?;
    if written.remove("appId").is_some() {
        return Err(GraphError::read_only("appId"));
    }
    call.state.update(|directory| {
        let app = own(directory, call, key)?;
        set(app, &written)?;
        Ok(Done::Changed)
    })
}

fn remove(call: &Call<'_>, key: &Key<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    call.state.update(|directory| {
        let app = own(directory, call, key)?;
        app.registration.no_principal = true;
        let client_id = app.client_id.clone();
        directory.remove_grants(&client_id);
        Ok(Done::Changed)
    })
}

fn set(app: &mut Application, written: &serde_json::Map<String, Value>) -> Result<(), GraphError> {
    if written.get("accountEnabled") == Some(&Value::Bool(false)) {
        return Err(GraphError::invalid(
            "accountEnabled",
            "entra-emulator has no disabled service principals.",
        ));
    }
    if let Some(Value::Bool(needed)) = written.get("appRoleAssignmentRequired") {
        app.assignment_required = *needed;
    }
    Ok(())
}

/// The application whose service principal is meant.
pub(super) fn find<'a>(
    directory: &'a Directory,
    tenant: &str,
    key: &Key<'_>,
) -> Result<&'a Application, GraphError> {
    directory
        .applications
        .iter()
        .find(|app| app.is_in(tenant) && key.is_of(&app.client_id, &app.principal_id(tenant)))
        .ok_or_else(|| GraphError::not_found(key.text()))
}

/// The same, where it is the tenant's own to change. An application has one place for what is known of it here, so that
/// the service principals of others can be read only.
fn own<'a>(
    directory: &'a mut Directory,
    call: &Call<'_>,
    key: &Key<'_>,
) -> Result<&'a mut Application, GraphError> {
    let app = find(directory, &call.caller.tenant, key)?;
    if app.tenant != call.caller.tenant {
        return Err(GraphError::denied());
    }
    let client_id = app.client_id.clone();
    directory
        .application_mut(&client_id)
        .ok_or_else(|| GraphError::not_found(key.text()))
}
