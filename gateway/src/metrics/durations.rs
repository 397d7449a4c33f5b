//! How long things took, by classes. Nothing waits for anything: one addition to a class, one to the
//! sum.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The upper bounds of the classes, in microseconds. Beyond the last there is one more.
const BOUNDS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// How many classes there are.
pub(super) const CLASSES: usize = BOUNDS.len() + 1;

/// A histogram.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    classes: [AtomicU64; CLASSES],
    microseconds: AtomicU64,
}

/// What a histogram holds, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Read {
    pub(super) sum: f64,
    pub(super) count: u64,
    /// Upper bounds, and how many lie between each and the one before.
    pub(super) classes: Vec<(f64, u64)>,
}

impl Durations {
    pub(crate) fn record(&self, took: Duration) {
        let took = microseconds(took);
        if let Some(class) = self.classes.get(class_of(took)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        self.microseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// Adds what another holds.
    pub(super) fn add(&self, other: &Self) {
        for (own, theirs) in self.classes.iter().zip(&other.classes) {
            own.fetch_add(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let theirs = other.microseconds.load(Ordering::Relaxed);
        self.microseconds.fetch_add(theirs, Ordering::Relaxed);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of 285 years are exact"
    )]
    pub(super) fn read(&self) -> Read {
        let seconds = |microseconds: u64| microseconds as f64 / 1e6;
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound));
        let counts = self
            .classes
            .iter()
            .map(|class| class.load(Ordering::Relaxed));
        let classes: Vec<(f64, u64)> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        Read {
            sum: seconds(self.microseconds.load(Ordering::Relaxed)),
            count: classes.iter().map(|(_, count)| count).sum(),
            classes,
        }
    }
}

/// The class of a duration.
pub(super) fn class(took: Duration) -> usize {
    class_of(microseconds(took))
}

fn class_of(microseconds: u64) -> usize {
    (BOUNDS.iter())
        .position(|bound| microseconds <= *bound)
        .unwrap_or(BOUNDS.len())
}

fn microseconds(took: Duration) -> u64 {
    took.as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(u64::from(took.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_class_that_is_not_shorter() {
        let durations = Durations::default();
        for ms in [0, 1, 2, 3, 70_000] {
            durations.record(Duration::from_millis(ms));
        }
        let read = durations.read();
        let of = |bound: f64| {
            read.classes
                .iter()
                .find(|class| class.0 == bound)
                .unwrap()
                .1
        };
        assert_eq!((of(0.0005), of(0.001), of(0.0025), of(0.005)), (1, 1, 1, 1));
        assert_eq!(of(f64::INFINITY), 1, "longer than all classes");
        assert_eq!((read.count, read.sum), (5, 70.006));
        let both = Durations::default();
        both.add(&durations);
        both.add(&durations);
        assert_eq!((both.read().count, both.read().sum), (10, 140.012));
    }
}
