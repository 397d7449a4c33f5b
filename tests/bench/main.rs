//! What a request costs the gateway beside proxies that check nothing and one that checks every token, in one
//! run: a table, and a picture of it.
//!
//! `make bench` runs it. Load generator, proxy and upstream share the machine, so the figure that counts is
//! the CPU time of the proxy's own processes for each request. `ROUNDS` (5), `SECONDS` a measurement (5) and
//! `TOKENS` (10000) may be given; `DOCS=1` writes `docs/bench.md` and `docs/bench.svg`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a measurement, run by a script"
)]

mod figures;
mod load;
mod picture;
mod process;
mod proxies;
mod rig;
mod start;
mod warm;

use std::{env, fs, path::PathBuf, process::ExitCode};

use self::{figures::Figures, proxies::Proxy, rig::Rig};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(binary) = arguments.next().map(PathBuf::from) else {
        eprintln!("bench: the path of the release binary of obo-gateway is missing");
        return ExitCode::FAILURE;
    };
    let (rounds, seconds) = (number("ROUNDS", 5), number("SECONDS", 5));
    let rig = Rig::start(number("TOKENS", 10_000)).await;
    let proxies = Proxy::all(&rig, &binary);
    let mut figures = Figures::new(&proxies, start::median(&rig, &binary).await);
    for round in 1..=rounds {
        for (place, proxy) in proxies.iter().enumerate() {
            let sample = proxy.measure(&rig, seconds).await;
            eprintln!(
                "round {round} of {rounds}  {:<28} {:>6.1} µs  {:>7.0} requests/s  {} not answered by 200",
                proxy.name,
                sample.micros(),
                sample.per_second(),
                sample.bad
            );
            figures.add(place, sample);
        }
    }
    println!("{}\n{}", figures.table(), figures.start());
    if env::var_os("DOCS").is_some() {
        fs::write(
            format!("{DOCS}/bench.md"),
            figures.page(&rig, rounds, seconds),
        )
        .unwrap();
        picture::draw(&figures, &format!("{DOCS}/bench.svg")).unwrap();
    }
    if figures.any_bad() {
        eprintln!("bench: requests were not answered by 200; the figures mean nothing");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn number(name: &str, otherwise: usize) -> usize {
    env::var(name).map_or(otherwise, |text| text.parse().expect(name))
}
