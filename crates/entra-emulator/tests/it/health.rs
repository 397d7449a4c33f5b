//! `entra-emulator health`, by which a container knows how it is.

use std::process::{Command, Output};

use crate::binary::{BINARY, Running, text};

fn health(listen: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("health").env("ENTRA_EMULATOR_LISTEN", listen);
    command.output().unwrap()
}

#[test]
fn who_runs_is_healthy_and_who_is_gone_or_is_another_is_not() {
    let running = Running::start_with(&["--no-https"]);
    let address = running.url().strip_prefix("http://").unwrap().to_owned();
    let healthy = health(&address);
    assert!(healthy.status.success(), "{}", text(&healthy.stderr));
    // Where it listens on all addresses, it is asked on loopback.
    let port = address.rsplit(':').next().unwrap();
    assert!(health(&format!("0.0.0.0:{port}")).status.success());

    drop(running);
    let gone = health(&address);
    assert_eq!(gone.status.code(), Some(1));
    let said = format!("entra-emulator: no emulator answers at {address}");
    assert!(text(&gone.stderr).contains(&said), "{}", text(&gone.stderr));

    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};

        let (mut stream, _) = other.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    });
    let another = health(&address.to_string());
    assert_eq!(another.status.code(), Some(1));
    assert!(
        text(&another.stderr).contains("404"),
        "{}",
        text(&another.stderr)
    );
}
