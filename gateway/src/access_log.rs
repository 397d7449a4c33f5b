//! The access log: one line a request, when the exchange with its client is over.

use std::io;

use tracing_appender::non_blocking::ErrorCounter;

use crate::{
    lines::{Fields, Lines},
    metrics::Outcome,
    record::{Record, Work},
};

/// Where the access log goes, and in which form.
///
/// ```
/// use obo_gateway::AccessLog;
///
/// let log = AccessLog::json(std::io::stdout());
/// assert_eq!(log.dropped_lines(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct AccessLog(Lines);

impl AccessLog {
    /// One JSON object a line.
    #[must_use]
    pub fn json(writer: impl io::Write + Send + 'static) -> Self {
        Self(Lines::new(writer, true, "obo-access-log"))
    }

    /// `name=value` for people, values in quotes where they hold more than plain words.
    #[must_use]
    pub fn text(writer: impl io::Write + Send + 'static) -> Self {
        Self(Lines::new(writer, false, "obo-access-log"))
    }

    /// Lines that nobody will read: they came faster than they could be written.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.0.dropped().dropped_lines()
    }

    /// How many they are, without keeping the log itself open.
    pub(crate) fn dropped(&self) -> ErrorCounter {
        self.0.dropped()
    }

    pub(crate) fn write(&self, record: &Record) {
        self.0.write(LOG, |fields| fill(fields, record));
    }
}

/// What its lines are told from others' by.
const LOG: &str = "access";

fn fill(fields: &mut Fields<'_>, record: &Record) {
    let answer = record.answer.as_ref();
    let outcome = answer.map_or(Outcome::Abandoned, |answer| answer.outcome);
    let problem = answer.and_then(|answer| answer.refusal);
    fields.text("request_id", record.id.to_str().unwrap_or_default());
    fields.text_of("trace_id", record.trace_id().as_deref());
    fields.text("method", record.method.as_str());
    fields.text("path", &record.path);
    fields.text("route", record.route_name());
    if let Some(answer) = answer {
        fields.number("status", answer.status.as_u16().into());
    }
    fields.text("outcome", outcome.word());
    fields.text_of("problem", problem.map(|refusal| refusal.problem));
    fields.aadsts(answer.and_then(|answer| answer.aadsts));
    fields.text("ended", record.ended.word());
    fields.number("received_bytes", record.received);
    fields.number("sent_bytes", record.sent);
    fields.ms("duration_ms", Some(record.begun.elapsed()));
    fields.ms("answer_ms", answer.map(|answer| answer.after));
    fields.ms("validation_ms", record.took(Work::Validation));
    fields.ms("exchange_ms", record.took(Work::Exchange));
    fields.ms("upstream_ms", record.took(Work::Upstream));
}

#[cfg(test)]
mod tests;
