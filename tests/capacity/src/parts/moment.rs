//! Several requests of one user at the same moment: what a shared store makes of them.

use std::error::Error;

use crate::{
    Run,
    demand::rate,
    fleet::{Balance, Fleet, Store},
    page::Table,
    plot::thousands,
};

pub(super) fn run(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new(
        "a user's requests | go to | an exchange takes | waited for another's | exchanges/s | for one token of a caller",
    );
    for (burst, balance, exchange, wait) in [
        (1, Balance::Random, 0.2, 0.1),
        (6, Balance::Random, 0.05, 0.1),
        (6, Balance::Random, 0.2, 0.1),
        (6, Balance::Random, 0.2, 0.3),
        (6, Balance::ByUser, 0.2, 0.1),
    ] {
        let fleet = Fleet {
            burst,
            balance,
            store: Store::Shared,
            exchange,
            wait,
            // As in another part, which is then not done twice.
            seconds: if burst == 1 { 3_600 } else { 600 },
            ..run.base
        };
        let seen = rate(&run.simulate(&fleet).at_entra());
        let tokens = f64::from(fleet.users)
            / (fleet.caller.mean() - 300.0 + f64::from(fleet.pause) * f64::from(burst));
        table.row(&[
            match burst {
                1 => "one by one".to_owned(),
                _ => format!("{burst} at the same moment"),
            },
            match balance {
                Balance::Random => "any",
                Balance::ByUser => "one by user",
            }
            .to_owned(),
            format!("{:.0} ms", exchange * 1_000.0),
            format!("{:.0} ms", wait * 1_000.0),
            thousands(seen),
            format!("{:.1}", seen / tokens),
        ]);
    }
    run.figures.table("moment", table);
    Ok(())
}
