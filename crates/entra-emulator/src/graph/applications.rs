//! `/applications`: the registrations of the caller's tenant.
//!
//! <https://learn.microsoft.com/graph/api/resources/application>

use axum::http::Method;
use serde_json::{Map, Value};

use super::answer::{Done, GraphError};
use super::directory::{Call, Key};
use super::project::project;
use super::{credentials, federated, rules, schema, view};
use crate::directory::{Application, Directory};
use crate::encoding::guid;

pub(super) const READ: &[&str] = &["Application.Read.All", WRITE[0], "Directory.Read.All"];
pub(super) const WRITE: &[&str] = &["Application.ReadWrite.All"];

/// What `$filter` knows.
const FILTERABLE: &[&str] = &[
    "appId",
    "displayName",
    "id",
    "identifierUris",
    "publisherDomain",
    "signInAudience",
];

pub(super) fn answer(
    call: &Call<'_>,
    key: Option<&Key<'_>>,
    below: &[&str],
) -> Option<Result<Done, GraphError>> {
    let Some(key) = key else {
        return Some(match *call.method {
            Method::GET => list(call),
            Method::POST => create(call),
            _ => return None,
        });
    };
    Some(match (call.method, below) {
        (&Method::GET, []) => read(call, key),
        (&Method::PATCH, []) => change(call, key),
        (&Method::DELETE, []) => remove(call, key),
        (&Method::POST, ["addPassword"]) => credentials::add_password(call, key),
        (&Method::POST, ["removePassword"]) => credentials::remove_password(call, key),
        (_, ["federatedIdentityCredentials", below @ ..]) => {
            return federated::answer(call, key, below);
        }
        _ => return None,
    })
}

fn list(call: &Call<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(READ)?;
    let directory = call.state.directory();
    let own = directory
        .applications
        .iter()
        .filter(|app| app.tenant == call.caller.tenant);
    let shown = own.map(|app| view::application(app, &directory)).collect();
    call.list("applications", "Application", shown, FILTERABLE)
}

fn read(call: &Call<'_>, key: &Key<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(READ)?;
    let directory = call.state.directory();
    let app = find(&directory, call, key)?;
    Ok(call.one("applications", view::application(app, &directory)))
}

fn create(call: &Call<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    let written = schema::read(call.body, schema::APPLICATION)?;
    if !written.contains_key("displayName") {
        return Err(GraphError::missing("displayName"));
    }
    let mut app = Application::new(&call.caller.tenant, guid(), "");
    app.registration.made = Some(call.state.now());
    app.registration.no_principal = true;
    // Version 1 is what an API gets that doesn't say.
    app.token_version = crate::directory::TokenVersion::V1;
    call.state.update(|directory| {
        write(&mut app, written, directory)?;
        let client_id = app.client_id.clone();
        directory.applications.push(app);
        project(directory);
        let app = directory
            .application(&client_id)
            .ok_or_else(|| GraphError::not_found(&client_id))?;
        let shown = view::application(app, directory);
        Ok(Done::Made(call.with_context("applications", shown)))
    })
}

fn change(call: &Call<'_>, key: &Key<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    let written = schema::read(call.body, schema::APPLICATION)?;
    call.change(key, |app, directory| {
        write(app, written, directory)?;
        Ok(Done::Changed)
    })
}

fn remove(call: &Call<'_>, key: &Key<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    call.state.update(|directory| {
        let client_id = find(directory, call, key)?.client_id.clone();
        directory.remove_application(&client_id);
        project(directory);
        Ok(Done::Changed)
    })
}

/// The application of the caller's tenant that is meant.
pub(super) fn find<'a>(
    directory: &'a Directory,
    call: &Call<'_>,
    key: &Key<'_>,
) -> Result<&'a Application, GraphError> {
    directory
        .applications
        .iter()
        .find(|app| app.tenant == call.caller.tenant && key.is_of(&app.client_id, &app.object_id()))
        .ok_or_else(|| GraphError::not_found(key.text()))
}

/// Puts what was written over what is there; objects are merged, lists are replaced.
fn write(
    app: &mut Application,
    mut written: Map<String, Value>,
    directory: &Directory,
) -> Result<(), GraphError> {
    let keys = written.remove("keyCredentials");
    let before = view::properties(app, directory);
    let mut after = before.clone();
    merge(&mut after, written);
    rules::check(app, &before, &after, directory)?;
    if let Some(keys) = keys {
        credentials::replace_keys(app, &keys)?;
    }
    app.registration.properties = Some(after);
    Ok(())
}

fn merge(into: &mut Map<String, Value>, written: Map<String, Value>) {
    for (name, value) in written {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(there)), Value::Object(new)) => merge(there, new),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}
