//! Tokens of one moment are renewed in another, unless that is spread.

use std::error::Error;

use super::restart::AT_ONCE;
use crate::{
    Run, USUAL,
    demand::busiest_minute,
    fleet::{Balance, Fleet, Lifetime},
    page::Table,
    plot::thousands,
};

/// Of clients that answer claims challenges.
const LONG: Lifetime = Lifetime(20.0 * 3_600.0, 28.0 * 3_600.0);

pub(super) fn run(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let mut table =
        Table::new("after all were restarted at once | renewals/s in the busiest minute");
    let mut drawn = Vec::new();
    let hour = Lifetime(3_600.0, 3_600.0);
    for (name, downstream, jitter) in [
        ("tokens of 1 h, not spread", hour, 0.0),
        ("tokens of 1 h, spread over a tenth", hour, 0.1),
        ("tokens of 60 to 90 min, not spread", USUAL, 0.0),
        ("tokens of 60 to 90 min, spread", USUAL, 0.1),
    ] {
        let fleet = Fleet {
            balance: Balance::ByUser,
            caller: LONG,
            downstream,
            jitter,
            restart: AT_ONCE,
            seconds: 2 * 3_600,
            ..run.base
        };
        let renewals = run.simulate(&fleet).renewals;
        table.row(&[name.to_owned(), thousands(busiest_minute(&renewals))]);
        drawn.push((name, renewals));
    }
    run.figures.table("echo", table);
    let title =
        "Renewals after a restart of all replicas in minute 10; callers with tokens of a day";
    run.draw("renewals.svg", title, &drawn)
}
