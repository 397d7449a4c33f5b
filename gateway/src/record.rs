//! What is kept of a request until the exchange with its client is over, for whoever writes about it.
//!
//! Kept only where somebody does. It lies in the request's [`Watch`](crate::net::watch::Watch), so that
//! no step grows by it, and it is written when it is dropped: whatever becomes of the connection, a
//! request that was seen leaves its line.

use std::{rc::Rc, time::Duration};

use http::{HeaderValue, Method, StatusCode};
use opentelemetry::trace::SpanId;
use smallvec::SmallVec;
use tokio::time::Instant;
use tower_obo::{Admitted, Principal, Rejection};

use crate::{
    AccessLog, AuditLog,
    message::exchange::Exchange,
    metrics::{Outcome, Refusal},
    route::Names,
    trace::{Trace, Traces},
};

/// Who writes about requests.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    pub(crate) access: Option<AccessLog>,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) traces: Option<Traces>,
    /// Whether answers of a route say where the time went. Which route it is, is not known yet when a
    /// record is opened.
    pub(crate) server_timing: bool,
}

impl Readers {
    /// The record of a request that begins; `None` where nobody writes about it.
    pub(crate) fn open(self: &Rc<Self>, exchange: &Exchange) -> Option<Box<Record>> {
        let request = &exchange.request;
        let scheme = exchange.client.scheme();
        let trace =
            (self.traces.as_ref()).and_then(|traces| traces.begin(request.headers(), scheme));
        let has_reader = self.access.is_some() || self.audit.is_some() || self.server_timing;
        if !has_reader && trace.is_none() {
            return None;
        }
        let (id, method) = (exchange.id.clone(), request.method().clone());
        let mut record = Record::new(self, id, method, request.uri().path());
        record.trace = trace;
        Some(record)
    }
}

/// One request: neither headers nor query.
#[derive(Debug)]
pub(crate) struct Record {
    readers: Rc<Readers>,
    /// Where it stands in a trace that is told of.
    pub(crate) trace: Option<Trace>,
    pub(crate) id: HeaderValue,
    pub(crate) method: Method,
    pub(crate) path: Box<str>,
    pub(crate) begun: Instant,
    /// `None` where there is no route.
    pub(crate) route: Option<Rc<Names>>,
    /// `None` until an answer begins.
    pub(crate) answer: Option<Begun>,
    /// What was waited for, in the order in which it began.
    pub(crate) stages: SmallVec<[Stage; 3]>,
    /// Bytes of the answer's content that went to the client, and of the request's that came.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// The answer's content was passed on to its end.
    pub(crate) whole: bool,
    /// Bytes of it that were counted as sent and were not.
    pub(crate) unsent: usize,
    pub(crate) ended: Ended,
}

/// An answer that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) status: StatusCode,
    pub(crate) outcome: Outcome,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) aadsts: Option<u32>,
    /// After the request's head.
    pub(crate) after: Duration,
}

/// A part of a request's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    pub(crate) work: Work,
    pub(crate) begun: Instant,
    pub(crate) took: Duration,
    /// The id that was told to whoever did it; none where nobody was told.
    pub(crate) span: SpanId,
}

/// What the time went into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Work {
    /// The caller's token was judged: looked up mostly; else its signature, and the keys for that.
    Validation,
    /// A downstream token was waited for.
    Exchange,
    /// The upstream: until its answer began, or it was given up.
    Upstream,
}

impl Work {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Exchange => "exchange",
            Self::Upstream => "upstream",
        }
    }
}

/// How the exchange with the client ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// All of the answer was written; after a change of protocol: both sides have closed.
    Complete,
    /// The client left before.
    ClientGone,
    /// The gateway broke the answer off: the upstream had, a limit was reached, the caller's token
    /// ended, or the gateway did.
    CutOff,
}

impl Ended {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client-gone",
            Self::CutOff => "cut-off",
        }
    }
}

impl Record {
    pub(crate) fn new(
        readers: &Rc<Readers>,
        id: HeaderValue,
        method: Method,
        path: &str,
    ) -> Box<Self> {
        Box::new(Self {
            readers: Rc::clone(readers),
            trace: None,
            id,
            method,
            path: path.into(),
            begun: Instant::now(),
            route: None,
            answer: None,
            stages: SmallVec::new(),
            sent: 0,
            received: 0,
            whole: false,
            unsent: 0,
            // Whoever knows better says so.
            ended: Ended::CutOff,
        })
    }

    /// What the route is called.
    pub(crate) fn route_name(&self) -> &str {
        self.route.as_ref().map_or("none", |route| &route.label)
    }

    /// The trace that it is part of, if that is told of.
    pub(crate) fn trace_id(&self) -> Option<String> {
        self.trace.as_ref().map(|trace| trace.id.to_string())
    }

    /// What its route's downstreams are called.
    pub(crate) fn downstreams(&self) -> &str {
        (self.route.as_ref()).map_or("none", |route| &route.downstreams)
    }

    /// The caller's token is good; nothing where none was asked for.
    pub(crate) fn admitted(&self, admitted: &Admitted) {
        if let (Some(audit), Some(caller)) = (&self.readers.audit, admitted.principal()) {
            audit.write(self, Some(caller), None);
        }
    }

    /// It is not, or was not good enough for the downstream; `caller` is whose it is, where that is
    /// known.
    pub(crate) fn refused(&self, caller: Option<&Principal>, refusal: &Rejection) {
        if let Some(audit) = &self.readers.audit {
            audit.write(self, caller.or(refusal.caller()), Some(refusal));
        }
    }

    /// That work has taken the time since `begun`.
    pub(crate) fn add(&mut self, work: Work, begun: Instant) {
        self.add_until(work, begun, Instant::now());
    }

    /// That work took the time from `begun` to `ended`.
    pub(crate) fn add_until(&mut self, work: Work, begun: Instant, ended: Instant) {
        self.stages.push(Stage {
            work,
            begun,
            took: ended.saturating_duration_since(begun),
            span: match (&self.trace, work) {
                (Some(trace), Work::Upstream) => trace.upstream,
                _ => SpanId::INVALID,
            },
        });
    }

    /// What that work took in all; `None` where there was none.
    pub(crate) fn took(&self, work: Work) -> Option<Duration> {
        let stages = self.stages.iter().filter(|stage| stage.work == work);
        stages.map(|stage| stage.took).reduce(|one, two| one + two)
    }

    /// Whether the client has been told that another protocol is spoken.
    pub(crate) fn is_tunnel(&self) -> bool {
        (self.answer.as_ref())
            .is_some_and(|answer| answer.status == StatusCode::SWITCHING_PROTOCOLS)
    }

    /// The exchange is over; `cut`: not as it should be, and that is not the client's doing.
    pub(crate) fn end(mut self: Box<Self>, cut: bool) {
        // To HEAD, what an answer of our own would hold is not sent.
        let whole = self.whole || self.method == Method::HEAD;
        self.ended = match self.answer {
            _ if cut => Ended::CutOff,
            Some(_) if whole && self.unsent == 0 => Ended::Complete,
            _ => Ended::ClientGone,
        };
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let unsent = u64::try_from(self.unsent).unwrap_or(u64::MAX);
        self.sent = self.sent.saturating_sub(unsent);
        if let Some(log) = &self.readers.access {
            log.write(self);
        }
        if let (Some(traces), Some(trace)) = (&self.readers.traces, &self.trace) {
            traces.tell(self, trace);
        }
    }
}
