//! `…/federatedIdentityCredentials`: whose tokens stand for an application.
//!
//! <https://learn.microsoft.com/graph/api/resources/federatedidentitycredential>

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::{Done, GraphError};
use super::applications::{READ, WRITE, find};
use super::directory::{Call, Key};
use super::project::texts;
use super::schema;
use crate::directory::{Application, FederatedCredential};
use crate::encoding::guid_of;

/// How many an application can have.
const LIMIT: usize = 20;

pub(super) fn answer(
    call: &Call<'_>,
    key: &Key<'_>,
    below: &[&str],
) -> Option<Result<Done, GraphError>> {
    Some(match (call.method, below) {
        (&Method::GET, []) => list(call, key),
        (&Method::POST, []) => create(call, key),
        (&Method::GET, [name]) => read(call, key, name),
        (&Method::PATCH, [name]) => change(call, key, name),
        (&Method::DELETE, [name]) => remove(call, key, name),
        _ => return None,
    })
}

fn list(call: &Call<'_>, key: &Key<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(READ)?;
    let directory = call.state.directory();
    let app = find(&directory, call, key)?;
    let all = app.federated_credentials.iter();
    let shown = all.map(|one| show(app, one)).collect();
    call.list(
        &collection(app),
        "FederatedIdentityCredential",
        shown,
        &["name", "subject", "issuer"],
    )
}

fn read(call: &Call<'_>, key: &Key<'_>, name: &str) -> Result<Done, GraphError> {
    call.caller.needs_one_of(READ)?;
    let directory = call.state.directory();
    let app = find(&directory, call, key)?;
    let shown = show(app, named(app, name)?);
    Ok(call.one(&collection(app), shown))
}

fn create(call: &Call<'_>, key: &Key<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    let written = schema::read(call.body, schema::FEDERATED)?;
    call.change(key, |app, _| {
        let own = app.federated_credentials.iter();
        if own
            .clone()
            .any(|own| Some(&*own.name) == text(&written, "name"))
        {
            return Err(GraphError::there_already(
                StatusCode::CONFLICT,
                "FederatedIdentityCredential with same name already exists.",
            ));
        }
        if own.count() >= LIMIT {
            return Err(GraphError::bad(format!(
                "An application can have at most {LIMIT} federated identity credentials."
            )));
        }
        let name = required(&written, "name")?.to_owned();
        if !written.contains_key("audiences") {
            return Err(one_audience());
        }
        let credential = FederatedCredential::new(name, "", "");
        let credential = filled(app, credential, &written)?;
        app.federated_credentials.push(credential.clone());
        let shown = show(app, &credential);
        Ok(Done::Made(call.with_context(&collection(app), shown)))
    })
}

fn change(call: &Call<'_>, key: &Key<'_>, name: &str) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    let written = schema::read(call.body, schema::FEDERATED)?;
    call.change(key, |app, _| {
        let credential = named(app, name)?.clone();
        if text(&written, "name").is_some_and(|new| new != credential.name) {
            return Err(GraphError::read_only("name"));
        }
        let credential = filled(app, credential, &written)?;
        app.set_federated(credential);
        Ok(Done::Changed)
    })
}

fn remove(call: &Call<'_>, key: &Key<'_>, name: &str) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    call.change(key, |app, _| {
        let name = named(app, name)?.name.clone();
        app.federated_credentials.retain(|own| own.name != name);
        app.registration.descriptions.remove(&name);
        Ok(Done::Changed)
    })
}

/// By its id or by its name.
fn named<'a>(app: &'a Application, name: &str) -> Result<&'a FederatedCredential, GraphError> {
    app.federated_credentials
        .iter()
        .find(|own| own.name == name || id(app, own).eq_ignore_ascii_case(name))
        .ok_or_else(|| GraphError::not_found(name))
}

fn filled(
    app: &mut Application,
    mut credential: FederatedCredential,
    written: &Map<String, Value>,
) -> Result<FederatedCredential, GraphError> {
    let set = |name: &str, now: &str| match written.get(name) {
        Some(_) => required(written, name).map(str::to_owned),
        None if now.is_empty() => Err(GraphError::missing(name)),
        None => Ok(now.to_owned()),
    };
    credential.issuer = set("issuer", &credential.issuer)?;
    credential.subject = set("subject", &credential.subject)?;
    match written.get("audiences").map(texts).as_deref() {
        Some([one]) => credential.audience.clone_from(one),
        None => {}
        Some(_) => return Err(one_audience()),
    }
    let twice = app.federated_credentials.iter().any(|own| {
        own.name != credential.name
            && own.issuer == credential.issuer
            && own.subject == credential.subject
    });
    if twice {
        return Err(GraphError::there_already(
            StatusCode::CONFLICT,
            "The combination of issuer and subject must be unique for this app.",
        ));
    }
    if let Some(description) = text(written, "description") {
        let name = credential.name.clone();
        let descriptions = &mut app.registration.descriptions;
        descriptions.insert(name, description.to_owned());
    }
    Ok(credential)
}

fn one_audience() -> GraphError {
    GraphError::invalid("audiences", "it names one audience.")
}

fn show(app: &Application, credential: &FederatedCredential) -> Value {
    json!({
        "audiences": [credential.audience],
        "description": app.registration.descriptions.get(&credential.name),
        "id": id(app, credential),
        "issuer": credential.issuer,
        "name": credential.name,
        "subject": credential.subject,
    })
}

fn id(app: &Application, credential: &FederatedCredential) -> String {
    guid_of(&format!(
        "federated credential {} of {}",
        credential.name, app.client_id
    ))
}

fn collection(app: &Application) -> String {
    format!(
        "applications('{}')/federatedIdentityCredentials",
        app.object_id()
    )
}

fn text<'a>(written: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    written.get(name).and_then(Value::as_str)
}

fn required<'a>(written: &'a Map<String, Value>, name: &str) -> Result<&'a str, GraphError> {
    text(written, name)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| GraphError::missing(name))
}
