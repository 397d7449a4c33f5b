//! The formulas of docs/capacity.md. The simulation is what they are checked against.

use crate::fleet::{Balance, CLIENT_RENEWS, Fleet, Lifetime, Store};

/// Of each lifetime, for sums over all of them.
const STEPS: u32 = 40;

/// What a fleet costs that nothing happens to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// How many caches exchange one of the caller's tokens, each for itself.
    pub(crate) caches: f64,
    /// How many exchanges each of those makes, with those ahead of time.
    pub(crate) renewing: f64,
    /// That Entra ID sees: users / (life + pause) * caches * renewing.
    pub(crate) exchanges_per_second: f64,
    /// Callers whose tokens one replica has, at any moment.
    pub(crate) entries: f64,
}

impl Cost {
    pub(crate) fn of(fleet: &Fleet) -> Self {
        let users = f64::from(fleet.users);
        let replicas = fleet.replicas as f64;
        let pause = f64::from(fleet.pause);
        let life = fleet.caller.mean() - f64::from(CLIENT_RENEWS);
        // The one that it begins with among them.
        let requests = 1.0 + life / pause;
        // Of so many with one token, thrown at random: how many replicas see one at all?
        let seen_by = match fleet.balance {
            Balance::Random => replicas * (1.0 - (1.0 - 1.0 / replicas).powf(requests)),
            Balance::ByUser => 1.0,
        };
        // Caches that each have a token of their own.
        let is_shared = fleet.store != Store::None;
        let (caches, of) = match fleet.balance {
            Balance::Random if !is_shared => (seen_by, replicas),
            _ => (1.0, 1.0),
        };
        let renewing = 1.0 + renewals(fleet, of);
        Self {
            caches,
            renewing,
            exchanges_per_second: users / (life + pause) * caches * renewing,
            entries: users * seen_by / replicas,
        }
    }
}

/// How often a token is exchanged again by one of so many caches among which requests are thrown at random:
/// that it would end before its caller's, and is asked for once more between the time for its renewal and
/// the last request.
fn renewals(fleet: &Fleet, caches: f64) -> f64 {
    let pause = f64::from(fleet.pause) * caches;
    let (mut sum, mut weights) = (0.0, 0.0);
    for caller in each(fleet.caller) {
        let last = caller - f64::from(CLIENT_RENEWS);
        for downstream in each(fleet.downstream) {
            let margin = (downstream / 10.0).min(300.0);
            let mut is_first = |first: f64, weight: f64| {
                let due = first + downstream * (0.8 - f64::from(fleet.jitter) / 2.0);
                if first + downstream - margin < caller && due < last {
                    sum += weight * (1.0 - (-(last - due) / pause).exp());
                }
                weights += weight;
            };
            // The first request with a caller's token comes to one of them, and to the others later or not.
            is_first(0.0, 1.0 / caches);
            let step = last / f64::from(STEPS);
            for number in 0..STEPS {
                let first = step * (f64::from(number) + 0.5);
                let comes = (-first / pause).exp() * step / pause;
                is_first(first, (1.0 - 1.0 / caches) * comes);
            }
        }
    }
    sum / weights
}

fn each(lifetime: Lifetime) -> impl Iterator<Item = f64> {
    let (from, to) = (f64::from(lifetime.0), f64::from(lifetime.1));
    (0..STEPS).map(move |step| from + (to - from) * (f64::from(step) + 0.5) / f64::from(STEPS))
}
