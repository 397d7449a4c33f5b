//! One user: from a moment in the life of a token to the end of what is looked at.

use fastrand::Rng;

use crate::{
    demand::{Demand, count_in},
    fleet::{Balance, CLIENT_RENEWS, Fleet},
};

/// A downstream token at a replica: for which of the caller's tokens, and its times.
#[derive(Clone, Copy, Default)]
struct Held {
    caller: u32,
    /// When it got here, by an exchange or from the store.
    taken: f32,
    use_until: f32,
    renew_at: f32,
}

/// The same in the store.
#[derive(Clone, Copy, Default)]
struct Stored {
    caller: u32,
    obtained: f32,
    lifetime: f32,
}

impl Stored {
    fn use_until(&self) -> f32 {
        self.obtained + self.lifetime - (self.lifetime / 10.0).min(300.0)
    }
}

/// Goes through one user after the other.
pub(crate) struct User<'a> {
    fleet: &'a Fleet,
    /// Of requests and of callers' tokens, so that they are the same whatever becomes of them.
    arrivals: Rng,
    /// Of downstream tokens.
    tokens: Rng,
    /// Counts the callers' tokens of all users, so that nothing held for one is taken for another's.
    caller: u32,
    caller_ends: f32,
    /// By replica.
    held: Vec<Held>,
    store: Stored,
}

impl<'a> User<'a> {
    pub(crate) fn new(fleet: &'a Fleet) -> Self {
        Self {
            fleet,
            arrivals: Rng::new(),
            tokens: Rng::new(),
            caller: 0,
            caller_ends: 0.0,
            held: vec![Held::default(); fleet.replicas],
            store: Stored::default(),
        }
    }

    pub(crate) fn run(&mut self, number: u64, demand: &mut Demand) {
        let fleet = self.fleet;
        self.arrivals = Rng::with_seed(mixed(2 * number));
        self.tokens = Rng::with_seed(mixed(2 * number + 1));
        self.store = Stored::default();
        let home = self.arrivals.usize(..fleet.replicas);
        let gap = fleet.pause * fleet.burst as f32;
        let end = fleet.seconds as f32;
        let mut now = self.begin(gap);
        while now < end {
            if now >= self.caller_ends - CLIENT_RENEWS {
                self.next_caller(now);
            }
            match fleet.balance {
                Balance::Random => {
                    for _ in 0..fleet.burst {
                        let replica = self.arrivals.usize(..fleet.replicas);
                        self.request(replica, now, demand);
                    }
                }
                Balance::ByUser => {
                    // What comes at the same moment waits for one exchange.
                    self.request(home, now, demand);
                    // Until something ends, requests find what they need. When the first one after that
                    // comes does not depend on those before.
                    now = now.max(self.nothing_until(home, now));
                }
            }
            now += gap * exponential(&mut self.arrivals);
        }
    }

    /// The first request with a token that is in use at the beginning, or the first request at all: so long
    /// after the last token as anybody finds who looks at a user at some moment.
    fn begin(&mut self, gap: f32) -> f32 {
        let Self {
            fleet, arrivals, ..
        } = self;
        let mean = fleet.caller.mean() as f32 - CLIENT_RENEWS;
        if arrivals.f32() * (mean + gap) < gap {
            let first = gap * exponential(arrivals);
            self.next_caller(first);
            return first;
        }
        // One that lives longer is more likely to be met.
        let lifetime = loop {
            let lifetime = fleet.caller.draw(arrivals);
            if arrivals.f32() * (fleet.caller.1 - CLIENT_RENEWS) < lifetime - CLIENT_RENEWS {
                break lifetime;
            }
        };
        let first = -(lifetime - CLIENT_RENEWS) * arrivals.f32();
        self.caller += 1;
        self.caller_ends = first + lifetime;
        first
    }

    fn next_caller(&mut self, now: f32) {
        self.caller += 1;
        self.caller_ends = now + self.fleet.caller.draw(&mut self.arrivals);
    }

    fn request(&mut self, replica: usize, now: f32, demand: &mut Demand) {
        let (caller, fleet) = (self.caller, self.fleet);
        let here = self.held[replica];
        let is_fresh = here.caller == caller
            && now < here.use_until
            && !self.is_restarted_since(replica, here.taken, now);
        if is_fresh && now < here.renew_at {
            return;
        }
        let answers = fleet.store.answers(now);
        let stored = self.store;
        let is_stored = answers
            && stored.caller == caller
            && now < stored.use_until()
            && fleet.store.keeps(stored.obtained, now);
        let done = stored.obtained + fleet.exchange;
        // Who renews wants a newer one than what everybody may renew.
        let is_young = now < stored.obtained + stored.lifetime * (0.8 - fleet.jitter);
        // Another may still be at it, and done before the wait is over.
        if is_stored && now + fleet.wait >= done && (!is_fresh || is_young) {
            self.take(replica, now, stored);
            count_in(&mut demand.found_in_store, now);
            return;
        }
        let new = Stored {
            caller,
            obtained: now,
            lifetime: fleet.downstream.draw(&mut self.tokens),
        };
        self.take(replica, now, new);
        // Of several that are under way the first is there first.
        if answers && !(is_stored && now < done) {
            self.store = new;
        }
        let counts = match is_fresh {
            true => &mut demand.renewals,
            false => &mut demand.exchanges,
        };
        count_in(counts, now);
    }

    /// Each replica has a time of its own for the renewal of a token.
    fn take(&mut self, replica: usize, now: f32, token: Stored) {
        let early = self.fleet.jitter * self.tokens.f32();
        let use_until = token.use_until();
        self.held[replica] = Held {
            caller: token.caller,
            taken: now,
            use_until: use_until.min(self.caller_ends),
            // One that lasts as long as its caller's is not renewed.
            renew_at: match use_until < self.caller_ends {
                true => token.obtained + token.lifetime * (0.8 - early),
                false => f32::MAX,
            },
        };
    }

    fn is_restarted_since(&self, replica: usize, then: f32, now: f32) -> bool {
        let at = self.fleet.restart_of(replica);
        at.is_some_and(|at| then < at && at <= now)
    }

    /// When a request may cost something again.
    fn nothing_until(&self, replica: usize, now: f32) -> f32 {
        let here = &self.held[replica];
        let restart = self.fleet.restart_of(replica).filter(|at| *at > now);
        (self.caller_ends - CLIENT_RENEWS)
            .min(here.use_until)
            .min(here.renew_at)
            .min(restart.unwrap_or(f32::MAX))
    }
}

/// Users have numbers in a row, and Wyrand's state would differ in the last bits alone (the end of SplitMix64).
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// With a mean of 1.
fn exponential(random: &mut Rng) -> f32 {
    -(1.0 - random.f32()).ln()
}
