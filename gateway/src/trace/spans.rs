//! What a trace has of a request: a span for all of it, and one for each thing that was waited for. Names
//! and attributes follow [OpenTelemetry's conventions for HTTP]; neither headers nor query.
//!
//! [OpenTelemetry's conventions for HTTP]: https://opentelemetry.io/docs/specs/semconv/http/http-spans/

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::Trace;
use crate::{
    lines,
    metrics::Outcome,
    record::{Ended, Record, Work},
};

pub(super) fn of(record: &Record, trace: &Trace, new_id: impl Fn() -> SpanId) -> Vec<SpanData> {
    let at =
        |after: std::time::Duration| trace.began_at.checked_add(after).unwrap_or(trace.began_at);
    let mut spans = Vec::with_capacity(1 + record.stages.len());
    let ended = at(record.begun.elapsed());
    let mut all = span(trace, trace.span, trace.began_at, ended);
    all.name = name(record);
    all.span_kind = SpanKind::Server;
    all.parent_span_id = trace.parent.unwrap_or(SpanId::INVALID);
    all.parent_span_is_remote = trace.parent.is_some();
    all.attributes = attributes(record, trace);
    all.status = status(record);
    spans.push(all);
    for stage in &record.stages {
        let id = match stage.span {
            SpanId::INVALID => new_id(),
            id => id,
        };
        let begun = stage.begun.saturating_duration_since(record.begun);
        let mut part = span(trace, id, at(begun), at(begun + stage.took));
        part.parent_span_id = trace.span;
        part.name = stage.work.word().into();
        match stage.work {
            Work::Validation => {}
            Work::Exchange => {
                let downstreams = record.downstreams().to_owned();
                part.attributes = vec![KeyValue::new("obo.downstream", downstreams)];
            }
            Work::Upstream => {
                part.span_kind = SpanKind::Client;
                part.attributes = upstream(record);
            }
        }
        spans.push(part);
    }
    spans
}

fn span(trace: &Trace, id: SpanId, start_time: SystemTime, end_time: SystemTime) -> SpanData {
    let state = trace.state.clone();
    SpanData {
        span_context: SpanContext::new(trace.id, id, TraceFlags::SAMPLED, false, state),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: Cow::Borrowed(""),
        start_time,
        end_time,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("obo-gateway")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

/// Method and route: what callers make up makes no names.
fn name(record: &Record) -> Cow<'static, str> {
    let (method, route) = (method(record), record.route_name());
    match &record.route {
        // It begins with the methods that the route names.
        Some(_) if !route.starts_with('/') => route.to_owned().into(),
        Some(_) => format!("{method} {route}").into(),
        None => method.into(),
    }
}

/// In the words of the conventions: a method that HTTP does not know is none of many.
fn method(record: &Record) -> &'static str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
    ];
    let method = record.method.as_str();
    (KNOWN.into_iter().find(|known| *known == method)).unwrap_or("_OTHER")
}

fn attributes(record: &Record, trace: &Trace) -> Vec<KeyValue> {
    let id = record.id.to_str().unwrap_or_default().to_owned();
    let mut all = vec![
        KeyValue::new("http.request.method", method(record)),
        KeyValue::new("url.scheme", trace.scheme),
        KeyValue::new("url.path", lines::cut(&record.path).into_owned()),
        KeyValue::new("http.request.body.size", number(record.received)),
        KeyValue::new("http.response.body.size", number(record.sent)),
        KeyValue::new("obo.request_id", id),
        KeyValue::new("obo.ended", record.ended.word()),
    ];
    if record.route.is_some() {
        all.push(KeyValue::new("http.route", record.route_name().to_owned()));
    }
    let outcome = match &record.answer {
        Some(answer) => {
            let status = i64::from(answer.status.as_u16());
            all.push(KeyValue::new("http.response.status_code", status));
            if let Some(refusal) = answer.refusal {
                all.push(KeyValue::new("error.type", refusal.problem));
            }
            if let Some(code) = answer.aadsts {
                all.push(KeyValue::new("obo.aadsts", i64::from(code)));
            }
            answer.outcome
        }
        None => Outcome::Abandoned,
    };
    all.push(KeyValue::new("obo.outcome", outcome.word()));
    all
}

fn upstream(record: &Record) -> Vec<KeyValue> {
    vec![KeyValue::new("http.request.method", method(record))]
}

/// An error is what is not the caller's doing.
fn status(record: &Record) -> Status {
    let is_fault = (record.answer.as_ref()).is_some_and(|answer| answer.status.as_u16() >= 500);
    if is_fault || record.ended == Ended::CutOff {
        Status::error("")
    } else {
        Status::Unset
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
