//! One replica that has just started with nothing in its cache, second by second: what its bound of
//! exchanges in flight makes of that, and who has to wait or is refused.

use std::collections::VecDeque;

use fastrand::Rng;

/// As long as a caller waits for a place among the exchanges.
const PATIENCE: usize = 5;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Replica {
    /// Whose requests may reach it.
    pub(crate) users: u32,
    /// Of all of them.
    pub(crate) requests_per_second: f64,
    pub(crate) in_flight: u32,
    /// Seconds that Entra ID takes for an exchange.
    pub(crate) exchange: f64,
    pub(crate) seconds: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// In each second.
    pub(crate) exchanges: Vec<u32>,
    pub(crate) refused: Vec<u32>,
    /// The longest that anybody waited for a place, in seconds.
    pub(crate) longest_wait: usize,
}

impl Replica {
    pub(crate) fn start(&self) -> Start {
        let mut random = Rng::with_seed(1);
        let mut known = vec![false; self.users as usize];
        // Who waits, and since when. One exchange a user: others of the same wait for that one.
        let mut waiting: VecDeque<(usize, usize)> = VecDeque::new();
        let mut waits = vec![false; self.users as usize];
        let per_second = (f64::from(self.in_flight) / self.exchange).max(1.0) as usize;
        let mut start = Start {
            exchanges: Vec::new(),
            refused: Vec::new(),
            longest_wait: 0,
        };
        let mut owed = 0.0;
        for second in 0..self.seconds {
            owed += self.requests_per_second;
            let arrivals = owed as usize;
            owed -= arrivals as f64;
            for _ in 0..arrivals {
                let user = random.usize(..self.users as usize);
                if !known[user] && !waits[user] {
                    waits[user] = true;
                    waiting.push_back((user, second));
                }
            }
            let mut refused = 0;
            while let Some(&(user, since)) = waiting.front()
                && second - since > PATIENCE
            {
                waiting.pop_front();
                waits[user] = false;
                refused += 1;
            }
            let served = waiting.len().min(per_second);
            for (user, since) in waiting.drain(..served) {
                known[user] = true;
                waits[user] = false;
                start.longest_wait = start.longest_wait.max(second - since);
            }
            start.exchanges.push(served as u32);
            start.refused.push(refused);
        }
        start
    }
}
