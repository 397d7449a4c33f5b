//! The test kit over HTTP, under `/emulator/`: for the command line and for other languages.
//!
//! Everything here gives power over the emulator, so a web page that the developer happens to visit
//! must not reach it: each request needs a header or a JSON content type that a browser sends to
//! another origin only after a preflight, which is never answered, and a `Host` that is ours, which
//! a rebound DNS name is not.

mod applications;
mod faults;

use std::sync::Arc;

use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::decision::Decision;
use crate::directory::{Directory, Mfa, User};
use crate::state::State;
use crate::taps::Endpoint;
use crate::token::builder::TokenBuilder;

/// The header that stands for a JSON content type where there is no body.
const MARK: &str = "x-entra-emulator";

pub(crate) fn router(state: &Arc<State>) -> Router<Arc<State>> {
    Router::new()
        .route("/emulator/about", get(about))
        .route("/emulator/token", post(token))
        .route("/emulator/users", get(users))
        .route("/emulator/users/{user}", get(user).patch(change_user))
        .route(
            "/emulator/users/{user}/consent",
            post(consent).delete(withdraw_consent),
        )
        .route("/emulator/token-requests", get(token_requests))
        .route("/emulator/endpoints", get(endpoints))
        .route("/emulator/endpoints/{endpoint}/requests", get(requests))
        .route("/emulator/keys/rotate", post(rotate_keys))
        .route("/emulator/keys/{kid}", axum::routing::delete(withdraw_key))
        .merge(applications::router())
        .merge(faults::router())
        .route_layer(from_fn_with_state(state.clone(), guard))
}

async fn guard(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !json && !headers.contains_key(MARK) {
        return problem(
            StatusCode::FORBIDDEN,
            "send the header X-Entra-Emulator: 1, or a JSON body: web pages can do neither",
        );
    }
    if !host_is_ours(headers, &state.url) {
        return problem(
            StatusCode::FORBIDDEN,
            "the Host of the request is not an address of this emulator",
        );
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    response
}

pub(crate) fn host_is_ours(headers: &HeaderMap, url: &str) -> bool {
    let Some(host) = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
    else {
        return true;
    };
    let Ok(asked) = url::Url::parse(&format!("http://{host}")) else {
        return false;
    };
    let advertised = url::Url::parse(url).ok();
    let advertised = advertised.as_ref().and_then(url::Url::host);
    match asked.host() {
        // An address is never the result of rebinding a name.
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_) | url::Host::Domain("localhost")) => true,
        other => other.is_some() && other == advertised,
    }
}

async fn about(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let directory = state.directory();
    let tenants: Vec<Value> = directory
        .tenants
        .iter()
        .map(
            |tenant| json!({"id": tenant.id, "name": tenant.display_name, "domain": tenant.domain}),
        )
        .collect();
    Json(
        json!({"emulator": "entra", "url": state.url, "arm_url": state.arm_url, "tenants": tenants}),
    )
}

/// What `POST /emulator/token` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenOrder {
    #[serde(default = "alice")]
    user: String,
    tenant: Option<String>,
    /// The API that it is for, by client id or App ID URI.
    api: Option<String>,
    /// The application that it is issued to.
    client: Option<String>,
    scopes: Option<Vec<String>>,
    /// Records the consents a sign-in would; on unless told otherwise.
    #[serde(default = "yes")]
    consent: bool,
    #[serde(default)]
    app_only: bool,
    #[serde(default)]
    arm: bool,
    #[serde(default)]
    id_token: bool,
    #[serde(default)]
    v1: bool,
    #[serde(default)]
    mfa: bool,
    expires_in: Option<i64>,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    without_claims: Vec<String>,
    #[serde(default)]
    header: Map<String, Value>,
    kid: Option<String>,
}

fn alice() -> String {
    "alice".to_owned()
}

fn yes() -> bool {
    true
}

impl TokenOrder {
    fn build(self, state: Arc<State>) -> TokenBuilder {
        let mut builder = TokenBuilder::new(state).user(self.user);
        if let Some(tenant) = self.tenant {
            builder = builder.tenant(tenant);
        }
        if let Some(api) = self.api {
            builder = builder.api(api);
        }
        if let Some(client) = self.client {
            builder = builder.client(client);
        }
        if let Some(scopes) = self.scopes {
            builder = builder.scopes(scopes);
        }
        if self.arm {
            builder = builder.arm();
        }
        if self.id_token {
            builder = builder.id_token();
        }
        if self.app_only {
            builder = builder.app_only();
        }
        if self.v1 {
            builder = builder.v1();
        }
        if self.mfa {
            builder = builder.mfa();
        }
        if let Some(seconds) = self.expires_in {
            builder = builder.expires_in(seconds);
        }
        for (name, value) in self.claims {
            builder = builder.claim(name, value);
        }
        for name in self.without_claims {
            builder = builder.without_claim(name);
        }
        for (name, value) in self.header {
            builder = builder.header(name, value);
        }
        if let Some(kid) = self.kid {
            builder = builder.key(kid);
        }
        builder
    }
}

async fn token(Shared(state): Shared<Arc<State>>, Json(order): Json<TokenOrder>) -> Response {
    if let Some(refusal) = unknown(&state.directory(), &order) {
        return refusal;
    }
    let (user, consent, app_only) = (order.user.clone(), order.consent, order.app_only);
    let builder = order.build(state.clone());
    if !app_only {
        state.update(|directory| {
            if consent {
                builder.grant(directory);
            } else {
                directory.revoke_consents(&user);
            }
        });
    }
    Json(json!({"token": builder.sign()})).into_response()
}

/// Says so where somebody who is named is not there: the token of a stranger would be of no use.
fn unknown(directory: &Directory, order: &TokenOrder) -> Option<Response> {
    if directory.user(&order.user).is_none() {
        return Some(no_such_user(directory, &order.user));
    }
    let api = match directory.api(order.api.as_deref()) {
        Ok(api) => api,
        Err(error) => return Some(problem(StatusCode::NOT_FOUND, &error.to_string())),
    };
    let client = order.client.as_deref();
    // A token for Resource Manager is the API's own, an ID token of no client.
    let needed = client.is_some() || !(order.arm || order.id_token);
    let found = needed.then(|| directory.client_of(api, client));
    let error = found?.err()?;
    Some(problem(StatusCode::NOT_FOUND, &error.to_string()))
}

async fn users(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let directory = state.directory();
    Json(directory.users.iter().map(describe).collect())
}

async fn user(Shared(state): Shared<Arc<State>>, Path(name): Path<String>) -> Response {
    let directory = state.directory();
    match directory.user(&name) {
        Some(user) => Json(describe(user)).into_response(),
        None => no_such_user(&directory, &name),
    }
}

/// What `PATCH /emulator/users/{user}` takes; what is absent stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserChange {
    disabled: Option<bool>,
    /// `not_required`, `required` or `not_enrolled`.
    mfa: Option<MfaName>,
    /// Ends the user's sessions.
    #[serde(default)]
    revoke_sessions: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MfaName {
    NotRequired,
    Required,
    NotEnrolled,
}

async fn change_user(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    Json(change): Json<UserChange>,
) -> Response {
    let changed = state.update(|directory| {
        let user = directory.user_mut(&name)?;
        if let Some(disabled) = change.disabled {
            user.disabled = disabled;
        }
        if let Some(mfa) = change.mfa {
            user.mfa = match mfa {
                MfaName::NotRequired => Mfa::NotRequired,
                MfaName::Required => Mfa::Required,
                MfaName::NotEnrolled => Mfa::NotEnrolled,
            };
        }
        if change.revoke_sessions {
            user.revoke_sessions();
        }
        Some(describe(user))
    });
    match changed {
        Some(user) => Json(user).into_response(),
        None => no_such_user(&state.directory(), &name),
    }
}

async fn consent(Shared(state): Shared<Arc<State>>, Path(name): Path<String>) -> Response {
    if state.directory().user(&name).is_none() {
        return no_such_user(&state.directory(), &name);
    }
    let token = TokenBuilder::new(state.clone()).user(name);
    state.update(|directory| token.grant(directory));
    StatusCode::NO_CONTENT.into_response()
}

async fn withdraw_consent(Shared(state): Shared<Arc<State>>, Path(name): Path<String>) -> Response {
    if state.directory().user(&name).is_none() {
        return no_such_user(&state.directory(), &name);
    }
    state.update(|directory| directory.revoke_consents(&name));
    StatusCode::NO_CONTENT.into_response()
}

/// The last ones, oldest first.
async fn token_requests(Shared(state): Shared<Arc<State>>) -> Json<Vec<Decision>> {
    Json(state.decisions.all())
}

async fn endpoints(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let counts: Map<String, Value> = Endpoint::ALL
        .into_iter()
        .map(|endpoint| {
            let count = state.taps.count(endpoint);
            (endpoint.name().to_owned(), json!({"requests": count}))
        })
        .collect();
    Json(counts.into())
}

async fn requests(Shared(state): Shared<Arc<State>>, Path(name): Path<String>) -> Response {
    let Some(endpoint) = Endpoint::from_name(&name) else {
        return no_such_endpoint(&name);
    };
    let requests: Vec<Value> = state
        .taps
        .requests(endpoint)
        .iter()
        .map(|request| {
            let headers: Vec<Value> = request
                .headers
                .iter()
                .map(|(name, value)| {
                    json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
                })
                .collect();
            json!({
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "headers": headers,
                "body": String::from_utf8_lossy(&request.body),
            })
        })
        .collect();
    Json(requests).into_response()
}

async fn rotate_keys(Shared(state): Shared<Arc<State>>) -> Response {
    let now = state.now();
    let rotated = tokio::task::spawn_blocking(move || state.rotate_keys(now)).await;
    match rotated {
        Ok(Ok(kid)) => Json(json!({"kid": kid})).into_response(),
        _ => problem(StatusCode::INTERNAL_SERVER_ERROR, "no key could be made"),
    }
}

async fn withdraw_key(Shared(state): Shared<Arc<State>>, Path(kid): Path<String>) -> Response {
    match state.withdraw_key(&kid) {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem(StatusCode::NOT_FOUND, "no such key is published"),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "no key could be made"),
    }
}

fn describe(user: &User) -> Value {
    json!({
        "username": user.username,
        "password": user.password,
        "display_name": user.display_name,
        "oid": user.oid,
        "tenant": user.tenant,
        "note": user.note,
        "disabled": user.disabled,
        "mfa": match user.mfa {
            Mfa::NotRequired => "not_required",
            Mfa::Required => "required",
            Mfa::NotEnrolled => "not_enrolled",
        },
        "subscriptions": user.subscriptions.len(),
    })
}

fn no_such_user(directory: &Directory, name: &str) -> Response {
    let known: Vec<&str> = directory
        .users
        .iter()
        .take(20)
        .map(|user| user.username.split('@').next().unwrap_or_default())
        .collect();
    problem(
        StatusCode::NOT_FOUND,
        &format!("no user is called {name:?}; there are {}", known.join(", ")),
    )
}

fn no_such_endpoint(name: &str) -> Response {
    let known: Vec<&str> = Endpoint::ALL.into_iter().map(Endpoint::name).collect();
    problem(
        StatusCode::NOT_FOUND,
        &format!(
            "no endpoint is called {name:?}; there are {}",
            known.join(", ")
        ),
    )
}

fn problem(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}
