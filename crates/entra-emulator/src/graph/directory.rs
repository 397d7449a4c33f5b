//! Part of the directory by way of Graph: who may, which object is meant, and what is said of it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Done, GraphError, Ids};
use super::bearer::Caller;
use super::project::project;
use super::query::Query;
use super::{applications, grants, principals};
use crate::directory::{Application, Directory};
use crate::state::State;

/// One request of somebody who is known.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) state: &'a State,
    pub(super) caller: &'a Caller,
    pub(super) method: &'a Method,
    pub(super) query: &'a Query,
    pub(super) body: &'a [u8],
}

/// Which object of a collection is meant.
#[derive(Debug)]
pub(super) enum Key<'a> {
    /// `/applications/{id}`
    Id(&'a str),
    /// `/applications(appId='{appId}')`
    AppId(&'a str),
}

impl Key<'_> {
    pub(super) fn is_of(&self, client_id: &str, id: &str) -> bool {
        match self {
            Self::Id(key) => id.eq_ignore_ascii_case(key),
            Self::AppId(key) => client_id.eq_ignore_ascii_case(key),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Id(key) | Self::AppId(key) => key,
        }
    }
}

/// Everything of `/v1.0/` but `/me`.
pub(crate) async fn directory(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    uri: Uri,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let ids = Ids::new(state.now(), &headers);
    let answered = || {
        let caller = &Caller::of(&state, &headers)?;
        let query = &Query::parse(&query.unwrap_or_default())?;
        let call = Call {
            state: &state,
            caller,
            method: &method,
            query,
            body: &body,
        };
        route(&call, &path).unwrap_or_else(|| Err(GraphError::not_emulated(&method, uri.path())))
    };
    match answered() {
        Ok(done) => ids.done(&done),
        Err(error) => ids.failure(&state, &error),
    }
}

fn route(call: &Call<'_>, path: &str) -> Option<Result<Done, GraphError>> {
    let segments: Vec<&str> = path.split('/').collect();
    let (first, rest) = segments.split_first()?;
    let (collection, key, below) = match first.split_once("(appId='") {
        Some((collection, key)) => (collection, Some(Key::AppId(key.strip_suffix("')")?)), rest),
        None => match rest.split_first() {
            Some((id, below)) => (*first, Some(Key::Id(id)), below),
            None => (*first, None, rest),
        },
    };
    // Azure CLI writes `oAuth2PermissionGrants`, too, and Graph doesn't mind.
    match &*collection.to_ascii_lowercase() {
        "applications" => applications::answer(call, key.as_ref(), below),
        "serviceprincipals" => principals::answer(call, key.as_ref(), below),
        "oauth2permissiongrants" => grants::answer(call, key.as_ref(), below),
        _ => None,
    }
}

impl Call<'_> {
    /// A collection, as far as it was asked for.
    pub(super) fn list(
        &self,
        collection: &str,
        kind: &str,
        objects: Vec<Value>,
        filterable: &[&str],
    ) -> Result<Done, GraphError> {
        let objects = self.query.list(objects, kind, filterable)?;
        Ok(Done::Read(json!({
            "@odata.context": format!("{}/v1.0/$metadata#{collection}", self.state.arm_url),
            "value": objects,
        })))
    }

    /// One object of a collection, as far as it was asked for.
    pub(super) fn one(&self, collection: &str, object: Value) -> Done {
        Done::Read(self.with_context(collection, self.query.selected(object)))
    }

    pub(super) fn with_context(&self, collection: &str, mut object: Value) -> Value {
        let context = format!("{}/v1.0/$metadata#{collection}/$entity", self.state.arm_url);
        object["@odata.context"] = context.into();
        object
    }

    /// Changes an application of the caller's tenant. What `change` refuses changes nothing.
    pub(super) fn change(
        &self,
        key: &Key<'_>,
        change: impl FnOnce(&mut Application, &Directory) -> Result<Done, GraphError>,
    ) -> Result<Done, GraphError> {
        self.state.update(|directory| {
            let mut app = applications::find(directory, self, key)?.clone();
            let done = change(&mut app, directory)?;
            if let Some(own) = directory.application_mut(&app.client_id) {
                *own = app;
            }
            project(directory);
            Ok(done)
        })
    }
}
