//! A shared store that does not answer for a while.

use std::error::Error;

use crate::{
    Run,
    demand::{busiest_minute, rate, sum},
    fleet::{Balance, Fleet, Store},
    page::Table,
    plot::{grouped, thousands},
    replica::Bound,
};

/// When it is lost, and when it is there again, in seconds.
const LOST: usize = 600;
const BACK: usize = 1_800;

/// Users for each gateway, so that each has the same load whatever their number is.
const USERS: u32 = 10_000;

/// What Entra ID might allow in a second. It publishes no number.
const ALLOWED: f64 = 10_000.0;

pub(super) fn run(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new(
        "replicas | requests go to | comes back | exchanges/s before | busiest minute without it | times as many | first minute after | at a replica, in flight, 0.2 s each | refused at 0.2 s each | at 2 s each",
    );
    let mut drawn = Vec::new();
    for (replicas, balance, is_empty) in [
        (3, Balance::Random, false),
        (10, Balance::Random, false),
        (100, Balance::Random, false),
        (1_000, Balance::Random, false),
        (1_000, Balance::Random, true),
        (1_000, Balance::ByUser, false),
    ] {
        let fleet = Fleet {
            users: (run.base.users / 1_000).min(USERS) * replicas as u32,
            replicas,
            balance,
            store: Store::Lost {
                from: LOST as f32,
                until: BACK as f32,
                is_empty,
            },
            ..run.base
        };
        let demand = run.simulate(&fleet).at_entra();
        let before = rate(&demand[..LOST]);
        let without = busiest_minute(&demand[LOST..BACK]);
        let each = |exchange| {
            let bound = Bound {
                in_flight: 128,
                exchange,
            };
            let wanted = demand[LOST..BACK].iter();
            let outcome = bound.serve(wanted.map(|count| f64::from(*count) / replicas as f64));
            let requests = fleet.requests_per_second() / replicas as f64 * (BACK - LOST) as f64;
            format!("{:.0} %", sum(&outcome.refused) / requests * 100.0)
        };
        let goes_to = match balance {
            Balance::Random => "any",
            Balance::ByUser => "one by user",
        };
        table.row(&[
            grouped(replicas),
            goes_to.to_owned(),
            if is_empty { "empty" } else { "as it was" }.to_owned(),
            thousands(before),
            thousands(without),
            format!("{:.1}", without / before),
            thousands(rate(&demand[BACK..BACK + 60])),
            thousands(without / replicas as f64 * 0.2),
            each(0.2),
            each(2.0),
        ]);
        if replicas == 1_000 && balance == Balance::Random && !is_empty {
            // At least, as the page says.
            let refused = (without - ALLOWED) / fleet.requests_per_second();
            run.figures
                .figure("lost_times", format!("{:.0}", without / before));
            run.figures.figure("lost_allowed", thousands(ALLOWED));
            run.figures.figure(
                "lost_refused",
                format!("{:.0} %", (refused * 100.0).floor()),
            );
        }
        if replicas == 3 {
            run.figures
                .figure("lost_times_3", format!("{:.1}", without / before));
        }
        let name = match (replicas, balance, is_empty) {
            (1_000, Balance::Random, false) => "1,000 replicas, any",
            (1_000, Balance::Random, true) => "1,000 replicas, any; comes back empty",
            (1_000, Balance::ByUser, _) => "1,000 replicas, one by user",
            _ => continue,
        };
        drawn.push((name, demand));
    }
    run.figures.table("lost", table);
    let title = "Exchanges at Entra ID; the shared store is away from minute 10 to minute 30";
    run.draw("lost.svg", title, &drawn)
}
