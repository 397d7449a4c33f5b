//! A long run with everything that happens in a year: callers of several users, while
//! Entra ID and the upstream fail and come back, signing keys and the client secret are rotated, the
//! configuration is read anew, and gateways are restarted in turn behind one socket. No answer may be
//! another user's, no request may be lost that HTTP lets us keep, and the gateway that runs all the time
//! must not grow.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement, run by hand"
)]

mod client;
#[path = "../rolling/gateways.rs"]
mod gateways;
mod resources;
mod tally;
mod traffic;
mod trouble;
mod upstream;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, RwLock, atomic::AtomicBool},
    time::Duration,
};

use entra_emulator::{Emulator, demo as ids};
use tokio::time::Instant;

use self::{
    gateways::Fleet,
    resources::Samples,
    tally::Tally,
    traffic::User,
    trouble::{Files, IDLE, Troubles},
    upstream::Upstream,
};

/// So many callers begin a request each so often, whether the last one is answered or not.
const CALLERS: usize = 40;
const PAUSE: Duration = Duration::from_millis(300);

/// Whom a gateway knows is served while Entra ID fails. One that has just started does not know everybody yet.
const MOST_UNKNOWN: f64 = 0.10;

/// Of the tokens of users and downstreams: they are renewed several times.
const LIFETIME: Duration = Duration::from_secs(120);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let binary: PathBuf = arguments
        .next()
        .expect("the path of the release binary of obo-gateway")
        .into();
    let seconds: u64 = arguments.next().map_or(600, |text| {
        let text = text.to_str().expect("a number of seconds");
        text.parse().expect("a number of seconds")
    });
    assert!(seconds >= 60, "less than a minute shows nothing");

    let emulator = Emulator::builder().token_lifetime(LIFETIME);
    let emulator = Arc::new(emulator.start().await.unwrap());
    let upstream = Upstream::start().await;
    let files = Files::new(&emulator, upstream.address);
    let fleet = Fleet::new(&binary, files.arguments(), Vec::new());
    // It runs all the time, and is watched.
    let elder = fleet.start().await;
    let users = users(&emulator);
    let tally = Tally::new();

    let end = Instant::now() + Duration::from_secs(seconds);
    let samples = Samples::begin(&elder, Duration::from_secs(seconds));
    let troubles = Troubles {
        emulator: Arc::clone(&emulator),
        upstream: upstream.clone(),
        files,
        users: users.clone(),
        tally: tally.clone(),
    };
    let (happened, begun) = tokio::join!(
        troubles.run(&fleet, &elder, end),
        traffic::run(fleet.address, &users, CALLERS, PAUSE, end, &tally)
    );
    // What still runs may end, and so may connections that are kept for nobody.
    tokio::time::sleep(IDLE + Duration::from_secs(3)).await;
    let resources = samples.end().await;
    let metrics = elder.get("/metrics").await.1;
    elder.stop().await;

    println!(
        "{seconds} s, {CALLERS} callers, one request each {PAUSE:?}, {begun} in all: {happened}\n"
    );
    println!("| what became of requests | how many |\n|---|---|");
    for (what, count) in tally.counts() {
        println!("| {what} | {count} |");
    }
    println!("\n{resources}");
    let mut failures = resources.growth();
    let (wrong, first) = tally.all_wrong();
    if wrong > 0 {
        failures.push(format!(
            "{wrong} requests were not as they had to be, for instance"
        ));
        failures.extend(first);
    }
    // The rate does not depend on the gateway: whoever begins fewer has no time for it.
    let due = (seconds as f64 / PAUSE.as_secs_f64()) as u64 * CALLERS as u64;
    if begun * 100 < due * 95 {
        failures.push(format!("{begun} requests were begun of {due}"));
    }
    let ended = tally.ended();
    if ended != begun {
        failures.push(format!("{begun} requests were begun, and {ended} judged"));
    }
    let served = tally.counts().get("served").copied().unwrap_or(0);
    if served * 2 < begun {
        failures.push(format!("{served} were served of {begun}"));
    }
    let refused_known = tally.refused_known();
    if refused_known > MOST_UNKNOWN {
        failures.push(format!(
            "{:.0} % of those who were known before were refused while Entra ID failed",
            refused_known * 100.0
        ));
    }
    for line in [
        "obo_requests_running 0",
        "obo_foreign_tokens_total 0",
        "obo_ready 1",
    ] {
        if !metrics.lines().any(|has| has == line) {
            failures.push(format!("/metrics does not say {line:?} at the end"));
        }
    }
    let reloads = |result: &str| {
        let series = format!("obo_config_reloads_total{{result=\"{result}\"}} ");
        let lines = metrics.lines();
        lines
            .filter_map(|line| line.strip_prefix(&*series)?.parse::<u32>().ok())
            .sum::<u32>()
    };
    let held = reloads("ok");
    // The one that runs all the time is told of each, and sees by itself that the file is another.
    if held * 2 < happened.reloads || reloads("failed") > 0 {
        let failed = reloads("failed");
        failures.push(format!("{held} configurations held, and {failed} failed"));
    }
    let mut internal = (metrics.lines()).filter(|line| line.contains("problem=\"internal-error\""));
    if internal.any(|line| !line.ends_with(" 0")) {
        failures.push("there were internal errors".to_owned());
    }
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    match failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// A user for each caller: four people, each with several tokens.
fn users(emulator: &Emulator) -> Vec<Arc<User>> {
    let people = [
        ("alice", ids::ALICE_OID),
        ("bob", ids::BOB_OID),
        ("frank", ids::FRANK_OID),
        ("grace", ids::GRACE_OID),
    ];
    let user = |number: usize| {
        let (name, oid) = people[number % people.len()];
        let token = RwLock::new(emulator.user_token(name));
        let is_new = AtomicBool::new(false);
        Arc::new(User {
            name,
            oid,
            token,
            is_new,
        })
    };
    (0..CALLERS).map(user).collect()
}
