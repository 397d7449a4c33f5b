//! Counts and durations by route, or by upstream.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    durations::Durations,
    exemplars::{Exemplar, Exemplars},
    outcome::{OUTCOMES, Outcome},
};

/// What one worker has counted of one route or upstream.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    outcomes: [AtomicU64; OUTCOMES.len()],
    pub(super) durations: Durations,
    pub(super) exemplars: Exemplars,
}

impl Figures {
    /// Counts something that ended so, after this time.
    pub(crate) fn count(&self, outcome: Outcome, took: Duration) {
        if let Some(count) = self.outcomes.get(outcome.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.durations.record(took);
    }

    /// Takes note of a request that a trace tells of.
    pub(crate) fn note(&self, exemplar: Exemplar) {
        self.exemplars.record(exemplar);
    }

    /// By outcome, those that were.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self
            .outcomes
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        OUTCOMES
            .into_iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
    }

    fn add(&self, other: &Self) {
        for (own, theirs) in self.outcomes.iter().zip(&other.outcomes) {
            own.fetch_add(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.durations.add(&other.durations);
        self.exemplars.add(&other.exemplars);
    }
}

/// The figures of all workers, by name.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<Arc<str>, Accounts>>);

/// The figures of one name.
#[derive(Debug, Default)]
struct Accounts {
    /// Of workers that count no more.
    past: Figures,
    open: Vec<Arc<Figures>>,
}

impl Accounts {
    /// Keeps what was counted by those that are gone, and lets go of their places.
    fn settle(&mut self) {
        let past = &self.past;
        self.open.retain(|figures| {
            let in_use = Arc::strong_count(figures) > 1;
            if !in_use {
                past.add(figures);
            }
            in_use
        });
    }
}

impl Ledger {
    /// A place for one worker to count under that name.
    pub(crate) fn open(&self, name: &str) -> Arc<Figures> {
        let figures = Arc::new(Figures::default());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let accounts = all.entry(name.into()).or_default();
        accounts.settle();
        accounts.open.push(Arc::clone(&figures));
        figures
    }

    /// The sums of all workers, by name.
    pub(super) fn read(&self) -> Vec<(Arc<str>, Figures)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter_mut()
            .map(|(name, accounts)| {
                accounts.settle();
                let sum = Figures::default();
                sum.add(&accounts.past);
                for figures in &accounts.open {
                    sum.add(figures);
                }
                (Arc::clone(name), sum)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn workers_are_added_up_and_what_is_gone_stays_counted() {
        let ledger = Ledger::default();
        let took = Duration::from_millis(1);
        let ok = Outcome::Status(StatusCode::OK);
        let sums = || {
            let read = ledger.read();
            let one = read.iter().find(|(name, _)| &**name == "/a").unwrap();
            (
                one.1.outcomes().collect::<Vec<_>>(),
                one.1.durations.read().count,
            )
        };
        let (one, two) = (ledger.open("/a"), ledger.open("/a"));
        ledger.open("/b");
        one.count(ok, took);
        two.count(ok, took);
        two.count(Outcome::Abandoned, took);
        assert_eq!(sums(), (vec![("2xx", 2), ("abandoned", 1)], 3));
        // A counter never goes back.
        drop(two);
        assert_eq!(sums(), (vec![("2xx", 2), ("abandoned", 1)], 3));
        one.count(ok, took);
        let three = ledger.open("/a");
        three.count(ok, took);
        assert_eq!(sums(), (vec![("2xx", 4), ("abandoned", 1)], 5));
        assert_eq!(ledger.0.lock().unwrap()["/a"].open.len(), 2);
    }
}
