//! What the bound of exchanges in flight does for Entra ID, and to callers.

use std::error::Error;

use crate::{
    Run,
    demand::sum,
    page::Table,
    plot::thousands,
    replica::{Bound, Outcome, Replica},
};

pub(super) fn run(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let replicas = run.base.replicas;
    let requests = run.base.requests_per_second() / replicas as f64;
    let mut table = Table::new(&format!(
        "a replica starts with nothing, {requests:.0} requests/s | exchanges/s at most | longest wait | refused | all 1,000 at once: exchanges/s at most | refused"
    ));
    let mut drawn = Vec::new();
    for (name, is_own, in_flight, exchange) in [
        ("any of all users, 128, 0.2 s each", false, 128, 0.2),
        ("its own 10,000 users, 128, 0.2 s each", true, 128, 0.2),
        ("its own 10,000 users, 128, 2 s each", true, 128, 2.0),
        ("its own 10,000 users, 16, 2 s each", true, 16, 2.0),
    ] {
        let start = |number| {
            Replica {
                users: if is_own {
                    run.base.users / replicas as u32
                } else {
                    run.base.users
                },
                requests_per_second: requests,
                bound: Bound {
                    in_flight,
                    exchange,
                },
                seconds: 600,
                number,
            }
            .start()
        };
        let one = start(1);
        let mut cells = vec![
            name.to_owned(),
            most(&one),
            format!("{} s", one.longest_wait),
            thousands(sum(&one.refused)),
        ];
        if is_own {
            let mut all = Outcome::default();
            (0..replicas as u64).for_each(|number| all.add(&start(number)));
            cells.extend([most(&all), thousands(sum(&all.refused))]);
        } else {
            // Where any may get it, a token is exchanged at each; see the table of restarts.
            cells.extend(["–".to_owned(), "–".to_owned()]);
        }
        table.row(&cells);
        drawn.push((name, one.exchanges));
    }
    run.figures.table("start", table);
    let title = "Exchanges of one replica that starts with nothing; bound of exchanges in flight";
    run.draw("start.svg", title, &drawn)
}

fn most(outcome: &Outcome) -> String {
    thousands(f64::from(
        outcome.exchanges.iter().max().copied().unwrap_or(0),
    ))
}
