//! Traces: which requests are told of, and where a request stands in a trace (W3C Trace Context).
//!
//! Nothing of this is in the path of a request that is not told of: its record has no [`Trace`]. What is
//! told goes into a bounded queue, and from there to a collector, in the background (see [`export`]).

pub(crate) mod context;
mod export;
mod spans;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use opentelemetry::trace::{SpanId, TraceId, TraceState};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SpanData};
use tokio::{sync::mpsc, time::Instant};

pub(crate) use self::export::{Spans, open};
use crate::{metrics::Exemplar, net::watch::Watch, record::Record};

/// Which requests are told of, and where that goes.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    queue: mpsc::Sender<Vec<SpanData>>,
    counts: Arc<Spans>,
    /// Of the traces that begin here, those whose id is below this, in its last 63 bits.
    below: u64,
    wanted: Arc<Wanted>,
    ids: RandomIdGenerator,
}

/// So many requests a second are told of because their callers want it, beyond the share that is told of anyway:
/// whoever calls may set that flag, and a trace costs more than the request.
const WANTED: u64 = 100;

/// How many there were in this second.
#[derive(Debug)]
struct Wanted {
    begun: Instant,
    /// The second in the upper half, and the number.
    seen: AtomicU64,
}

impl Wanted {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            seen: AtomicU64::new(0),
        }
    }

    /// Whether there is room for one more.
    fn take(&self) -> bool {
        let second = self.begun.elapsed().as_secs();
        let one_more = |seen: u64| {
            let before = if seen >> 32 == second {
                seen & 0xffff_ffff
            } else {
                0
            };
            (before < WANTED).then_some(second << 32 | (before + 1))
        };
        let taken = self
            .seen
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok()
    }
}

/// Where a request that is told of stands.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    /// The request's own span.
    pub(crate) span: SpanId,
    /// The caller's, if it said so.
    parent: Option<SpanId>,
    state: TraceState,
    /// The span of the call of the upstream that comes, or came last.
    pub(crate) upstream: SpanId,
    began_at: SystemTime,
    scheme: &'static str,
}

impl Trace {
    /// What stands for the request where its duration is counted.
    pub(crate) fn exemplar(&self, took: Duration) -> Exemplar {
        Exemplar {
            trace: self.id,
            took,
            at: self.began_at.checked_add(took).unwrap_or(self.began_at),
        }
    }
}

impl Traces {
    fn new(queue: mpsc::Sender<Vec<SpanData>>, counts: Arc<Spans>, ratio: f64) -> Self {
        Self {
            queue,
            counts,
            below: below(ratio),
            wanted: Arc::new(Wanted::new()),
            ids: RandomIdGenerator::default(),
        }
    }

    /// Where a request stands that has these headers; `None` if it is not to be told of. The caller's context is
    /// taken where it is well-formed, and its word on that holds, within a limit.
    pub(crate) fn begin(&self, headers: &HeaderMap, scheme: &'static str) -> Option<Trace> {
        let theirs = context::read(headers);
        let id = theirs.map_or_else(|| self.ids.new_trace_id(), |theirs| theirs.trace);
        let is_told = match theirs {
            None => self.tells_of(id),
            Some(theirs) => theirs.sampled && (self.tells_of(id) || self.wanted.take()),
        };
        is_told.then(|| Trace {
            id,
            span: self.ids.new_span_id(),
            parent: theirs.map(|theirs| theirs.span),
            state: (theirs.and_then(|_| context::state(headers))).unwrap_or_default(),
            upstream: SpanId::INVALID,
            began_at: wall_clock(),
            scheme,
        })
    }

    fn tells_of(&self, id: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = id.to_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.below
    }

    /// Tells of a request that is over; if there is no room for it, it is counted and forgotten.
    pub(crate) fn tell(&self, record: &Record, trace: &Trace) {
        let spans = spans::of(record, trace, || self.ids.new_span_id());
        let count = spans.len() as u64;
        if self.queue.try_send(spans).is_err() {
            self.counts.dropped(count);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "when it was, to the microsecond, for the collector alone: nothing is decided by it"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// All of them where the ratio is 1, none where it is 0.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of all ids, to within the precision of a float"
)]
fn below(ratio: f64) -> u64 {
    (ratio.clamp(0., 1.) * (1_u64 << 63) as f64) as u64
}

/// Says to the upstream where the request stands: in the span of this call, where the request is told of;
/// else in the caller's own, or in none that is told of. Whatever the caller said that is not
/// well-formed is not passed on.
pub(crate) fn forward(headers: &mut HeaderMap, watch: &Watch, traces: Option<&Traces>) {
    let theirs = context::read(headers);
    if theirs.is_none() {
        headers.remove(context::TRACEPARENT);
    }
    if theirs.is_none() || context::state(headers).is_none() {
        headers.remove(context::TRACESTATE);
    }
    let Some(traces) = traces else {
        return;
    };
    let mut ours = None;
    watch.note(|record| {
        if let Some(trace) = &mut record.trace {
            trace.upstream = traces.ids.new_span_id();
            ours = Some(context::write(trace.id, trace.upstream, true));
        }
    });
    if ours.is_none() && theirs.is_none() {
        let (trace, span) = (traces.ids.new_trace_id(), traces.ids.new_span_id());
        ours = Some(context::write(trace, span, false));
    }
    if let Some(ours) = ours {
        headers.insert(context::TRACEPARENT, ours);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(ratio: f64) -> Traces {
        Traces::new(mpsc::channel(1).0, Arc::default(), ratio)
    }

    fn told(traces: &Traces) -> usize {
        let headers = HeaderMap::new();
        (0..2_000)
            .filter(|_| traces.begin(&headers, "http").is_some())
            .count()
    }

    #[test]
    fn of_the_traces_that_begin_here_the_share_that_was_asked_for_is_told_of() {
        assert_eq!(told(&traces(0.)), 0);
        assert_eq!(told(&traces(1.)), 2_000);
        // 20 is the standard deviation.
        let half = told(&traces(0.5));
        assert!((850..1_150).contains(&half), "{half}");
    }

    #[test]
    fn the_callers_word_on_that_holds() {
        for (flags, ratio, is_told) in [("01", 0., true), ("00", 1., false), ("03", 0., true)] {
            let mut headers = HeaderMap::new();
            let text = format!("00-{}-{}-{flags}", "a".repeat(32), "b".repeat(16));
            headers.insert(context::TRACEPARENT, text.parse().unwrap());
            let trace = traces(ratio).begin(&headers, "http");
            assert_eq!(trace.is_some(), is_told, "{flags}");
            if let Some(trace) = trace {
                assert_eq!(trace.id.to_string(), "a".repeat(32));
                assert_eq!(trace.parent.unwrap().to_string(), "b".repeat(16));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lo_05_callers_who_all_want_to_be_told_of_are_within_a_limit() {
        let wish = |number: u32| {
            let mut headers = HeaderMap::new();
            let text = format!(
                "00-{:08x}{}-{}-01",
                number + 1,
                "f".repeat(24),
                "b".repeat(16)
            );
            headers.insert(context::TRACEPARENT, text.parse().unwrap());
            headers
        };
        let told = |traces: &Traces| {
            let told = (0..1_000).filter(|number| traces.begin(&wish(*number), "http").is_some());
            told.count() as u64
        };
        let none = traces(0.);
        for _ in 0..2 {
            assert_eq!(told(&none), WANTED);
            // Clones are for other workers, and share it.
            assert_eq!(told(&none.clone()), 0);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // The share that is told of anyway does not count.
        assert_eq!(told(&traces(1.)), 1_000);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let counts = Arc::<Spans>::default();
        let (queue, _taken) = mpsc::channel(1);
        let traces = Traces::new(queue, Arc::clone(&counts), 1.);
        let trace = traces.begin(&HeaderMap::new(), "http").unwrap();
        let record = Record::new(
            &Default::default(),
            http::HeaderValue::from_static("x"),
            http::Method::GET,
            "/",
        );
        for _ in 0..3 {
            traces.tell(&record, &trace);
        }
        assert_eq!(
            counts.read(),
            [("exported", 0), ("dropped", 2), ("failed", 0)]
        );
    }
}
