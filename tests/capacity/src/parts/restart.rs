//! Replicas that are restarted, and lose what they have cached.

use std::error::Error;

use crate::{
    Run,
    demand::{busiest_minute, rate, sum},
    fleet::{Balance, Fleet, Restart, Store},
    page::Table,
    plot::{signed, thousands},
};

/// In which second it begins.
const FROM: usize = 600;

/// One after the other.
const ROLLING: Restart = Restart::Rolling {
    from: FROM as f32,
    over: 1_000.0,
};
pub(super) const AT_ONCE: Restart = Restart::Rolling {
    from: FROM as f32,
    over: 0.0,
};

pub(super) fn run(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new(
        "a restart | exchanges/s before | in the busiest minute | exchanges more than without it, that a caller waits for | ahead of time | together",
    );
    let mut drawn = Vec::new();
    for (name, balance, store, restart) in [
        (
            "any replica, no store",
            Balance::Random,
            Store::None,
            ROLLING,
        ),
        (
            "one by user, no store",
            Balance::ByUser,
            Store::None,
            ROLLING,
        ),
        (
            "one by user, no store, all at once",
            Balance::ByUser,
            Store::None,
            AT_ONCE,
        ),
        (
            "any replica, shared store",
            Balance::Random,
            Store::Shared,
            ROLLING,
        ),
        (
            "one by user, shared store",
            Balance::ByUser,
            Store::Shared,
            ROLLING,
        ),
    ] {
        let without = Fleet {
            balance,
            store,
            ..run.base
        };
        let control = run.simulate(&without);
        let demand = run.simulate(&Fleet { restart, ..without });
        let seen = demand.at_entra();
        let waited = sum(&demand.exchanges[FROM..]) - sum(&control.exchanges[FROM..]);
        let ahead = sum(&demand.renewals[FROM..]) - sum(&control.renewals[FROM..]);
        table.row(&[
            name.to_owned(),
            thousands(rate(&seen[..FROM])),
            thousands(busiest_minute(&seen)),
            signed(waited),
            signed(ahead),
            signed(waited + ahead),
        ]);
        if store == Store::None && balance == Balance::ByUser && restart == ROLLING {
            run.figures
                .figure("restart_costs", format!("{:.1}", waited / 1e6));
            run.figures
                .figure("restart_spares", format!("{:.1}", -ahead / 1e6));
            run.figures
                .figure("restart_more", format!("{:.1}", (waited + ahead) / 1e6));
        }
        drawn.push((name, seen));
    }
    run.figures.table("restart", table);
    // The first is beyond all others, and would make lines on the axis of them.
    let title = "Exchanges at Entra ID while 1,000 replicas are restarted, from minute 10 on";
    run.draw("restart.svg", title, &drawn[1..4])
}
