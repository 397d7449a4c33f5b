//! An axum service that calls Azure Resource Manager as the user who calls it: ten lines of layer,
//! and two handlers.
//!
//! Run it against the emulator (`cargo run -p entra-emulator` in another terminal):
//!
//! ```text
//! AZURE_AUTHORITY_HOST=http://127.0.0.1:9400 ARM_URL=http://127.0.0.1:9401 \
//! AZURE_TENANT_ID=c0a70500-0000-4000-8000-000000000001 \
//! AZURE_CLIENT_ID=a9100000-0000-4000-8000-00000000000a \
//! AZURE_CLIENT_SECRET=emulator-api-secret \
//! cargo run -p tower-obo --features axum --example axum
//!
//! TOKEN=$(cargo demo token --user alice)
//! curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3001/subscriptions
//! ```
//!
//! With the settings of a real tenant it does the same there.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

use std::{error::Error, process::ExitCode};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use tower_obo::{Downstream, DownstreamToken, OboLayer, OboLayerBuilder, Principal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arm = Arm {
        url: std::env::var("ARM_URL").unwrap_or("https://management.azure.com".to_owned()),
        client: reqwest::Client::new(),
    };
    let listen = std::env::var("LISTEN").unwrap_or("127.0.0.1:3001".to_owned());
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app(OboLayer::from_env()?, arm)?).await?;
    Ok(())
}

/// The service behind its layer.
pub(crate) fn app(obo: OboLayerBuilder, arm: Arm) -> Result<Router, Box<dyn Error>> {
    let obo = obo
        // The emulator is plain http on loopback. A real authority is https, whatever this says.
        .allow_http_loopback(true)
        .require_scope("access_as_user")
        .downstream(Downstream::azure_resource_manager())
        .build()?;
    Ok(Router::new()
        .route("/subscriptions", get(subscriptions))
        .route("/me", get(me))
        .layer(obo)
        .with_state(arm))
}

/// Where Azure Resource Manager is.
#[derive(Clone)]
pub(crate) struct Arm {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
}

/// Calls the downstream API as the user. Where it wants the user to prove more (a revoked session,
/// multi-factor authentication), the caller's client gets the challenge and the token is dropped.
async fn subscriptions(State(arm): State<Arm>, token: DownstreamToken) -> Response {
    let url = format!("{}/subscriptions?api-version=2022-12-01", arm.url);
    let request = arm.client.get(url).header("authorization", token.header());
    let Ok(answer) = request.send().await else {
        return (StatusCode::BAD_GATEWAY, "Resource Manager did not answer").into_response();
    };
    let status = answer.status();
    if status == StatusCode::UNAUTHORIZED
        && let Some(challenge) = token.challenged(answer.headers())
    {
        return challenge.to_response();
    }
    (status, answer.text().await.unwrap_or_default()).into_response()
}

/// Says who calls.
async fn me(principal: Principal) -> String {
    format!(
        "user {} of tenant {}\n",
        principal.object_id().unwrap_or("?"),
        principal.tenant_id()
    )
}
