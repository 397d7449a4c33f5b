//! Credentials of app registrations: `/emulator/applications`.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem;
use crate::directory::{
    Application, Certificate, Directory, FederatedCredential, TOKEN_EXCHANGE_AUDIENCE,
};
use crate::state::State;

pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/emulator/applications", get(applications))
        .route("/emulator/applications/{app}", get(application))
        .route("/emulator/applications/{app}/secrets", put(set_secrets))
        .route(
            "/emulator/applications/{app}/certificates",
            post(add_certificate),
        )
        .route(
            "/emulator/applications/{app}/certificates/{thumbprint}",
            delete(remove_certificate),
        )
        .route(
            "/emulator/applications/{app}/federated-credentials/{name}",
            put(set_federated).delete(remove_federated),
        )
}

async fn applications(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let directory = state.directory();
    Json(directory.applications.iter().map(describe).collect())
}

async fn application(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> Response {
    let directory = state.directory();
    match directory.application(&id) {
        Some(app) => Json(describe(app)).into_response(),
        None => no_such_application(&directory, &id),
    }
}

/// Replaces all secrets.
async fn set_secrets(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
    Json(secrets): Json<Vec<String>>,
) -> Response {
    change(&state, &id, |app| {
        app.secrets = secrets;
        Ok(())
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateOrder {
    pem: String,
}

/// Adds a certificate; the others stay, as in a rotation.
async fn add_certificate(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
    Json(order): Json<CertificateOrder>,
) -> Response {
    match Certificate::from_pem(&order.pem) {
        Ok(certificate) => change(&state, &id, |app| {
            app.certificates.push(certificate);
            Ok(())
        }),
        Err(error) => problem(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    }
}

/// Takes away the certificate with this thumbprint: `x5t`, `x5t#S256` or hexadecimal.
async fn remove_certificate(
    Shared(state): Shared<Arc<State>>,
    Path((id, thumbprint)): Path<(String, String)>,
) -> Response {
    change(&state, &id, |app| {
        let before = app.certificates.len();
        app.certificates.retain(|own| {
            ![
                own.thumbprint(),
                own.thumbprint_sha256(),
                own.thumbprint_hex(),
            ]
            .contains(&thumbprint)
        });
        if app.certificates.len() == before {
            return Err("the application has no certificate with this thumbprint");
        }
        Ok(())
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FederatedOrder {
    issuer: String,
    subject: String,
    #[serde(default = "exchange_audience")]
    audience: String,
    jwks: Option<Value>,
}

fn exchange_audience() -> String {
    TOKEN_EXCHANGE_AUDIENCE.to_owned()
}

/// Adds a federated credential, or replaces the one of this name.
async fn set_federated(
    Shared(state): Shared<Arc<State>>,
    Path((id, name)): Path<(String, String)>,
    Json(order): Json<FederatedOrder>,
) -> Response {
    let mut credential =
        FederatedCredential::new(name, order.issuer, order.subject).audience(order.audience);
    credential.jwks = order.jwks;
    change(&state, &id, |app| {
        app.set_federated(credential);
        Ok(())
    })
}

async fn remove_federated(
    Shared(state): Shared<Arc<State>>,
    Path((id, name)): Path<(String, String)>,
) -> Response {
    change(&state, &id, |app| {
        let before = app.federated_credentials.len();
        app.federated_credentials.retain(|own| own.name != name);
        if app.federated_credentials.len() == before {
            return Err("the application has no federated credential of this name");
        }
        Ok(())
    })
}

/// Changes a registration and shows it; what a change misses is 404.
fn change(
    state: &State,
    id: &str,
    change: impl FnOnce(&mut Application) -> Result<(), &'static str>,
) -> Response {
    let changed = state.update(|directory| {
        let app = directory.application_mut(id)?;
        Some(change(app).map(|()| describe(app)))
    });
    match changed {
        Some(Ok(app)) => Json(app).into_response(),
        Some(Err(missing)) => problem(StatusCode::NOT_FOUND, missing),
        None => no_such_application(&state.directory(), id),
    }
}

fn describe(app: &Application) -> Value {
    let certificates: Vec<Value> = app
        .certificates
        .iter()
        .map(|own| {
            json!({
                "x5t": own.thumbprint(),
                "x5t#S256": own.thumbprint_sha256(),
                "thumbprint": own.thumbprint_hex(),
            })
        })
        .collect();
    let federated: Vec<Value> = app
        .federated_credentials
        .iter()
        .map(|own| {
            json!({
                "name": own.name,
                "issuer": own.issuer,
                "subject": own.subject,
                "audience": own.audience,
                "jwks": own.jwks.is_some(),
            })
        })
        .collect();
    json!({
        "client_id": app.client_id,
        "display_name": app.display_name,
        "tenant": app.tenant,
        "multi_tenant": app.multi_tenant,
        "secrets": app.secrets.len(),
        "certificates": certificates,
        "federated_credentials": federated,
    })
}

fn no_such_application(directory: &Directory, id: &str) -> Response {
    let known: Vec<&str> = directory
        .applications
        .iter()
        .map(|app| &*app.client_id)
        .collect();
    problem(
        StatusCode::NOT_FOUND,
        &format!(
            "no application has the client id {id:?}; there are {}",
            known.join(", ")
        ),
    )
}
