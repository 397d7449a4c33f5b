//! Lines for people and machines, written by a thread of their own: where it does not keep up, lines
//! are dropped and counted. No request waits for a log.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    io::{self, Write as _},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

/// The longest text of a field, in bytes; what is longer is cut, and ends in `…`.
const LONGEST: usize = 1_024;

/// Lines that may wait to be written.
const WAITING: usize = 16_384;

/// How long the end waits for what is still to be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where lines go, and in which form.
#[derive(Clone)]
pub(crate) struct Lines {
    lines: NonBlocking,
    json: bool,
    /// Writes what waits when the last one is dropped.
    _rest: Arc<Rest>,
}

impl Lines {
    pub(crate) fn new(writer: impl io::Write + Send + 'static, json: bool, thread: &str) -> Self {
        let (lines, rest) = non_blocking(writer, thread);
        Self {
            lines,
            json,
            _rest: Arc::new(rest),
        }
    }

    /// How many were dropped, without keeping them open.
    pub(crate) fn dropped(&self) -> ErrorCounter {
        self.lines.error_counter()
    }

    /// Writes one line with the fields that `fill` adds; `log` says which log it is of.
    pub(crate) fn write(&self, log: &str, fill: impl FnOnce(&mut Fields<'_>)) {
        let line = line(self.json, log, fill);
        // One that does not fit is counted as dropped.
        let _ = self.lines.clone().write_all(line.as_bytes());
    }
}

/// A writer that keeps nobody waiting, and what ends it.
pub(crate) fn non_blocking(
    writer: impl io::Write + Send + 'static,
    thread: &str,
) -> (NonBlocking, Rest) {
    let (lines, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING)
        .thread_name(thread)
        .finish(writer);
    (lines, Rest(Some(guard)))
}

/// Writes what waits when it is dropped, as far as somebody reads it in time.
#[derive(Debug)]
pub(crate) struct Rest(Option<WorkerGuard>);

impl Drop for Rest {
    fn drop(&mut self) {
        // The guard prints to standard output where too much waits, and that may be what nobody reads.
        let Some(guard) = self.0.take() else { return };
        let (done, is_done) = mpsc::channel();
        let ending = thread::Builder::new()
            .name("obo-log-end".to_owned())
            .spawn(move || {
                drop(guard);
                let _ = done.send(());
            });
        if ending.is_ok() {
            let _ = is_done.recv_timeout(PATIENCE);
        }
    }
}

/// One line, its end included.
pub(crate) fn line(json: bool, log: &str, fill: impl FnOnce(&mut Fields<'_>)) -> String {
    let mut line = String::with_capacity(512);
    if json {
        line.push('{');
    }
    let mut fields = Fields {
        line: &mut line,
        json,
    };
    fields.text("time", &now());
    fields.text("log", log);
    fill(&mut fields);
    if json {
        line.push('}');
    }
    line.push('\n');
    line
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("json", &self.json)
            .finish_non_exhaustive()
    }
}

/// A line that is being made.
pub(crate) struct Fields<'a> {
    line: &'a mut String,
    json: bool,
}

impl Fields<'_> {
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

    /// Escaped and cut, so that a line stays a line and a terminal is told nothing.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        let value = &*cut(value);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:*%@~,".contains(&byte);
        let plain = value.bytes().all(is_plain);
        if self.json && plain {
            self.line.push('"');
            self.line.push_str(value);
            self.line.push('"');
        } else if self.json {
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
        } else if !value.is_empty() && plain {
            self.line.push_str(value);
        } else {
            let _ = write!(self.line, "{value:?}");
        }
    }

    /// The same, where there is anything to say.
    pub(crate) fn text_of(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A code of Entra ID, in its own form, where there is one.
    pub(crate) fn aadsts(&mut self, code: Option<u32>) {
        if let Some(code) = code {
            self.text("aadsts", &format!("AADSTS{code}"));
        }
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        let _ = write!(self.line, "{value}");
    }

    /// A time in milliseconds with three decimals, where there is one.
    pub(crate) fn ms(&mut self, name: &str, time: Option<Duration>) {
        if let Some(time) = time {
            self.name(name);
            let micros = time.as_micros();
            let _ = write!(self.line, "{}.{:03}", micros / 1_000, micros % 1_000);
        }
    }
}

pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return text.into();
    }
    let end = text.floor_char_boundary(LONGEST);
    format!("{}…", text.get(..end).unwrap_or_default()).into()
}

fn now() -> String {
    let mut text = String::new();
    let _ = tracing_subscriber::fmt::time::SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes nothing for as long as its sender lives.
    struct Stuck(mpsc::Receiver<()>);

    impl io::Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_reads_is_dropped_and_counted_and_the_end_does_not_wait_for_it() {
        let (reads, stuck) = mpsc::channel();
        let lines = Lines::new(Stuck(stuck), true, "stuck");
        let dropped = lines.dropped();
        // One may be with the writer.
        for _ in 0..WAITING + 3 {
            lines.write("test", |_| {});
        }
        let count = dropped.dropped_lines();
        assert!((2..=3).contains(&count), "{count}");
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            drop(lines);
            let _ = ended.send(());
        });
        end.recv_timeout(Duration::from_secs(20)).unwrap();
        drop(reads);
    }
}
