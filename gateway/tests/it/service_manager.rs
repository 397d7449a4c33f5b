//! What systemd gives and hears: sockets that it opened before the gateway (`sd_listen_fds(3)`), and
//! how the gateway is (`sd_notify(3)`).

use std::{
    io::Read as _,
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Child, Command, Stdio},
    time::Duration,
};

use entra_emulator::{Emulator, Endpoint, Fault, demo as ids};

use crate::{
    binary::{gateway, serving},
    client::{Client, in_time},
    upstream::{Upstream, ok},
};

/// A child that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn terminate(child: &Child) {
    let signal = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(signal.unwrap().success());
}

pub(crate) fn listening() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A command whose descriptors 3 and 4 are these sockets, as systemd would start it.
pub(crate) fn with_sockets(first: TcpListener, second: TcpListener, names: &str) -> Command {
    let binary = gateway().get_program().to_owned();
    let mut command = Command::new("/bin/sh");
    command
        .env_clear()
        .args([
            "-c",
            r#"LISTEN_PID=$$ exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#,
        ])
        .arg(binary)
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", names)
        .stdin(Stdio::from(OwnedFd::from(first)))
        .stdout(Stdio::from(OwnedFd::from(second)));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_to_a_socket_of_systemd_before_the_start_is_served_after_it() {
    let emulator = Emulator::builder().start().await.unwrap();
    let upstream = Upstream::start(|_| ok()).await;
    let (public, address) = listening();
    let (admin, admin_address) = listening();
    let mut early = Client::connect(address).await;
    early.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n").await;

    let child = with_sockets(admin, public, "admin:web")
        .args(serving(&emulator, &upstream))
        .env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET)
        .stderr(Stdio::null())
        .spawn();
    let mut child = Ended(child.unwrap());

    assert_eq!(early.answer().await.unwrap().status, 401);
    let mut probe = Client::connect(admin_address).await;
    assert_eq!(probe.get("/livez").await.status, 200);
    // Both workers have the one socket; each connection reaches one of them.
    for _ in 0..8 {
        let mut client = Client::connect(address).await;
        assert_eq!(client.get("/x").await.status, 401);
    }
    terminate(&child.0);
    let code = tokio::task::spawn_blocking(move || child.0.wait().unwrap().code());
    assert_eq!(in_time(code).await.unwrap(), Some(0));
}

/// `ListenStream=9090` is on all addresses to systemd.
#[tokio::test(flavor = "multi_thread")]
async fn ad_02_a_socket_of_systemd_for_the_admin_listener_is_on_loopback_unless_exposed() {
    let emulator = Emulator::builder().start().await.unwrap();
    let upstream = Upstream::start(|_| ok()).await;
    let everywhere = || TcpListener::bind("0.0.0.0:0").unwrap();
    let start = |admin: TcpListener, more: &[&str]| {
        with_sockets(admin, listening().0, "admin:web")
            .args(serving(&emulator, &upstream))
            .args(["--admin-listen", "127.0.0.1:1"])
            .args(more)
            .env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut refused = Ended(start(everywhere(), &[]));
    let code = in_time(async {
        loop {
            if let Some(status) = refused.0.try_wait().unwrap() {
                break status.code();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let code = code.await;
    let mut said = String::new();
    let mut stderr = refused.0.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("`admin.expose = true`"), "{said}");

    let admin = everywhere();
    let address = SocketAddr::from(([127, 0, 0, 1], admin.local_addr().unwrap().port()));
    let _child = Ended(start(admin, &["--admin-expose"]));
    let mut probe = Client::connect(address).await;
    let shown = probe.get("/config").await.body;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let listen = format!("0.0.0.0:{}", address.port());
    assert_eq!(
        shown["admin"]["listen"], listen,
        "where it is, not where it would be"
    );
    assert_eq!(shown["admin"]["expose"], true);
}

#[test]
fn two_sockets_for_one_listener_are_refused_with_what_would_be_right() {
    let output = with_sockets(listening().0, listening().0, "web:web")
        .args([
            "--upstream",
            "http://127.0.0.1:9",
            "--scope",
            "s",
            "--workers",
            "1",
        ])
        .env("AZURE_TENANT_ID", ids::CONTOSO)
        .env("AZURE_CLIENT_ID", ids::API_CLIENT_ID)
        .env("AZURE_CLIENT_SECRET", "x")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FileDescriptorName=admin"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_that_it_listens_then_that_it_serves_then_that_it_stops() {
    let emulator = Emulator::builder().start().await.unwrap();
    emulator.fail(Endpoint::Discovery, Fault::status(500), 1_000);
    let upstream = Upstream::start(|_| ok()).await;
    let path = std::env::temp_dir().join(format!("obo-notify-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let hear = || {
        let mut bytes = [0; 4096];
        let n = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes.get(..n).unwrap().to_vec()).unwrap()
    };

    let child = gateway()
        .args(serving(&emulator, &upstream))
        .env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET)
        .env("NOTIFY_SOCKET", &path)
        .stderr(Stdio::null())
        .spawn();
    let mut child = Ended(child.unwrap());

    // A provider that is out of reach does not keep the unit from being started.
    let listens = hear();
    assert!(
        listens.contains("READY=1") && listens.contains("not there yet"),
        "{listens}"
    );
    emulator.clear_faults();
    let serves = hear();
    assert!(serves.contains("STATUS=serves"), "{serves}");
    terminate(&child.0);
    let stops = hear();
    assert!(stops.contains("STOPPING=1"), "{stops}");
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    let _ = std::fs::remove_file(&path);
}
