//! Which build this is.

/// The package's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, where the environment of the build said it (`OBO_COMMIT`).
pub(crate) const COMMIT: &str = match option_env!("OBO_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
