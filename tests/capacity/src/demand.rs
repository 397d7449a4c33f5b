//! What happened in each second of a simulation.

/// Counts by second.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// That the caller waited for.
    pub(crate) exchanges: Vec<u32>,
    /// Ahead of time, in the background.
    pub(crate) renewals: Vec<u32>,
    pub(crate) found_in_store: Vec<u32>,
}

impl Demand {
    pub(crate) fn new(seconds: usize) -> Self {
        Self {
            exchanges: vec![0; seconds],
            renewals: vec![0; seconds],
            found_in_store: vec![0; seconds],
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
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
    }

    /// What Entra ID sees in each second.
    pub(crate) fn at_entra(&self) -> Vec<u32> {
        let both = self.exchanges.iter().zip(&self.renewals);
        both.map(|(one, other)| one + other).collect()
    }
}

/// One more in a second that is looked at.
pub(crate) fn count_in(counts: &mut [u32], at: f32) {
    if at >= 0.0
        && let Some(count) = counts.get_mut(at as usize)
    {
        *count += 1;
    }
}

pub(crate) fn sum(counts: &[u32]) -> f64 {
    counts.iter().map(|count| f64::from(*count)).sum()
}

/// Of a second, on average.
pub(crate) fn rate(counts: &[u32]) -> f64 {
    sum(counts) / counts.len() as f64
}

pub(crate) fn busiest_minute(counts: &[u32]) -> f64 {
    counts.chunks(60).map(rate).fold(0.0, f64::max)
}
