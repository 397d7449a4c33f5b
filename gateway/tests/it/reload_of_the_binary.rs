//! The binary, SIGHUP, and a file that changes: CF-04.
#![cfg(unix)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
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
        let mut command = gateway();
        command.env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET);
        Self::of(command, emulator, upstream, file)
    }

    fn of(
        mut command: Command,
        emulator: &Emulator,
        upstream: &Upstream,
        file: &std::path::Path,
    ) -> Self {
        let mut child = command
            .args(serving(emulator, upstream))
            .args(["--admin-listen", "127.0.0.1:0", "--config"])
            .arg(file)
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

    async fn figures(&self) -> String {
        let mut figures = Client::connect(self.admin).await;
        figures.figures().await
    }

    /// Ends it. What the log still had.
    fn rest_of_the_log(mut self) -> String {
        self.child.kill().unwrap();
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// Longer than a change takes to be noticed.
const A_WHILE: Duration = Duration::from_millis(3_500);

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
    // The signal has taken the change: it is none of the file any more.
    tokio::time::sleep(A_WHILE).await;
    let said = process.figures().await;
    for line in [
        "obo_config_last_reload_successful 0",
        "obo_config_reloads_total{result=\"failed\"} 1",
        "obo_config_reloads_total{result=\"ok\"} 0",
    ] {
        assert!(said.contains(line), "{line} in\n{said}");
    }

    // Without a signal, since the file has changed.
    fs::write(&file, format!("{PUBLIC}\nmethods = ['PUT']")).unwrap();
    line_with(&mut process.log, "read anew and holds");
    assert_eq!(client.get("/x").await.status, 405);
    // A change and a signal for it are one reload.
    fs::write(&file, PUBLIC).unwrap();
    process.hang_up();
    line_with(&mut process.log, "read anew and holds");
    assert_eq!(client.get("/x").await.status, 200);
    tokio::time::sleep(A_WHILE).await;
    let said = process.figures().await;
    for line in [
        "obo_config_last_reload_successful 1",
        "obo_config_reloads_total{result=\"failed\"} 1",
        "obo_config_reloads_total{result=\"ok\"} 2",
    ] {
        assert!(said.contains(line), "{line} in\n{said}");
    }
    let rest = process.rest_of_the_log();
    assert!(
        !rest.contains("\"ERROR\"") && !rest.contains("read anew"),
        "{rest}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cf_04_a_secret_that_comes_later_than_the_configuration_that_names_it_is_waited_for() {
    let emulator = Emulator::builder().start().await.unwrap();
    let upstream = Upstream::start(|_| ok()).await;
    let folder = Folder::new();
    let secret = folder.write("old", ids::API_CLIENT_SECRET);
    let with = |secret: &std::path::Path, more: &str| {
        let credential = format!("credential = {{ secret_file = '{}' }}", secret.display());
        format!("{PUBLIC}\n{more}\n[entra]\n{credential}")
    };
    let file = folder.write("gateway.toml", with(&secret, ""));
    let mut process = Process::of(gateway(), &emulator, &upstream, &file);
    let mut client = Client::connect(process.address).await;
    assert_eq!(client.get("/x").await.status, 200);
    let later = secret.with_file_name("new");
    fs::write(&file, with(&later, "methods = ['PUT']")).unwrap();
    let line = line_with(&mut process.log, "\"level\":\"ERROR\"");
    assert!(line.contains("entra.credential.secret_file"), "{line}");
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(client.get("/x").await.status, 200);
    folder.write("new", ids::API_CLIENT_SECRET);
    let mut lines = String::new();
    while !lines.contains("read anew and holds") {
        assert_ne!(process.log.read_line(&mut lines).unwrap(), 0, "{lines}");
    }
    assert!(!lines.contains("\"ERROR\""), "it has been said:\n{lines}");
    assert_eq!(client.get("/x").await.status, 405);
    let said = process.figures().await;
    for line in [
        "obo_config_last_reload_successful 1",
        "obo_config_reloads_total{result=\"failed\"} 1",
        "obo_config_reloads_total{result=\"ok\"} 1",
    ] {
        assert!(said.contains(line), "{line} in\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_comes_by_a_pipe_is_read_once() {
    let emulator = Emulator::builder().start().await.unwrap();
    let upstream = Upstream::start(|_| ok()).await;
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let into = pipe.clone();
    let writer = std::thread::spawn(move || fs::write(into, PUBLIC));
    let mut process = Process::start(&emulator, &upstream, &pipe);
    writer.join().unwrap().unwrap();
    let mut client = Client::connect(process.address).await;
    assert_eq!(client.get("/x").await.status, 200);
    process.hang_up();
    let line = line_with(&mut process.log, "\"level\":\"ERROR\"");
    assert!(line.contains("no regular file"), "{line}");
    assert_eq!(client.get("/x").await.status, 200);
}
