//! The binary and the signals that end it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStderr, Command, Stdio},
};

use entra_emulator::{Emulator, demo as ids};
use tokio::sync::oneshot;

use crate::{
    binary::{gateway, serving},
    client::{Client, in_time},
    rig::PUBLIC,
    upstream::{Reply, Upstream},
};

pub(crate) fn terminate(child: &Child) {
    let signal = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(signal.unwrap().success());
}

/// Reads the log until a line has this, and gives that line.
pub(crate) fn line_with(log: &mut BufReader<ChildStderr>, what: &str) -> String {
    let mut line = String::new();
    while !line.contains(what) {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "no {what} in the log");
    }
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_what_still_runs_at_once_and_is_no_success() {
    let emulator = Emulator::builder().start().await.unwrap();
    let upstream = Upstream::start(|_| Reply::Hang(String::new())).await;
    let file = std::env::temp_dir().join(format!("obo-signals-{}.toml", std::process::id()));
    std::fs::write(&file, PUBLIC).unwrap();
    let mut child = gateway()
        .args(serving(&emulator, &upstream))
        .args(["--drain-timeout", "600s", "--config"])
        .arg(&file)
        .env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let line = line_with(&mut log, "\"listen\":\"http://");
    let after = line.split("\"listen\":\"http://").nth(1).unwrap();
    let address = after.split('"').next().unwrap().parse().unwrap();
    let mut client = Client::connect(address).await;
    client.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    upstream.until_seen(1).await;
    let _ = std::fs::remove_file(&file);

    terminate(&child);
    line_with(&mut log, "a second signal ends at once");
    assert_eq!(child.try_wait().unwrap(), None);
    terminate(&child);
    let (send, ended) = oneshot::channel();
    std::thread::spawn(move || send.send(child.wait().unwrap().code()));
    assert_eq!(in_time(ended).await.unwrap(), Some(1));
    assert_eq!(client.rest().await, "");
}
