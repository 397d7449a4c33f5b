//! User-space instructions per cached request of the gateway, counted by valgrind's callgrind: a
//! figure that a busy machine does not change, and that may not creep.
//!
//! The release binary runs twice under callgrind with one worker, once for a few requests and once
//! for many; the difference is what the further requests cost. SHA-256 of the token is counted
//! apart: valgrind hides the processor's own instructions for it, so it looks thirty times as dear
//! as it is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement, run by hand"
)]

mod callgrind;
mod rig;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use self::{
    callgrind::Cost,
    rig::{Rig, Seen},
};

const FEW: usize = 200;
const MANY: usize = 2_200;

/// The recorded figure; a measurement above it by more than a twentieth fails.
const RECORDED: &str = include_str!("recorded.txt");

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let gateway: PathBuf = std::env::args_os()
        .nth(1)
        .expect("the path of the release binary of obo-gateway")
        .into();
    let rig = Rig::start().await;
    let each = cost_of_one(&rig, &gateway, FEW, MANY, Seen::Before).await;
    let own = each.total - each.sha256;
    let recorded: u64 = RECORDED.trim().parse().expect("recorded.txt is a number");
    println!(
        "token of {} bytes, {} requests",
        rig.token_bytes(),
        MANY - FEW
    );
    println!(
        "{own} instructions per cached request, and {} for SHA-256",
        each.sha256
    );
    println!("recorded: {recorded}");
    let first = cost_of_one(&rig, &gateway, FEW, FEW * 2, Seen::First).await;
    println!(
        "{} instructions per token that is seen for the first time (its exchange included), and {} for SHA-256",
        first.total - first.sha256,
        first.sha256
    );
    if own > recorded + recorded / 20 {
        println!("that is more than 5 % above the record: find out why, or change the record");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What each further request costs.
async fn cost_of_one(rig: &Rig, gateway: &Path, few: usize, many: usize, seen: Seen) -> Cost {
    let requests = (many - few) as u64;
    let few = rig.cost(gateway, few, seen).await;
    let many = rig.cost(gateway, many, seen).await;
    Cost {
        total: (many.total - few.total) / requests,
        sha256: (many.sha256 - few.sha256) / requests,
    }
}
