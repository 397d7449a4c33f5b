//! A fleet in front of many users: what is simulated, and by how many threads.
//!
//! Users do not meet: what one of them costs depends on nobody else, as long as Entra ID answers. So they
//! are gone through one after the other, each from its first request to its last, and only the figures of
//! the second in which something happened are kept. That is exact, and needs memory for one user.

use std::thread;

use fastrand::Rng;

use crate::{demand::Demand, user::User};

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

/// What the replicas share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Store {
    None,
    Shared,
    /// One that is away between two seconds. It comes back with what it held, or with nothing.
    Lost {
        from: f32,
        until: f32,
        is_empty: bool,
    },
}

impl Store {
    pub(crate) fn answers(self, now: f32) -> bool {
        match self {
            Self::None => false,
            Self::Shared => true,
            Self::Lost { from, until, .. } => now < from || now >= until,
        }
    }

    /// Whether it still has at one time what was put into it at another.
    pub(crate) fn keeps(self, put: f32, now: f32) -> bool {
        match self {
            Self::None | Self::Shared => true,
            Self::Lost {
                from,
                until,
                is_empty,
            } => !is_empty || now < from || put >= until,
        }
    }
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
    pub(crate) fn draw(self, random: &mut Rng) -> f32 {
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
    /// So many of a user's requests come at the same moment, and then none for as much longer.
    pub(crate) burst: u32,
    pub(crate) caller: Lifetime,
    pub(crate) downstream: Lifetime,
    pub(crate) balance: Balance,
    pub(crate) store: Store,
    /// That Entra ID takes for an exchange. Only a store has to do with that: nobody finds there what is
    /// still under way.
    pub(crate) exchange: f32,
    /// For which a replica waits for another's exchange.
    pub(crate) wait: f32,
    /// The part of a lifetime by which renewals ahead are spread.
    pub(crate) jitter: f32,
    pub(crate) restart: Restart,
    pub(crate) seconds: usize,
}

impl Fleet {
    pub(crate) fn requests_per_second(&self) -> f64 {
        f64::from(self.users) / f64::from(self.pause)
    }

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
        let mut user = User::new(self);
        for number in (part..self.users as usize).step_by(of) {
            user.run(number as u64, &mut demand);
        }
        demand
    }

    /// When the replica loses what it has.
    pub(crate) fn restart_of(&self, replica: usize) -> Option<f32> {
        match self.restart {
            Restart::Never => None,
            Restart::Rolling { from, over } => {
                Some(from + over * replica as f32 / self.replicas as f32)
            }
        }
    }
}
