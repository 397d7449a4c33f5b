//! A fleet in front of many users: who asks whom for what, and when that costs an exchange.
//!
//! Users do not meet: what one of them costs depends on nobody else, as long as Entra ID answers. So they
//! are gone through one after the other, each from its first request to its last, and only the figures of
//! the second in which something happened are kept. That is exact, and needs memory for one user.

use std::thread;

use fastrand::Rng;

/// The largest number of replicas that is followed; a user's view of all of them lies in the cache.
pub(crate) const MOST_REPLICAS: usize = 1_000;

/// Clients ask for a new access token when the old one has so many seconds left.
pub(crate) const CLIENT_RENEWS: f32 = 300.0;

/// Which replica a request reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// Any, with each request.
    Random,
    /// The same for a user, always.
    ByUser,
}

/// When replicas lose what they have cached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Restart {
    Never,
    /// One after the other from the second on, over so many seconds.
    Rolling {
        from: f32,
        over: f32,
    },
}

/// Seconds between which lifetimes are spread evenly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime(pub(crate) f32, pub(crate) f32);

impl Lifetime {
    fn draw(self, random: &mut Rng) -> f32 {
        self.0 + (self.1 - self.0) * random.f32()
    }

    pub(crate) fn mean(self) -> f64 {
        f64::from(self.0).midpoint(f64::from(self.1))
    }
}

/// What is simulated. Times are seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    pub(crate) users: u32,
    pub(crate) replicas: usize,
    /// Between two requests of one user, on average.
    pub(crate) pause: f32,
    pub(crate) caller: Lifetime,
    pub(crate) downstream: Lifetime,
    pub(crate) balance: Balance,
    pub(crate) store: bool,
    /// The part of a lifetime by which renewals ahead are spread.
    pub(crate) jitter: f32,
    pub(crate) restart: Restart,
    /// Before anything is counted: long enough for all tokens to have been replaced.
    pub(crate) warm_up: f32,
    /// Over how much of that users begin.
    pub(crate) beginnings: f32,
    pub(crate) seconds: usize,
}

/// What happened in each second.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// That the caller waited for.
    pub(crate) exchanges: Vec<u32>,
    /// Ahead of time, in the background.
    pub(crate) renewals: Vec<u32>,
    pub(crate) found_in_store: Vec<u32>,
    pub(crate) requests: u64,
}

impl Demand {
    fn new(seconds: usize) -> Self {
        Self {
            exchanges: vec![0; seconds],
            renewals: vec![0; seconds],
            found_in_store: vec![0; seconds],
            requests: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.exchanges, &other.exchanges),
            (&mut self.renewals, &other.renewals),
            (&mut self.found_in_store, &other.found_in_store),
        ];
        for (ours, theirs) in pairs {
            for (sum, part) in ours.iter_mut().zip(theirs) {
                *sum += part;
            }
        }
        self.requests += other.requests;
    }

    /// What Entra ID sees in each second.
    pub(crate) fn at_entra(&self) -> Vec<u32> {
        let both = self.exchanges.iter().zip(&self.renewals);
        both.map(|(one, other)| one + other).collect()
    }
}

/// A downstream token somewhere: for which of the caller's tokens, and its times.
#[derive(Clone, Copy, Default)]
struct Held {
    caller: u32,
    obtained: f32,
    use_until: f32,
    renew_at: f32,
}

impl Held {
    fn is_fresh(&self, caller: u32, now: f32) -> bool {
        self.caller == caller && now < self.use_until
    }
}

impl Fleet {
    /// Simulates all users, on all cores.
    pub(crate) fn run(&self) -> Demand {
        assert!(
            self.replicas <= MOST_REPLICAS,
            "at most {MOST_REPLICAS} replicas"
        );
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let parts: Vec<_> = (0..threads)
                .map(|part| scope.spawn(move || self.run_part(part, threads)))
                .collect();
            let mut sum = Demand::new(self.seconds);
            for part in parts {
                sum.add(&part.join().unwrap());
            }
            sum
        })
    }

    fn run_part(&self, part: usize, of: usize) -> Demand {
        let mut demand = Demand::new(self.seconds);
        let mut held = vec![Held::default(); self.replicas];
        // Counts the tokens of all users, so that nothing held for one is taken for another's.
        let mut caller = 0;
        for user in (part..self.users as usize).step_by(of) {
            let mut random = Rng::with_seed(user as u64);
            self.run_user(&mut random, &mut caller, &mut held, &mut demand);
        }
        demand
    }

    fn run_user(&self, random: &mut Rng, caller: &mut u32, held: &mut [Held], demand: &mut Demand) {
        let end = self.seconds as f32;
        let home = random.usize(..self.replicas);
        let mut store = Held::default();
        *caller += 1;
        let mut now = -self.warm_up + self.beginnings * random.f32();
        // Somewhere in the life of the first one.
        let mut caller_ends = now + self.caller.draw(random) * random.f32();
        while now < end {
            if now >= caller_ends - CLIENT_RENEWS {
                *caller += 1;
                caller_ends = now + self.caller.draw(random);
            }
            let replica = match self.balance {
                Balance::Random => random.usize(..self.replicas),
                Balance::ByUser => home,
            };
            let second = (now >= 0.0).then_some(now as usize);
            demand.requests += u64::from(second.is_some());
            let here = &mut held[replica];
            if here.obtained < self.last_restart(replica, now) {
                *here = Held::default();
            }
            if !here.is_fresh(*caller, now) {
                let count = if self.store && store.is_fresh(*caller, now) {
                    *here = store;
                    &mut demand.found_in_store
                } else {
                    *here = self.exchanged(random, *caller, now, caller_ends);
                    store = *here;
                    &mut demand.exchanges
                };
                count_in(count, second);
            } else if now >= here.renew_at {
                if self.store && store.is_fresh(*caller, now) && now < store.renew_at {
                    *here = store;
                } else {
                    *here = self.exchanged(random, *caller, now, caller_ends);
                    store = *here;
                    count_in(&mut demand.renewals, second);
                }
            }
            now += self.pause * exponential(random);
        }
    }

    fn exchanged(&self, random: &mut Rng, caller: u32, now: f32, caller_ends: f32) -> Held {
        let lifetime = self.downstream.draw(random);
        let margin = (lifetime / 10.0).min(300.0);
        let early = self.jitter * random.f32();
        let use_until = now + lifetime - margin;
        // One that lasts as long as its caller's is not renewed.
        let renew_at = match use_until < caller_ends {
            true => now + lifetime * (0.8 - early),
            false => f32::MAX,
        };
        Held {
            caller,
            obtained: now,
            use_until: use_until.min(caller_ends),
            renew_at,
        }
    }

    /// When the replica lost what it had; before everything, if it has not yet.
    fn last_restart(&self, replica: usize, now: f32) -> f32 {
        let Restart::Rolling { from, over } = self.restart else {
            return f32::MIN;
        };
        let at = from + over * replica as f32 / self.replicas as f32;
        if now >= at { at } else { f32::MIN }
    }
}

fn count_in(counts: &mut [u32], second: Option<usize>) {
    if let Some(count) = second.and_then(|second| counts.get_mut(second)) {
        *count += 1;
    }
}

/// With a mean of 1.
fn exponential(random: &mut Rng) -> f32 {
    -(1.0 - random.f32()).ln()
}
