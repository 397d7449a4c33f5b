//! How many exchanges a fleet costs, by simulation: the figures and pictures of docs/capacity.md.
//!
//! `make capacity` runs it with 10 million users and 1,000 replicas (some minutes on two cores); `USERS` takes
//! another number, and a word (`steady`, `restart`, `echo`, `start`) one part of it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::suboptimal_flops,
    clippy::disallowed_types,
    reason = "a simulation, run by a person; its numbers are far from the ends of their types"
)]

mod fleet;
mod model;
mod plot;
mod replica;
#[cfg(test)]
mod tests;

use std::{env, error::Error, path::Path, time::Instant};

use self::{
    fleet::{Balance, Demand, Fleet, Lifetime, Restart},
    model::Cost,
    plot::{Line, thousands},
    replica::Replica,
};

/// What Entra ID gives by default.
const USUAL: Lifetime = Lifetime(3_600.0, 5_400.0);
/// Of clients that answer claims challenges.
const LONG: Lifetime = Lifetime(20.0 * 3_600.0, 28.0 * 3_600.0);
/// When all of a fleet that is restarted one after the other has been, and how long that takes.
const ROLLING: Restart = Restart::Rolling {
    from: 600.0,
    over: 1_000.0,
};
const AT_ONCE: Restart = Restart::Rolling {
    from: 600.0,
    over: 0.0,
};

fn main() -> Result<(), Box<dyn Error>> {
    let users = env::var("USERS").map_or(Ok(10_000_000), |text| text.parse())?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/capacity");
    std::fs::create_dir_all(&folder)?;
    let base = Fleet {
        users,
        replicas: 1_000,
        pause: 60.0,
        caller: USUAL,
        downstream: USUAL,
        balance: Balance::Random,
        store: false,
        jitter: 0.1,
        restart: Restart::Never,
        warm_up: 5_400.0,
        beginnings: 60.0,
        seconds: 3_600,
    };
    let only = env::args().nth(1);
    let is_wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if is_wanted("steady") {
        steady(&base);
    }
    if is_wanted("restart") {
        rolling(&base, &folder)?;
    }
    if is_wanted("echo") {
        echo(&base, &folder)?;
    }
    if is_wanted("start") {
        cold_start(&base, &folder)?;
    }
    Ok(())
}

/// The table of what a fleet costs to which nothing happens.
fn steady(base: &Fleet) {
    println!(
        "| replicas | requests go to | shared store | exchanges/s, formula | simulated | difference | entries a replica |"
    );
    println!("|---|---|---|---|---|---|---|");
    for replicas in [1, 10, 100, 1_000] {
        for (balance, name) in [(Balance::Random, "any"), (Balance::ByUser, "one by user")] {
            for store in [false, true] {
                if store && balance == Balance::ByUser
                    || replicas == 1 && (store || balance != Balance::Random)
                {
                    continue;
                }
                let fleet = Fleet {
                    replicas,
                    balance,
                    store,
                    seconds: 600,
                    ..*base
                };
                let cost = Cost::of(&fleet);
                let seen = rate(&run(&fleet).at_entra());
                println!(
                    "| {replicas} | {name} | {} | {} | {} | {:+.1} % | {} |",
                    if store { "yes" } else { "no" },
                    thousands(cost.exchanges_per_second),
                    thousands(seen),
                    (seen / cost.exchanges_per_second - 1.0) * 100.0,
                    thousands(cost.entries),
                );
            }
        }
    }
}

fn rolling(base: &Fleet, folder: &Path) -> Result<(), Box<dyn Error>> {
    let fleets = [
        ("any replica, no store", Balance::Random, false, ROLLING),
        ("one by user, no store", Balance::ByUser, false, ROLLING),
        (
            "one by user, no store, all at once",
            Balance::ByUser,
            false,
            AT_ONCE,
        ),
        ("any replica, shared store", Balance::Random, true, ROLLING),
    ];
    println!(
        "\n| a restart | exchanges/s before | exchanges/s in the busiest minute | exchanges more than without it |"
    );
    println!("|---|---|---|---|");
    let mut drawn = Vec::new();
    for (name, balance, store, restart) in fleets {
        let fleet = Fleet {
            balance,
            store,
            restart,
            ..*base
        };
        let seen = run(&fleet).at_entra();
        let before = rate(&seen[..600]);
        let more = seen[600..]
            .iter()
            .map(|count| f64::from(*count) - before)
            .sum::<f64>();
        println!(
            "| {name} | {} | {} | {} |",
            thousands(before),
            thousands(busiest_minute(&seen)),
            thousands(more.max(0.0)),
        );
        drawn.push((name, seen));
    }
    // The first is beyond all others, and would make lines on the axis of them.
    let lines: Vec<_> = drawn[1..]
        .iter()
        .map(|(name, counts)| Line { name, counts })
        .collect();
    let title = "Exchanges at Entra ID while 1,000 replicas are restarted, from minute 10 on";
    plot::draw(&folder.join("restart.svg"), title, &lines)
}

/// Tokens of one moment are renewed in another, unless that is spread.
fn echo(base: &Fleet, folder: &Path) -> Result<(), Box<dyn Error>> {
    println!("\n| after all were restarted at once | renewals/s in the busiest minute |");
    println!("|---|---|");
    let mut drawn = Vec::new();
    for (name, downstream, jitter) in [
        ("tokens of 1 h, not spread", Lifetime(3_600.0, 3_600.0), 0.0),
        (
            "tokens of 1 h, spread over a tenth",
            Lifetime(3_600.0, 3_600.0),
            0.1,
        ),
        ("tokens of 60 to 90 min, not spread", USUAL, 0.0),
        ("tokens of 60 to 90 min, spread", USUAL, 0.1),
    ] {
        let fleet = Fleet {
            balance: Balance::ByUser,
            caller: LONG,
            downstream,
            jitter,
            restart: AT_ONCE,
            // Those who were there before must not have an echo of their own.
            beginnings: base.warm_up,
            seconds: 2 * 3_600,
            ..*base
        };
        let renewals = run(&fleet).renewals;
        println!("| {name} | {} |", thousands(busiest_minute(&renewals)));
        drawn.push((name, renewals));
    }
    let lines: Vec<_> = drawn
        .iter()
        .map(|(name, counts)| Line { name, counts })
        .collect();
    let title =
        "Renewals after a restart of all replicas in minute 10; callers with tokens of a day";
    plot::draw(&folder.join("renewals.svg"), title, &lines)
}

/// What the bound of exchanges in flight does for Entra ID, and to callers.
fn cold_start(base: &Fleet, folder: &Path) -> Result<(), Box<dyn Error>> {
    let requests = f64::from(base.users) / f64::from(base.pause) / base.replicas as f64;
    println!(
        "\n| one replica starts with nothing, {requests:.0} requests/s | exchanges/s at most | longest wait | refused |"
    );
    println!("|---|---|---|---|");
    let mut drawn = Vec::new();
    for (name, users, in_flight, exchange) in [
        ("any of all users, 128, 0.2 s each", base.users, 128, 0.2),
        ("its own 10,000 users, 128, 0.2 s each", 10_000, 128, 0.2),
        ("its own 10,000 users, 128, 2 s each", 10_000, 128, 2.0),
        ("its own 10,000 users, 16, 2 s each", 10_000, 16, 2.0),
    ] {
        let replica = Replica {
            users,
            requests_per_second: requests,
            in_flight,
            exchange,
            seconds: 600,
        };
        let start = replica.start();
        println!(
            "| {name} | {} | {} s | {} |",
            start.exchanges.iter().max().unwrap(),
            start.longest_wait,
            thousands(start.refused.iter().map(|count| f64::from(*count)).sum()),
        );
        drawn.push((name, start.exchanges));
    }
    let lines: Vec<_> = drawn
        .iter()
        .map(|(name, counts)| Line { name, counts })
        .collect();
    let title = "Exchanges of one replica that starts with nothing; bound of exchanges in flight";
    plot::draw(&folder.join("start.svg"), title, &lines)
}

fn run(fleet: &Fleet) -> Demand {
    let started = Instant::now();
    let demand = fleet.run();
    eprintln!(
        "{} requests of {} users at {} replicas in {:.0} s",
        thousands(demand.requests as f64),
        thousands(f64::from(fleet.users)),
        fleet.replicas,
        started.elapsed().as_secs_f64(),
    );
    demand
}

/// Of a second, on average.
fn rate(counts: &[u32]) -> f64 {
    counts.iter().map(|count| f64::from(*count)).sum::<f64>() / counts.len() as f64
}

fn busiest_minute(counts: &[u32]) -> f64 {
    counts.chunks(60).map(rate).fold(0.0, f64::max)
}
