//! What a request that is put aside waits for, and since when.

use tokio::time::Instant;
use tower_obo::Pending;

use crate::{net::watch::Watch, record::Work};

/// Since when keys are waited for, or a downstream token; nothing where nobody wants to know.
#[derive(Debug)]
pub(super) struct Waits(Option<(Work, Instant)>);

impl Waits {
    pub(super) fn new(pending: &Pending, watch: &Watch) -> Self {
        let now = watch.stopwatch();
        Self(now.map(|now| (work(pending), now)))
    }

    /// Looks at it again: `ended` is whether the wait is over.
    pub(super) fn look(&mut self, pending: &Pending, watch: &Watch, ended: bool) {
        let Some((waited_for, since)) = self.0 else {
            return;
        };
        let next = work(pending);
        if next == waited_for && !ended {
            return;
        }
        let now = Instant::now();
        watch.note(|record| record.add_until(waited_for, since, now));
        self.0 = (!ended).then_some((next, now));
    }
}

fn work(pending: &Pending) -> Work {
    if pending.is_exchanging() {
        Work::Exchange
    } else {
        Work::Validation
    }
}
