//! A fleet that nothing happens to, by formula and by simulation.

use std::error::Error;

use super::yes;
use crate::{
    Run,
    demand::rate,
    fleet::{Balance, Fleet, Store},
    model::Cost,
    page::Table,
    plot::{grouped, thousands},
};

/// Bytes by which one caller with one downstream token is counted against `cache.max_bytes`.
const COUNTED: f64 = 5_400.0;

/// One value in Redis, and the memory that it takes there, with its name and its end: a downstream token of
/// 1,692 bytes, sealed. 100,000 of them made `used_memory` of Redis 7.0 grow by so much each.
const VALUE: f64 = 1_745.0;
const IN_REDIS: f64 = 1_957.0;

/// Commands for a token that is not there: read, claim, read again, write, take the claim back.
const COMMANDS: f64 = 5.0;

pub(super) fn run(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let mut renewing = 0.0;
    let mut table = Table::new(
        "replicas | requests go to | shared store | caches | renewing | exchanges/s, formula | simulated | difference | entries a replica | `cache.max_bytes` for them",
    );
    let mut redis = Table::new(
        "replicas | requests go to | found there/s | exchanges/s | commands/s | MB/s read",
    );
    for replicas in [1, 10, 100, 1_000] {
        for (balance, name) in [(Balance::Random, "any"), (Balance::ByUser, "one by user")] {
            for store in [Store::None, Store::Shared] {
                // The only one is the same for all.
                if replicas == 1 && (store == Store::Shared || balance == Balance::Random) {
                    continue;
                }
                let is_shared = store == Store::Shared;
                let fleet = Fleet {
                    replicas,
                    balance,
                    store,
                    // As long as that of other parts is, where those look at the same.
                    seconds: if replicas == 1_000 { 3_600 } else { 600 },
                    ..run.base
                };
                let name = if replicas == 1 { "the one" } else { name };
                let cost = Cost::of(&fleet);
                let demand = run.simulate(&fleet);
                let seen = rate(&demand.at_entra());
                let found = rate(&demand.found_in_store);
                if replicas == 1 {
                    renewing = cost.renewing;
                }
                if is_shared {
                    redis.row(&[
                        grouped(replicas),
                        name.to_owned(),
                        thousands(found),
                        thousands(seen),
                        thousands(found + COMMANDS * seen),
                        thousands(found * VALUE / 1e6),
                    ]);
                }
                if is_shared && balance == Balance::ByUser {
                    continue;
                }
                table.row(&[
                    grouped(replicas),
                    name.to_owned(),
                    yes(is_shared),
                    format!("{:.2}", cost.caches),
                    format!("{:.2}", cost.renewing),
                    thousands(cost.exchanges_per_second),
                    thousands(seen),
                    format!("{:+.1} %", (seen / cost.exchanges_per_second - 1.0) * 100.0),
                    thousands(cost.entries),
                    bytes(cost.entries * COUNTED),
                ]);
            }
        }
    }
    let figures = &mut run.figures;
    figures.table("steady", table);
    figures.table("redis", redis);
    figures.figure("renewing", format!("{renewing:.2}"));
    figures.figure(
        "redis_gb",
        format!("{:.0}", f64::from(run.base.users) * IN_REDIS / 1e9),
    );
    figures.figure("requests", thousands(run.base.requests_per_second()));
    Ok(())
}

fn bytes(count: f64) -> String {
    match count {
        0.0..1e9 => format!("{:.0} MB", count / 1e6),
        1e9..1e10 => format!("{:.1} GB", count / 1e9),
        _ => format!("{:.0} GB", count / 1e9),
    }
}
