//! What hangs beside the gateway does not keep it: a file system, and whoever reads its log.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
};

use entra_emulator::{Emulator, demo as ids};
use tokio::sync::oneshot;

use crate::{
    binary::{gateway, serving},
    certificates::Folder,
    client::{Client, in_time},
    prometheus::is_installed,
    rig::PUBLIC,
    service_manager::{listening, with_sockets},
    signals::{line_with, terminate},
    upstream::{Upstream, ok},
};

async fn code_of(mut child: Child) -> Option<i32> {
    let (send, ended) = oneshot::channel();
    std::thread::spawn(move || send.send(child.wait().unwrap().code()));
    in_time(ended).await.unwrap()
}

/// A program that holds a file so that whoever opens it waits, as on a file system that hangs; until it is dropped.
struct Held {
    holder: Child,
    said: BufReader<ChildStdout>,
}

impl Held {
    fn file(path: &std::path::Path) -> Self {
        // A lease (`fcntl(2)`) is granted once nobody has the file open.
        let program = "import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, lambda *_: print('asked for', flush=True))
file = os.open(sys.argv[1], os.O_RDWR)
while True:
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        break
    except BlockingIOError:
        time.sleep(0.01)
print('held', flush=True)
while True:
    signal.pause()";
        let child = Command::new("python3")
            .args(["-c", program])
            .arg(path)
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = child.unwrap();
        let said = BufReader::new(holder.stdout.take().unwrap());
        let mut held = Self { holder, said };
        assert_eq!(held.says(), "held\n");
        held
    }

    /// Once somebody wants to read the file, `asked for`.
    fn says(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_s_file_that_hangs_is_said_and_a_signal_ends_it_meanwhile() {
    if !is_installed("python3") {
        return;
    }
    let emulator = Emulator::builder().start().await.unwrap();
    let upstream = Upstream::start(|_| ok()).await;
    let folder = Folder::new();
    let file = folder.write("gateway.toml", PUBLIC);
    let mut child = gateway()
        .args(serving(&emulator, &upstream))
        .arg("--config")
        .arg(&file)
        .env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    line_with(&mut log, "gateway listens");
    let mut held = Held::file(&file);
    assert_eq!(held.says(), "asked for\n");
    let line = line_with(&mut log, "\"level\":\"ERROR\"");
    assert!(line.contains("file system does not answer"), "{line}");
    // As it was before.
    drop(held);
    line_with(&mut log, "read anew and holds");
    let mut held = Held::file(&file);
    assert_eq!(held.says(), "asked for\n");
    terminate(&child);
    assert_eq!(code_of(child).await, Some(0));
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_whoever_reads_the_log_not_even_the_end() {
    let folder = Folder::new();
    let file = folder.write("gateway.toml", PUBLIC);
    let (unread, mut pipe) = std::io::pipe().unwrap();
    let stderr = pipe.try_clone().unwrap();
    // It is full, and stays so.
    std::thread::spawn(move || while pipe.write_all(&[b'\n'; 4096]).is_ok() {});
    let (public, address) = listening();
    let (admin, admin_address) = listening();
    // Nobody listens there, which is something to say.
    let nobody = "http://127.0.0.1:9";
    let arguments = format!(
        "--upstream {nobody} --authority {nobody} --allow-http-loopback --scope s --workers 2 --config"
    );
    let child = with_sockets(admin, public, "admin:web")
        .args(arguments.split(' '))
        .arg(&file)
        .env("AZURE_TENANT_ID", ids::CONTOSO)
        .env("AZURE_CLIENT_ID", ids::API_CLIENT_ID)
        .env("AZURE_CLIENT_SECRET", "x")
        .stderr(stderr)
        .spawn()
        .unwrap();
    let mut client = Client::connect(address).await;
    for _ in 0..200 {
        assert_eq!(client.get("/x").await.status, 502);
    }
    let mut probe = Client::connect(admin_address).await;
    assert_eq!(probe.get("/livez").await.status, 200);
    let figures = probe.figures().await;
    assert!(
        figures.contains("obo_log_dropped_lines_total 0"),
        "{figures}"
    );
    terminate(&child);
    assert_eq!(code_of(child).await, Some(0));
    drop(unread);
}
