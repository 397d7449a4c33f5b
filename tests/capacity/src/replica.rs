//! One replica, second by second: what its bound of exchanges in flight makes of what is asked of it, and
//! who has to wait or is refused.

use std::collections::VecDeque;

use fastrand::Rng;

/// As long as a caller waits for a place among the exchanges.
const PATIENCE: usize = 5;

/// Of the exchanges of one replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) in_flight: u32,
    /// Seconds that Entra ID takes for an exchange.
    pub(crate) exchange: f64,
}

/// One that has just started, with nothing in its cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replica {
    /// Whose requests may reach it.
    pub(crate) users: u32,
    /// Of all of them.
    pub(crate) requests_per_second: f64,
    pub(crate) bound: Bound,
    pub(crate) seconds: usize,
    /// Tells it from others like it.
    pub(crate) number: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// In each second.
    pub(crate) exchanges: Vec<u32>,
    pub(crate) refused: Vec<u32>,
    /// The longest that anybody waited for a place, in seconds.
    pub(crate) longest_wait: usize,
}

impl Outcome {
    /// Of several replicas together.
    pub(crate) fn add(&mut self, other: &Self) {
        self.exchanges
            .resize(self.exchanges.len().max(other.exchanges.len()), 0);
        self.refused
            .resize(self.refused.len().max(other.refused.len()), 0);
        for (sum, part) in self.exchanges.iter_mut().zip(&other.exchanges) {
            *sum += part;
        }
        for (sum, part) in self.refused.iter_mut().zip(&other.refused) {
            *sum += part;
        }
        self.longest_wait = self.longest_wait.max(other.longest_wait);
    }
}

/// Who waits, and since when.
struct Queue {
    waiting: VecDeque<(usize, usize)>,
    per_second: usize,
    outcome: Outcome,
}

impl Queue {
    fn new(bound: Bound) -> Self {
        Self {
            waiting: VecDeque::new(),
            per_second: (f64::from(bound.in_flight) / bound.exchange).max(1.0) as usize,
            outcome: Outcome::default(),
        }
    }

    /// What becomes of them by the end of the second: who is refused, and who is served.
    fn end_of(&mut self, second: usize) -> (Vec<usize>, Vec<usize>) {
        let late = |&&(_, since): &&(usize, usize)| second - since > PATIENCE;
        let refused = self.waiting.iter().take_while(late).count();
        let refused: Vec<_> = self.waiting.drain(..refused).map(|one| one.0).collect();
        let served = self.waiting.len().min(self.per_second);
        let outcome = &mut self.outcome;
        let served: Vec<_> = self
            .waiting
            .drain(..served)
            .map(|(user, since)| {
                outcome.longest_wait = outcome.longest_wait.max(second - since);
                user
            })
            .collect();
        outcome.exchanges.push(served.len() as u32);
        outcome.refused.push(refused.len() as u32);
        (refused, served)
    }
}

impl Bound {
    /// So many in each second want an exchange, each for a token of its own.
    pub(crate) fn serve(self, demand: impl IntoIterator<Item = f64>) -> Outcome {
        let mut queue = Queue::new(self);
        let mut owed = 0.0;
        for (second, wanted) in demand.into_iter().enumerate() {
            owed += wanted;
            let arrivals = owed as usize;
            owed -= arrivals as f64;
            queue
                .waiting
                .extend(std::iter::repeat_n((0, second), arrivals));
            queue.end_of(second);
        }
        queue.outcome
    }
}

impl Replica {
    pub(crate) fn start(&self) -> Outcome {
        let mut random = Rng::with_seed(self.number);
        // In the cache, or waited for: one exchange a user, others of the same wait for that one.
        let mut is_known = vec![false; self.users as usize];
        let mut queue = Queue::new(self.bound);
        let mut owed = 0.0;
        for second in 0..self.seconds {
            owed += self.requests_per_second;
            let arrivals = owed as usize;
            owed -= arrivals as f64;
            for _ in 0..arrivals {
                let user = random.usize(..self.users as usize);
                if !is_known[user] {
                    is_known[user] = true;
                    queue.waiting.push_back((user, second));
                }
            }
            for user in queue.end_of(second).0 {
                is_known[user] = false;
            }
        }
        queue.outcome
    }
}
