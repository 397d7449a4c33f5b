//! How many files the process may have open: every connection is one.

use crate::Config;

/// Raises the process's limit of open files as far as it may, and says what it is then; `None` where
/// that cannot be known.
///
/// Systems start processes with a limit of a thousand or so, for the sake of programs that use
/// `select(2)`, and let each raise its own. For whoever runs the process to call, and no part of
/// [`start`](crate::start): it concerns all of the process.
///
/// ```
/// let most = obo_gateway::open_files::raise_limit();
/// assert_ne!(most, Some(0));
/// ```
pub fn raise_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let before = getrlimit(Resource::Nofile);
        let wanted = Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::debug!(%error, "the limit of open files stays as it was");
        }
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(unix))]
    None
}

/// How many files a gateway has open at most: one for each connection of a client, one for each
/// request's connection to its upstream, and a few for listening, signals and Entra ID.
///
/// ```no_run
/// # fn of(config: &obo_gateway::Config) {
/// let short = obo_gateway::open_files::raise_limit()
///     .is_some_and(|most| most < obo_gateway::open_files::needed(config));
/// # }
/// ```
#[must_use]
pub const fn needed(config: &Config) -> u64 {
    const OTHERS: u64 = 256;
    let limits = &config.limits;
    (limits.connections as u64)
        .saturating_add(limits.requests as u64)
        .saturating_add(OTHERS)
}
