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

/// What is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Entra,
    Upstream,
}

/// All that the callers have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<&'static str, u64>,
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
    pub(crate) fn begins(&self, trouble: Trouble) {
        *self.0.lock().unwrap().span(trouble) = Span::Now;
    }

    pub(crate) fn ends(&self, trouble: Trouble) {
        *self.0.lock().unwrap().span(trouble) = Span::Ended(Instant::now());
    }

    /// As it should be.
    pub(crate) fn count(&self, what: &'static str) {
        *self.0.lock().unwrap().counts.entry(what).or_default() += 1;
    }

    /// Only a trouble explains it, which stood at some time since `begun`.
    pub(crate) fn explained(
        &self,
        trouble: Trouble,
        what: &'static str,
        begun: Instant,
        text: impl FnOnce() -> String,
    ) {
        let mut inner = self.0.lock().unwrap();
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
        self.0.lock().unwrap().wrong.push(text);
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap().counts.clone()
    }

    /// How much is wrong, and the first of it.
    pub(crate) fn all_wrong(&self) -> (usize, Vec<String>) {
        let inner = self.0.lock().unwrap();
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
