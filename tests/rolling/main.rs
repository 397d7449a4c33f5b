//! Two gateways behind one socket are restarted in turn while `wrk` sends, and no request fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement, run by a script"
)]

mod gateways;
#[path = "../crowd/upstream.rs"]
mod upstream;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use entra_emulator::{Emulator, demo as ids};
use tokio::{process::Command, time::Instant};

use self::gateways::Fleet;

/// Between one restart and the next.
const PAUSE: Duration = Duration::from_millis(1_500);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let binary: PathBuf = arguments
        .next()
        .expect("the path of the release binary of obo-gateway")
        .into();
    let seconds = arguments.next().map_or(20, |text| {
        let text = text.to_str().expect("a number of seconds");
        text.parse().expect("a number of seconds")
    });
    let emulator = Emulator::builder().start().await.unwrap();
    let upstream = upstream::start().await;
    let of = |name: &str, value: &str| [name.to_owned(), value.to_owned()];
    let arguments = [
        of("--upstream", &format!("http://{upstream}")),
        of("--authority", emulator.url()),
        of("--tenant", ids::CONTOSO),
        of("--client-id", ids::API_CLIENT_ID),
        of("--scope", ids::API_SCOPE),
        of("--workers", "1"),
    ];
    let mut arguments = arguments.concat();
    arguments.push("--allow-http-loopback".to_owned());
    let secret = ("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET.to_owned());
    let fleet = Fleet::new(&binary, arguments, vec![secret]);
    let mut running = vec![fleet.start().await, fleet.start().await];

    let token = emulator.user_token("alice");
    let wrk = Command::new("wrk")
        .args(["-t2", "-c32", "--timeout=10s", &format!("-d{seconds}s")])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .arg(format!("http://{}/item", fleet.address))
        .kill_on_drop(true)
        .output();
    let wrk = tokio::spawn(wrk);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut restarts, last) = (0, PAUSE * 2);
    while Instant::now() + last < end {
        tokio::time::sleep(PAUSE).await;
        running.push(fleet.start().await);
        running.remove(0).stop().await;
        restarts += 1;
    }
    let output = wrk.await.unwrap().expect("wrk runs (Debian's package wrk)");
    let said = String::from_utf8_lossy(&output.stdout);
    let seen = Seen::of(&said);
    println!(
        "{} requests over 32 connections in {seconds} s, {restarts} restarts, {} failed",
        seen.requests, seen.failed
    );
    for gateway in running {
        gateway.stop().await;
    }
    if seen.failed > 0 || seen.requests == 0 || restarts < 2 {
        println!("FAILED: requests were lost, or nothing was tried\n{said}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What wrk has seen.
struct Seen {
    requests: u64,
    failed: u64,
}

impl Seen {
    fn of(said: &str) -> Self {
        let number = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
        let requests = said
            .lines()
            .find_map(|line| line.split_once(" requests in "));
        let mut failed = 0;
        for line in said.lines() {
            if let Some(count) = line.trim().strip_prefix("Non-2xx or 3xx responses:") {
                failed += number(count);
            }
            // connect 0, read 0, write 0, timeout 0
            if let Some(errors) = line.trim().strip_prefix("Socket errors:") {
                failed += errors
                    .split(',')
                    .filter_map(|error| error.split_whitespace().last())
                    .map(number)
                    .sum::<u64>();
            }
        }
        Self {
            requests: requests.map_or(0, |(count, _)| number(count)),
            failed,
        }
    }
}
