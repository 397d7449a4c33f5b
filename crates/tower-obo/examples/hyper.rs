//! A plain hyper service behind the layer: no framework.
//!
//! Run it like the `axum` example (same variables), on port 3002:
//!
//! ```text
//! cargo run -p tower-obo --example hyper
//! curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3002/
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

use std::{convert::Infallible, error::Error, process::ExitCode};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tower::{Layer, service_fn};
use tower_obo::{Admitted, Downstream, OboLayer};

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
    let obo = OboLayer::from_env()?
        .allow_http_loopback(true)
        .require_scope("access_as_user")
        .downstream(Downstream::azure_resource_manager())
        .build()?;
    let service = obo.layer(service_fn(hello));

    let listen = std::env::var("LISTEN").unwrap_or("127.0.0.1:3002".to_owned());
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                eprintln!("connection: {error}");
            }
        });
    }
}

/// The request arrives with the downstream token in `Authorization`; who calls, and the same token
/// as a value, are in the extensions.
async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let admitted = request.extensions().get::<Admitted>();
    let user = admitted
        .and_then(Admitted::principal)
        .and_then(|principal| principal.object_id())
        .unwrap_or("nobody");
    let arm = admitted.and_then(|admitted| admitted.downstream("arm"));
    let expires = arm.map_or(0, |token| token.expires_at().as_unix());
    let body = format!("user {user}; the token for ARM expires at {expires}\n");
    Ok(Response::new(Full::from(body)))
}
