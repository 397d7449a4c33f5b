//! `wrk`, and what it says.

use std::time::Duration;

use tokio::process::Command;

use super::rig::Rig;

const CONNECTIONS: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) took: Duration,
    /// Not answered, or by something else than 200.
    pub(crate) bad: u64,
    /// Times of an answer, in microseconds.
    pub(crate) median: u64,
    pub(crate) slowest_of_100: u64,
}

/// Sends the tokens one after the other, over and over.
pub(crate) async fn send(rig: &Rig, port: u16, seconds: usize) -> Seen {
    let output = Command::new("wrk")
        .args(["-t2", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")])
        .args(["--timeout", "10s", "-s"])
        .arg(rig.file("wrk.lua"))
        .arg(format!("http://127.0.0.1:{port}/item"))
        .arg("--")
        .arg(rig.file("tokens"))
        .kill_on_drop(true)
        .output()
        .await
        .expect("wrk runs (Debian's package wrk)");
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix("FIGURES "));
    let line = line.unwrap_or_else(|| panic!("wrk has failed: {said}"));
    let mut numbers = line.split(' ').map(|text| text.parse::<u64>().unwrap());
    let mut next = || numbers.next().unwrap();
    Seen {
        requests: next(),
        took: Duration::from_micros(next()),
        bad: next(),
        median: next(),
        slowest_of_100: next(),
    }
}
