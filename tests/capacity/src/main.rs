//! How many exchanges a fleet costs, by simulation: docs/capacity.md with its pictures.
//!
//! `make capacity` runs it with 10 million users and 1,000 replicas, and writes the page anew; its text is
//! `page.md` here. A word (`steady`, `moment`, `restart`, `lost`, `start`, `echo`) takes one part of it,
//! and `USERS` another number of users: then figures are printed, and no page is written.

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

mod demand;
mod fleet;
mod model;
mod page;
mod parts;
mod plot;
mod replica;
#[cfg(test)]
mod tests;
mod user;

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    time::Instant,
};

use self::{
    demand::Demand,
    fleet::{Balance, Fleet, Lifetime, Restart, Store},
    page::Figures,
    parts::PARTS,
    plot::{Line, thousands},
};

const USERS: u32 = 10_000_000;

/// What Entra ID gives by default.
const USUAL: Lifetime = Lifetime(3_600.0, 5_400.0);

/// A fleet that nothing happens to.
const fn calm(users: u32) -> Fleet {
    Fleet {
        users,
        replicas: fleet::MOST_REPLICAS,
        pause: 60.0,
        burst: 1,
        caller: USUAL,
        downstream: USUAL,
        balance: Balance::Random,
        store: Store::None,
        exchange: 0.2,
        wait: 0.1,
        jitter: 0.1,
        restart: Restart::Never,
        seconds: 3_600,
    }
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn main() -> Result<(), Box<dyn Error>> {
    let users = env::var("USERS").map_or(Ok(USERS), |text| text.parse())?;
    let only = env::args().nth(1);
    let mut run = Run {
        base: calm(users),
        done: Vec::new(),
        figures: Figures::default(),
        is_whole: users == USERS && only.is_none(),
    };
    for (name, part) in PARTS {
        if only.as_deref().is_none_or(|only| only == *name) {
            part(&mut run)?;
        }
    }
    if run.is_whole {
        run.figures.write(&docs().join("capacity.md"))?;
    }
    Ok(())
}

/// What the parts of the program have in common.
struct Run {
    base: Fleet,
    /// What has been simulated, since several parts look at the same.
    done: Vec<(String, Demand)>,
    figures: Figures,
    /// Whether the page and its pictures are to be made anew.
    is_whole: bool,
}

impl Run {
    fn simulate(&mut self, fleet: &Fleet) -> Demand {
        let key = format!("{fleet:?}");
        if let Some((_, demand)) = self.done.iter().find(|done| done.0 == key) {
            return demand.clone();
        }
        let started = Instant::now();
        let demand = fleet.run();
        eprintln!(
            "{} users at {} replicas for {} s took {:.1} s",
            thousands(f64::from(fleet.users)),
            fleet.replicas,
            fleet.seconds,
            started.elapsed().as_secs_f64(),
        );
        self.done.push((key, demand.clone()));
        demand
    }

    fn draw(
        &self,
        file: &str,
        title: &str,
        lines: &[(&str, Vec<u32>)],
    ) -> Result<(), Box<dyn Error>> {
        if !self.is_whole {
            return Ok(());
        }
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, counts)| Line { name, counts })
            .collect();
        plot::draw(&docs().join("capacity").join(file), title, &lines)
    }
}
