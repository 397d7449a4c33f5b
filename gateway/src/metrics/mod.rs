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
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tower_obo::{Clock as _, SystemClock, Timestamp};

pub(crate) use self::{
    connections::{Connections, OneMore},
    exemplars::Exemplar,
    exposition::{Configured, Exposition},
    figures::{Figures, Ledger},
    library::LibraryFigures,
    outcome::{Outcome, Refusal},
};

use crate::trace::Spans;

/// The figures of one gateway; two in one process have nothing in common.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) routes: Ledger,
    pub(crate) upstreams: Ledger,
    pub(crate) library: Arc<LibraryFigures>,
    pub(crate) spans: Arc<Spans>,
    pub(crate) connections: Connections,
    refusals: Family<RefusalLabels, Counter>,
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
        Arc::new(Self {
            routes: Ledger::default(),
            upstreams: Ledger::default(),
            library: Arc::default(),
            spans: Arc::default(),
            connections: Connections::default(),
            refusals: Family::default(),
            started: now,
            reloads: Default::default(),
            configured_at: AtomicU64::new(now.as_unix()),
            is_configured: AtomicBool::new(true),
        })
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

#[cfg(test)]
mod tests;
