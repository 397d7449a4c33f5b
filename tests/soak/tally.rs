//! What became of the requests, and whether each might have.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

/// How long after a trouble has ended its consequences may last: tokens are asked for again after 5 s
/// at the latest, addresses that could not be connected to after as much.
const AFTERMATH: Duration = Duration::from_secs(8);

/// What becomes of a caller whom a gateway could know from before the trouble.
pub(crate) const REFUSED_KNOWN: &str = "refused for Entra ID's trouble, with a token of before it";

/// What is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Entra,
    Upstream,
}

/// All that the callers have seen.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    inner: Arc<Mutex<Inner>>,
    /// When the troubles began.
    start: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<&'static str, u64>,
    /// What is said beside what became of a request.
    notes: BTreeMap<&'static str, u64>,
    /// Served while Entra ID failed, with a token of before.
    served_known: u64,
    wrong: Vec<String>,
    /// Until when consequences of each may be seen; `None`: it is still going on.
    entra: Span,
    upstream: Span,
}

#[derive(Clone, Copy, Debug, Default)]
enum Span {
    #[default]
    Never,
    Now,
    Ended(Instant),
}

impl Span {
    fn explains(self, begun: Instant) -> bool {
        match self {
            Self::Never => false,
            Self::Now => true,
            Self::Ended(at) => begun < at + AFTERMATH,
        }
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::default(),
            start: Instant::now(),
        }
    }

    /// When a request was begun that ends now, and how long it took.
    pub(crate) fn when(&self, begun: Instant) -> String {
        let at = (begun - self.start).as_secs_f64();
        let took = begun.elapsed().as_secs_f64();
        format!("begun at {at:.1} s, {took:.1} s later")
    }

    pub(crate) fn begins(&self, trouble: Trouble) {
        *self.inner.lock().unwrap().span(trouble) = Span::Now;
    }

    pub(crate) fn ends(&self, trouble: Trouble) {
        *self.inner.lock().unwrap().span(trouble) = Span::Ended(Instant::now());
    }

    /// As it should be.
    pub(crate) fn count(&self, what: &'static str) {
        *self.inner.lock().unwrap().counts.entry(what).or_default() += 1;
    }

    /// Beside what became of it.
    pub(crate) fn note(&self, what: &'static str) {
        *self.inner.lock().unwrap().notes.entry(what).or_default() += 1;
    }

    /// A caller whose token is of before the trouble, if there is one, was served.
    pub(crate) fn served_known(&self, begun: Instant) {
        let mut inner = self.inner.lock().unwrap();
        if inner.entra.explains(begun) {
            inner.served_known += 1;
        }
    }

    /// What part of those whom a gateway could know was refused while Entra ID failed. It is hardly anybody: who
    /// meets a gateway that has just started, and was never there.
    pub(crate) fn refused_known(&self) -> f64 {
        let inner = self.inner.lock().unwrap();
        let refused = inner.counts.get(REFUSED_KNOWN).copied().unwrap_or(0);
        refused as f64 / (refused + inner.served_known).max(1) as f64
    }

    /// How many requests something has become of.
    pub(crate) fn ended(&self) -> u64 {
        let inner = self.inner.lock().unwrap();
        inner.counts.values().sum::<u64>() + inner.wrong.len() as u64
    }

    /// Only a trouble explains it, which stood at some time since `begun`.
    pub(crate) fn explained(
        &self,
        trouble: Trouble,
        what: &'static str,
        begun: Instant,
        text: impl FnOnce() -> String,
    ) {
        let mut inner = self.inner.lock().unwrap();
        if inner.span(trouble).explains(begun) {
            *inner.counts.entry(what).or_default() += 1;
        } else {
            inner
                .wrong
                .push(format!("{what}, and {trouble:?} is well: {}", text()));
        }
    }

    /// Nothing explains it.
    pub(crate) fn wrong(&self, text: String) {
        self.inner.lock().unwrap().wrong.push(text);
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let inner = self.inner.lock().unwrap();
        let both = inner.counts.iter().chain(&inner.notes);
        both.map(|(what, count)| (*what, *count)).collect()
    }

    /// How much is wrong, and the first of it.
    pub(crate) fn all_wrong(&self) -> (usize, Vec<String>) {
        let inner = self.inner.lock().unwrap();
        let first = inner.wrong.iter().take(10).cloned().collect();
        (inner.wrong.len(), first)
    }
}

impl Inner {
    const fn span(&mut self, trouble: Trouble) -> &mut Span {
        match trouble {
            Trouble::Entra => &mut self.entra,
            Trouble::Upstream => &mut self.upstream,
        }
    }
}
