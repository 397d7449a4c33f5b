//! `WWW-Authenticate`: written for our callers, read from the APIs that we call.

mod read;
mod write;

pub(crate) use self::{
    read::claims,
    write::{Challenge, ChallengeContext},
};
