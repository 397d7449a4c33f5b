//! An axum service that calls two APIs as the user who calls it, Azure Resource Manager and Microsoft
//! Graph. Each handler asks for the tokens that it needs, so that nobody waits for an exchange, or is
//! refused by one, that the request has no use for.
//!
//! Run it like the `axum` example (same variables), on port 3003, with Graph's address besides:
//!
//! ```text
//! GRAPH_URL=http://127.0.0.1:9401 cargo run -p tower-obo --features axum --example two_apis
//! curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3003/subscriptions
//! curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3003/me
//! curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3003/overview
//! ```

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
use tower_obo::{Downstream, DownstreamToken, Downstreams, OboLayer, OboLayerBuilder};

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
    let variable = |name, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let apis = Apis {
        arm: variable("ARM_URL", "https://management.azure.com"),
        graph: variable("GRAPH_URL", "https://graph.microsoft.com"),
        client: reqwest::Client::new(),
    };
    let listen = variable("LISTEN", "127.0.0.1:3003");
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app(OboLayer::from_env()?, apis)?).await?;
    Ok(())
}

/// The service behind its layer.
pub(crate) fn app(obo: OboLayerBuilder, apis: Apis) -> Result<Router, Box<dyn Error>> {
    let obo = obo
        // The emulator is plain http on loopback. A real authority is https, whatever this says.
        .allow_http_loopback(true)
        .require_scope("access_as_user")
        .downstream_on_demand(Downstream::azure_resource_manager())
        .downstream_on_demand(Downstream::new(
            "graph",
            ["https://graph.microsoft.com/User.Read"],
        ))
        .build()?;
    Ok(Router::new()
        .route("/subscriptions", get(subscriptions))
        .route("/me", get(me))
        .route("/overview", get(overview))
        .layer(obo)
        .with_state(apis))
}

/// Where the two APIs are.
#[derive(Clone)]
pub(crate) struct Apis {
    pub(crate) arm: String,
    pub(crate) graph: String,
    pub(crate) client: reqwest::Client,
}

impl Apis {
    async fn subscriptions(&self, downstreams: &Downstreams) -> Result<String, Response> {
        let arm = self.token(downstreams, "arm").await?;
        let url = format!("{}/subscriptions?api-version=2022-12-01", self.arm);
        self.get(url, &arm).await
    }

    async fn user(&self, downstreams: &Downstreams) -> Result<String, Response> {
        let graph = self.token(downstreams, "graph").await?;
        let url = format!("{}/v1.0/me", self.graph);
        self.get(url, &graph).await
    }

    /// The token for an API, or what to answer: consent, or a second factor, that this API wants.
    async fn token(&self, all: &Downstreams, name: &str) -> Result<DownstreamToken, Response> {
        let token = all.get(name).await;
        token.map_err(|rejection| rejection.to_response())
    }

    /// What the API says; or what to answer where it is no success. A challenge goes to the caller's
    /// client, and the token is dropped.
    async fn get(&self, url: String, token: &DownstreamToken) -> Result<String, Response> {
        let request = self.client.get(url).header("authorization", token.header());
        let Ok(answer) = request.send().await else {
            let detail = format!("{} did not answer", token.name());
            return Err((StatusCode::BAD_GATEWAY, detail).into_response());
        };
        let status = answer.status();
        if status == StatusCode::UNAUTHORIZED
            && let Some(challenge) = token.challenged(answer.headers())
        {
            return Err(challenge.to_response());
        }
        let text = answer.text().await.unwrap_or_default();
        match status.is_success() {
            true => Ok(text),
            false => Err((status, text).into_response()),
        }
    }
}

async fn subscriptions(State(apis): State<Apis>, all: Downstreams) -> Result<String, Response> {
    apis.subscriptions(&all).await
}

async fn me(State(apis): State<Apis>, all: Downstreams) -> Result<String, Response> {
    apis.user(&all).await
}

/// Both at once: the exchanges, and the calls.
async fn overview(State(apis): State<Apis>, all: Downstreams) -> Result<String, Response> {
    let (user, subscriptions) = tokio::try_join!(apis.user(&all), apis.subscriptions(&all))?;
    Ok(format!(
        "{{\"user\":{user},\"subscriptions\":{subscriptions}}}"
    ))
}
