//! The access log: one line a request, when the exchange with its client is over.
//!
//! Lines are made where the request is, and written by a thread of their own. Where that does not keep
//! up, lines are dropped and counted: no request waits for a log.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

use crate::{
    metrics::Outcome,
    record::{Record, Work},
};

/// The longest path that is written; what is longer is cut, and ends in `…`.
const LONGEST_PATH: usize = 1_024;

/// Lines that may wait to be written.
const WAITING: usize = 16_384;

/// Where the access log goes, and in which form.
///
/// ```
/// use obo_gateway::AccessLog;
///
/// let log = AccessLog::json(std::io::stdout());
/// assert_eq!(log.dropped_lines(), 0);
/// ```
#[derive(Clone)]
pub struct AccessLog {
    lines: NonBlocking,
    json: bool,
    /// Writes what waits when the last one is dropped.
    _rest: Arc<WorkerGuard>,
}

impl AccessLog {
    /// One JSON object a line.
    #[must_use]
    pub fn json(writer: impl io::Write + Send + 'static) -> Self {
        Self::new(writer, true)
    }

    /// `name=value` for people, values in quotes where they hold more than plain words.
    #[must_use]
    pub fn text(writer: impl io::Write + Send + 'static) -> Self {
        Self::new(writer, false)
    }

    fn new(writer: impl io::Write + Send + 'static, json: bool) -> Self {
        let (lines, rest) = NonBlockingBuilder::default()
            .buffered_lines_limit(WAITING)
            .thread_name("obo-access-log")
            .finish(writer);
        Self {
            lines,
            json,
            _rest: Arc::new(rest),
        }
    }

    /// Lines that nobody will read: they came faster than they could be written.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.lines.error_counter().dropped_lines()
    }

    /// How many they are, without keeping the log itself open.
    pub(crate) fn dropped(&self) -> ErrorCounter {
        self.lines.error_counter()
    }

    pub(crate) fn write(&self, record: &Record) {
        let mut line = String::with_capacity(512);
        let mut fields = Fields {
            line: &mut line,
            json: self.json,
        };
        fields.all(record);
        line.push('\n');
        // One that does not fit is counted as dropped.
        let _ = self.lines.clone().write_all(line.as_bytes());
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("json", &self.json)
            .finish_non_exhaustive()
    }
}

/// A line that is being made.
struct Fields<'a> {
    line: &'a mut String,
    json: bool,
}

impl Fields<'_> {
    fn all(&mut self, record: &Record) {
        if self.json {
            self.line.push('{');
        }
        let answer = record.answer.as_ref();
        let outcome = answer.map_or(Outcome::Abandoned, |answer| answer.outcome);
        self.text("time", &now());
        self.text("request_id", record.id.to_str().unwrap_or_default());
        self.text("method", &cut(record.method.as_str()));
        self.text("path", &cut(&record.path));
        self.text("route", record.route.as_deref().unwrap_or("none"));
        if let Some(answer) = answer {
            self.plain("status", answer.status.as_u16());
        }
        self.text("outcome", outcome.word());
        if let Some(refusal) = answer.and_then(|answer| answer.refusal) {
            self.text("problem", refusal.problem);
        }
        if let Some(code) = answer.and_then(|answer| answer.aadsts) {
            self.text("aadsts", &format!("AADSTS{code}"));
        }
        self.text("ended", record.ended.word());
        self.plain("received_bytes", record.received);
        self.plain("sent_bytes", record.sent);
        self.plain("duration_ms", Millis(record.begun.elapsed()));
        let times = [
            ("answer_ms", answer.map(|answer| answer.after)),
            ("validation_ms", record.took(Work::Validation)),
            ("exchange_ms", record.took(Work::Exchange)),
            ("upstream_ms", record.took(Work::Upstream)),
        ];
        for (name, took) in times {
            if let Some(took) = took {
                self.plain(name, Millis(took));
            }
        }
        if self.json {
            self.line.push('}');
        }
    }

    fn name(&mut self, name: &str) {
        let first = matches!(&**self.line, "" | "{");
        let (between, quote, is) = match self.json {
            true => (",", "\"", ":"),
            false => (" ", "", "="),
        };
        if !first {
            self.line.push_str(between);
        }
        for part in [quote, name, quote, is] {
            self.line.push_str(part);
        }
    }

    /// Escaped, so that a line stays a line and a terminal is told nothing.
    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:*%@~".contains(&byte);
        if self.json {
            let value = serde_json::to_string(value).unwrap_or_default();
            // JSON lets DEL and the second half of control characters pass.
            for c in value.chars() {
                match c {
                    '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                        let _ = write!(self.line, "\\u{:04x}", u32::from(c));
                    }
                    c => self.line.push(c),
                }
            }
        } else if !value.is_empty() && value.bytes().all(is_plain) {
            self.line.push_str(value);
        } else {
            let _ = write!(self.line, "{value:?}");
        }
    }

    fn plain(&mut self, name: &str, value: impl fmt::Display) {
        self.name(name);
        let _ = write!(self.line, "{value}");
    }
}

/// Milliseconds with three decimals.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1_000, micros % 1_000)
    }
}

fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_PATH {
        return text.into();
    }
    let end = text.floor_char_boundary(LONGEST_PATH);
    format!("{}…", text.get(..end).unwrap_or_default()).into()
}

fn now() -> String {
    let mut text = String::new();
    let _ = tracing_subscriber::fmt::time::SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

#[cfg(test)]
mod tests;
