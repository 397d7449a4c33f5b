//! What is counted, for `/metrics`. The names are an API: `docs/metrics.md` has them all.
//!
//! Each worker counts in places of its own, which are added up when somebody asks, so that no request
//! touches what another worker writes. Places are found when a route is built, never by a label while
//! a request runs. What is rare (refusals, exchanges) is counted by label.

mod connections;
mod durations;
mod exemplars;
mod exposition;
mod figures;
mod library;
mod names;
mod outcome;
mod process;
mod text;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tokio::runtime::Handle;
use tower_obo::{Clock as _, RejectionKind, SystemClock, Timestamp};

pub(crate) use self::{
    connections::{Connections, OneMore},
    exemplars::Exemplar,
    exposition::{Configured, Exposition},
    figures::{Figures, Ledger},
    library::LibraryFigures,
    outcome::{Outcome, Refusal},
};

use crate::{message::answer::Answer, trace::Spans};

/// The figures of one gateway; two in one process have nothing in common.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) routes: Ledger,
    pub(crate) upstreams: Ledger,
    pub(crate) library: Arc<LibraryFigures>,
    pub(crate) spans: Arc<Spans>,
    pub(crate) connections: Connections,
    refusals: Family<RefusalLabels, Counter>,
    /// Whose tasks are counted: each worker has a runtime of its own.
    runtimes: Mutex<Vec<Handle>>,
    started: Timestamp,
    /// Those that succeeded, and those that did not.
    reloads: [AtomicU64; 2],
    /// When the configuration that holds was read, in seconds since 1970.
    configured_at: AtomicU64,
    /// Whether the last one that was read holds.
    is_configured: AtomicBool,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RefusalLabels {
    problem: &'static str,
    actor: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let now = SystemClock.now();
        let refusals = Family::default();
        for Refusal { problem, actor } in of_the_gateway() {
            drop(refusals.get_or_create(&RefusalLabels { problem, actor }));
        }
        Arc::new(Self {
            routes: Ledger::default(),
            upstreams: Ledger::default(),
            library: Arc::default(),
            spans: Arc::default(),
            connections: Connections::default(),
            refusals,
            runtimes: Mutex::default(),
            started: now,
            reloads: Default::default(),
            configured_at: AtomicU64::new(now.as_unix()),
            is_configured: AtomicBool::new(true),
        })
    }

    /// Counts the tasks of this runtime, too.
    pub(crate) fn count_tasks_of(&self, runtime: Handle) {
        let mut runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        runtimes.push(runtime);
    }

    /// Those that have not ended.
    fn tasks(&self) -> u64 {
        let runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = |runtime: &Handle| runtime.metrics().num_alive_tasks() as u64;
        runtimes.iter().map(alive).sum()
    }

    /// Counts a reload.
    pub(crate) fn reloaded(&self, succeeded: bool) {
        let [ok, failed] = &self.reloads;
        let count = if succeeded { ok } else { failed };
        count.fetch_add(1, Ordering::Relaxed);
        self.is_configured.store(succeeded, Ordering::Relaxed);
        if succeeded {
            let now = SystemClock.now().as_unix();
            self.configured_at.store(now, Ordering::Relaxed);
        }
    }

    /// Counts an answer that says what is wrong.
    pub(crate) fn refused(&self, refusal: Refusal) {
        let Refusal { problem, actor } = refusal;
        let labels = RefusalLabels { problem, actor };
        self.refusals.get_or_create(&labels).inc();
    }
}

/// What the gateway itself is to blame for. These are told from the beginning: a counter that appears with its
/// first count has not risen, as Prometheus sees it, so that no alert would hear of that one.
fn of_the_gateway() -> [Refusal; 6] {
    let of = |kind: RejectionKind| Refusal {
        problem: kind.name(),
        actor: kind.actor().as_str(),
    };
    [
        Answer::panicked().refusal(),
        Answer::too_many_requests().refusal(),
        Answer::out_of_time().refusal(),
        of(RejectionKind::CredentialUnavailable),
        of(RejectionKind::Misconfigured),
        of(RejectionKind::Overloaded),
    ]
}

#[cfg(test)]
mod tests;
