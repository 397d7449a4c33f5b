//! `WWW-Authenticate`: written for our callers, read from the APIs that we call.

mod read;
mod write;

/// A claims request longer than this is none: read from others, written for callers, who get it in a
/// header. Entra ID's have a few hundred bytes.
pub(crate) const MAX_CLAIMS: usize = 8 * 1024;

pub(crate) use self::{
    read::claims,
    write::{Challenge, ChallengeContext},
};
