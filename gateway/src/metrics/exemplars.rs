//! Exemplars: for each class of a histogram, the last request of it that a trace tells of.
//!
//! `prometheus-client` makes exemplars only within its own histograms, which are not these; so they are
//! put behind the samples once those are written.

use std::{
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::trace::TraceId;

use super::{
    durations::{self, CLASSES},
    names,
};

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exemplar {
    pub(crate) trace: TraceId,
    pub(crate) took: Duration,
    pub(crate) at: SystemTime,
}

/// The last of each class.
pub(super) type Row = [Option<Exemplar>; CLASSES];

/// Those of one worker and one route.
#[derive(Debug, Default)]
pub(super) struct Exemplars(Mutex<Row>);

impl Exemplars {
    /// Takes note of a request, unless somebody reads: none waits for that.
    pub(super) fn record(&self, exemplar: Exemplar) {
        if let Ok(mut row) = self.0.try_lock()
            && let Some(place) = row.get_mut(durations::class(exemplar.took))
        {
            *place = Some(exemplar);
        }
    }

    pub(super) fn read(&self) -> Row {
        self.0.lock().map_or([None; CLASSES], |row| *row)
    }

    /// Takes over those that are later.
    pub(super) fn add(&self, other: &Self) {
        let theirs = other.read();
        let Ok(mut row) = self.0.lock() else {
            return;
        };
        for (ours, theirs) in row.iter_mut().zip(theirs) {
            let later = |theirs: &Exemplar| ours.is_none_or(|ours| ours.at < theirs.at);
            if theirs.as_ref().is_some_and(later) {
                *ours = theirs;
            }
        }
    }
}

/// Puts exemplars behind the samples of the requests' durations; `rows` are in the order of the text.
pub(super) fn put(text: &str, rows: &[Row]) -> String {
    let begin = format!("{}_bucket{{", names::REQUEST_DURATION.name);
    let mut exemplars = rows.iter().flatten();
    let mut put = String::with_capacity(text.len());
    for line in text.lines() {
        put.push_str(line);
        if line.starts_with(&begin)
            && let Some(Some(exemplar)) = exemplars.next()
        {
            let took = exemplar.took.as_secs_f64();
            let at = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default();
            let (trace, at) = (exemplar.trace, at.as_secs_f64());
            put.push_str(&format!(" # {{trace_id=\"{trace}\"}} {took} {at:.3}"));
        }
        put.push('\n');
    }
    put
}
