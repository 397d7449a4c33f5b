//! A gRPC service of tonic's behind the layer. It stands for yours: the health service, because its
//! code is generated already; it is `SERVING` for whoever calls with a token for the downstream.
//!
//! Run it like the `axum` example (same variables), on port 3003, and call it with any client of gRPC that
//! sends `authorization: Bearer <token>`:
//!
//! ```text
//! cargo run -p tower-obo --example tonic
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

use std::{error::Error, process::ExitCode};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::net::TcpListener;
use tonic::{
    Request, Status,
    body::Body,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};
use tower_obo::{Admitted, Downstream, OboLayer, OboLayerBuilder, Rejection};

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
    let listen = std::env::var("LISTEN").unwrap_or("127.0.0.1:3003".to_owned());
    let listener = TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    serve(OboLayer::from_env()?, listener).await
}

/// The service behind its layer.
pub(crate) async fn serve(
    obo: OboLayerBuilder,
    listener: TcpListener,
) -> Result<(), Box<dyn Error>> {
    let obo = obo
        // The emulator is plain http on loopback. A real authority is https, whatever this says.
        .allow_http_loopback(true)
        .require_scope("access_as_user")
        .downstream(Downstream::azure_resource_manager())
        .build()?
        // A call without a token that is good gets the status of gRPC (UNAUTHENTICATED, for instance), and the
        // challenge in its metadata.
        .respond_with(refusal);
    Server::builder()
        .layer(obo)
        .add_service(HealthServer::new(Mine))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await?;
    Ok(())
}

/// A refusal with tonic's body.
fn refusal(rejection: &Rejection) -> Response<Body> {
    rejection
        .to_response::<Bytes>()
        .map(|body| Body::new(Full::new(body)))
}

/// The service. What the layer found out about a call is in its extensions.
struct Mine;

#[tonic::async_trait]
impl Health for Mine {
    async fn check(
        &self,
        call: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let admitted = call
            .extensions()
            .get::<Admitted>()
            .ok_or_else(|| Status::internal("not behind the layer"))?;
        let user = admitted
            .principal()
            .and_then(|principal| principal.object_id());
        // The token to call Azure Resource Manager with, as this user.
        let arm = admitted.downstream("arm");
        let status = match (user, arm) {
            (Some(_), Some(_)) => ServingStatus::Serving,
            _ => ServingStatus::NotServing,
        };
        Ok(tonic::Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }

    type WatchStream = tonic::codegen::BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watch"))
    }
}
