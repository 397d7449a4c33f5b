//! The formulas of docs/capacity.md. The simulation is what they are checked against.

use crate::fleet::{Balance, CLIENT_RENEWS, Fleet, Lifetime};

/// Of each lifetime, for sums over all of them.
const STEPS: u32 = 40;

/// What a fleet costs that nothing happens to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// That Entra ID sees, those ahead of time included.
    pub(crate) exchanges_per_second: f64,
    /// Callers whose tokens one replica has, at any moment.
    pub(crate) entries: f64,
}

impl Cost {
    pub(crate) fn of(fleet: &Fleet) -> Self {
        let users = f64::from(fleet.users);
        let replicas = fleet.replicas as f64;
        let life = fleet.caller.mean() - f64::from(CLIENT_RENEWS);
        let requests = life / f64::from(fleet.pause);
        // Of so many requests with one token, thrown at random: how many replicas see one at all?
        let seen_by = match fleet.balance {
            Balance::Random => replicas * (1.0 - (1.0 - 1.0 / replicas).powf(requests)),
            Balance::ByUser => 1.0,
        };
        // Caches that each have a token of their own, and how often each is asked.
        let caches = if fleet.store { 1.0 } else { seen_by };
        let asked_by = match fleet.balance {
            Balance::Random if !fleet.store => replicas,
            _ => 1.0,
        };
        let pause = f64::from(fleet.pause) * asked_by;
        Self {
            exchanges_per_second: users * caches * (1.0 + renewals(fleet, pause)) / life,
            entries: users * seen_by / replicas,
        }
    }
}

/// How often a token is exchanged again, for a cache that is asked once in `pause` seconds: that it would end
/// before its caller's, and is asked for once more between the time for its renewal and the last request.
fn renewals(fleet: &Fleet, pause: f64) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for caller in each(fleet.caller) {
        let last = caller - f64::from(CLIENT_RENEWS);
        for downstream in each(fleet.downstream) {
            let margin = (downstream / 10.0).min(300.0);
            for step in 0..STEPS {
                let first = last * (f64::from(step) + 0.5) / f64::from(STEPS);
                let weight = (-first / pause).exp();
                let due = first + downstream * (0.8 - f64::from(fleet.jitter) / 2.0);
                if first + downstream - margin < caller && due < last {
                    sum += weight * (1.0 - (-(last - due) / pause).exp());
                }
                weights += weight;
            }
        }
    }
    sum / weights
}

fn each(lifetime: Lifetime) -> impl Iterator<Item = f64> {
    let (from, to) = (f64::from(lifetime.0), f64::from(lifetime.1));
    (0..STEPS).map(move |step| from + (to - from) * (f64::from(step) + 0.5) / f64::from(STEPS))
}
