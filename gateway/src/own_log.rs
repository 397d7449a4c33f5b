//! The gateway's own log: how it is and what is wrong, for whoever operates it.

use std::io;

use tracing_appender::non_blocking::ErrorCounter;
use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::{
    config::Log,
    lines::{self, Rest},
};

/// The log of the process, to which everything in it writes through [`tracing`]. Its lines are written by a thread
/// of their own: nothing waits for whoever reads them, and what they do not keep up with is dropped and counted.
///
/// Dropped, it writes what still waits, for two seconds at most. That is for the end of the process: lines that
/// come later go nowhere.
#[derive(Debug)]
#[must_use = "the last lines are written when it is dropped"]
pub struct OwnLog {
    dropped: DroppedLines,
    _rest: Rest,
}

/// How many lines of the own log were dropped, for `/metrics`: see
/// [`Config::own_log_dropped`](crate::Config::own_log_dropped).
#[derive(Clone, Debug)]
pub struct DroppedLines(ErrorCounter);

impl DroppedLines {
    /// How many until now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.dropped_lines()
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnLogError {
    /// The level is none, nor a list of levels.
    #[error("log.level: {0}")]
    Level(#[from] ParseError),
    /// The process has a log already.
    #[error("{0}")]
    Taken(#[from] TryInitError),
}

impl OwnLog {
    /// Makes it the log of this process, from the level on and in the form that the configuration names; `colours` are
    /// for a terminal.
    ///
    /// ```
    /// # fn run(config: &mut obo_gateway::Config) -> Result<(), obo_gateway::OwnLogError> {
    /// let log = obo_gateway::OwnLog::start(&config.log, std::io::stderr(), false)?;
    /// config.own_log_dropped = Some(log.dropped());
    /// // … and at the end of the process:
    /// drop(log);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `log.level` means nothing, or the process has a log already.
    pub fn start(
        log: &Log,
        to: impl io::Write + Send + 'static,
        colours: bool,
    ) -> Result<Self, OwnLogError> {
        let filter = EnvFilter::try_new(&log.level)?;
        let (lines, rest) = lines::non_blocking(to, "obo-log");
        let dropped = DroppedLines(lines.error_counter());
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(colours)
            .with_writer(lines);
        if log.json {
            builder.json().flatten_event(true).finish().try_init()?;
        } else {
            builder.finish().try_init()?;
        }
        Ok(Self {
            dropped,
            _rest: rest,
        })
    }

    /// How many of its lines were dropped; goes on counting.
    #[must_use]
    pub fn dropped(&self) -> DroppedLines {
        self.dropped.clone()
    }
}
