//! gRPC's own cases for interoperability, Go's client through the gateway to Go's server: run by
//! `scripts/conformance/grpc-interop`, which gets the tools.

use std::{
    env,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tokio::{net::TcpStream, task};

use crate::{
    client::in_time,
    rig::{PROTECTED, Rig},
    upstream::ok,
};

const CASES: [&str; 14] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
];

/// Hundreds of calls, over one connection and over one each.
const SOAKS: [&str; 2] = ["rpc_soak", "channel_soak"];

fn tool(name: &str) -> PathBuf {
    env::var_os(name).map_or_else(|| panic!("{name} is not set"), PathBuf::from)
}

/// Go's server. It ends with this.
struct Server(Child, u16);

impl Server {
    async fn start() -> Self {
        // It says no port that it would choose itself.
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let child = Command::new(tool("GRPC_SERVER"))
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self(child, port);
        in_time(async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                task::yield_now().await;
            }
        })
        .await;
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn run(port: u16, token: &str, case: &str) -> Result<(), String> {
    let mut command = Command::new(tool("GRPC_CLIENT"));
    command
        .args(["--server_host=127.0.0.1", "--soak_iterations=300"])
        .arg("--soak_overall_timeout_seconds=60")
        .arg(format!("--server_port={port}"))
        .arg(format!("--test_case={case}"))
        .arg(format!(
            "--additional_metadata=authorization:Bearer {token}"
        ))
        .stdin(Stdio::null());
    let running = task::spawn_blocking(move || command.output());
    let output = running.await.unwrap().unwrap();
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{case}: {}",
        said.lines().last().unwrap_or_default()
    ))
}

async fn all(upstream: &str, port: u16) {
    let rig = Rig::new(
        PROTECTED,
        |_| ok(),
        |config| {
            for entry in config.upstreams.values_mut() {
                entry
                    .set_url(&format!("{upstream}://127.0.0.1:{port}"))
                    .unwrap();
            }
            // What the case of custom metadata wants back behind the last message.
            config.routes[0].trailers = vec!["x-grpc-test-echo-trailing-bin".to_owned()];
        },
    )
    .await;
    let token = rig.token("alice");
    let port = rig.gateway.local_addr().port();
    let mut failures = Vec::new();
    for case in CASES.iter().chain(&SOAKS) {
        failures.extend(run(port, &token, case).await.err());
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let without = run(port, "garbage", "empty_unary").await.unwrap_err();
    assert!(without.contains("Unauthenticated"), "{without}");
}

#[tokio::test]
#[ignore = "needs grpc-go; scripts/conformance/grpc-interop runs it"]
async fn grpc_go_finds_nothing_between_its_client_and_its_server() {
    let server = Server::start().await;
    all("h2c", server.1).await;
}
