//! A crowd of bad clients in front of the gateway, a kind at a time, and one good caller among them:
//! what the gateway's process takes meanwhile, and what the good caller sees of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement, run by hand"
)]

mod caller;
mod process;
mod trouble;
mod upstream;

use std::{path::PathBuf, process::ExitCode, sync::atomic::Ordering, time::Duration};

use entra_emulator::Emulator;
use tokio::task::JoinSet;

use self::{caller::Seen, process::Gateway, trouble::Trouble};

/// How long each kind lasts.
const EACH: Duration = Duration::from_secs(12);

/// What the gateway's process may take at most, in MiB: a slow download costs about 0.3.
const MAX_MIB: u64 = 96;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let binary: PathBuf = std::env::args_os()
        .nth(1)
        .expect("the path of the release binary of obo-gateway")
        .into();
    let emulator = Emulator::builder().start().await.unwrap();
    let gateway = Gateway::start(&binary, &emulator, upstream::start().await).await;
    let token = emulator.user_token("alice");
    caller::until_served(gateway.address, &token).await;
    let quiet = gateway.usage();

    println!(
        "| meanwhile | connections made | calls | failed | median ms | 99 % ms | longest ms | MiB \
         | descriptors | CPU s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut failed = 0;
    for kind in Trouble::ALL {
        let seen = phase(kind, &gateway, &token).await;
        failed += seen.failed;
    }
    // Connections to the upstream wait for other requests, for `idle_timeout` (a minute) at most.
    let mut after = gateway.usage();
    for _ in 0..70 {
        if after.descriptors <= quiet.descriptors + 16 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        after = gateway.usage();
    }
    println!(
        "\nbefore: {} MiB, {} descriptors; at most: {} MiB; after: {} MiB, {} descriptors",
        quiet.mib, quiet.descriptors, after.peak_mib, after.mib, after.descriptors
    );
    gateway.stop().await;

    let mut good = true;
    for (wrong, what) in [
        (failed > 0, "the good caller was not always served"),
        (after.peak_mib > MAX_MIB, "the process took too much memory"),
        (
            after.descriptors > quiet.descriptors + 16,
            "descriptors are left open",
        ),
    ] {
        if wrong {
            println!("FAILED: {what}");
            good = false;
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One kind of trouble, for a while.
async fn phase(kind: Trouble, gateway: &Gateway, token: &str) -> Seen {
    let before = gateway.usage();
    let mut crowd = JoinSet::new();
    let made = trouble::start(kind, gateway.address, token, &mut crowd).await;
    let seen = caller::call(gateway.address, token, EACH).await;
    let usage = gateway.usage();
    println!(
        "| {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {} | {} | {:.1} |",
        kind.name(),
        made.load(Ordering::Relaxed),
        seen.calls,
        seen.failed,
        seen.median,
        seen.late,
        seen.longest,
        usage.mib,
        usage.descriptors,
        usage.cpu - before.cpu,
    );
    // Their connections end with them.
    crowd.shutdown().await;
    seen
}
