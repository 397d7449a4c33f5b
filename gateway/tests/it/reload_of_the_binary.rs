//! The binary, SIGHUP, and a file that changes: CF-04.
#![cfg(unix)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, Stdio},
};

use entra_emulator::{Emulator, demo as ids};

use crate::{
    binary::{gateway, serving},
    certificates::Folder,
    client::Client,
    rig::PUBLIC,
    upstream::{Upstream, ok},
};

struct Process {
    child: Child,
    log: BufReader<ChildStderr>,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    fn start(emulator: &Emulator, upstream: &Upstream, file: &std::path::Path) -> Self {
        let mut child = gateway()
            .args(serving(emulator, upstream))
            .args(["--admin-listen", "127.0.0.1:0", "--config"])
            .arg(file)
            .env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let line = line_with(&mut log, "gateway listens");
        let address = |key: &str| {
            let (_, after) = line.split_once(&format!("\"{key}\":\"http://")).unwrap();
            after.split('"').next().unwrap().parse().unwrap()
        };
        Self {
            address: address("listen"),
            admin: address("admin"),
            child,
            log,
        }
    }

    fn hang_up(&self) {
        let signal = Command::new("kill")
            .args(["-HUP", &self.child.id().to_string()])
            .status();
        assert!(signal.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the log until a line has this, and gives that line.
fn line_with(log: &mut BufReader<ChildStderr>, what: &str) -> String {
    let mut line = String::new();
    while !line.contains(what) {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "no {what} in the log");
    }
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn cf_04_a_broken_file_is_one_error_with_line_and_key_and_the_old_configuration_goes_on() {
    let emulator = Emulator::builder().start().await.unwrap();
    let upstream = Upstream::start(|_| ok()).await;
    let folder = Folder::new();
    let file = folder.write("gateway.toml", PUBLIC);
    let mut process = Process::start(&emulator, &upstream, &file);
    let mut client = Client::connect(process.address).await;
    assert_eq!(client.get("/x").await.status, 200);

    fs::write(
        &file,
        format!("{PUBLIC}\nmethodes = ['GET']\nacces = 'public'"),
    )
    .unwrap();
    process.hang_up();
    let line = line_with(&mut process.log, "\"level\":\"ERROR\"");
    let place = format!("{}:4: route.methodes", file.display());
    assert!(
        line.contains(&place) && line.contains("route.acces"),
        "{line}"
    );
    assert_eq!(client.get("/x").await.status, 200);
    let mut figures = Client::connect(process.admin).await;
    let said = figures.get("/metrics").await.body;
    assert!(
        said.contains("obo_config_last_reload_successful 0"),
        "{said}"
    );

    // Without a signal, since the file has changed.
    fs::write(&file, format!("{PUBLIC}\nmethods = ['PUT']")).unwrap();
    line_with(&mut process.log, "read anew and holds");
    assert_eq!(client.get("/x").await.status, 405);
    let said = figures.get("/metrics").await.body;
    assert!(
        said.contains("obo_config_last_reload_successful 1"),
        "{said}"
    );
}
