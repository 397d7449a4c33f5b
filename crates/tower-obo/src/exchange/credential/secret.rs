//! A client secret in a file.

use super::watched::{Bad, Format, Parsed};
use crate::{Secret, Timestamp};

/// How it is read.
pub(super) struct SecretText;

impl Format for SecretText {
    type Value = Secret;

    fn parse(&self, bytes: &[u8], _: Option<&Secret>, _: Timestamp) -> Result<Parsed<Secret>, Bad> {
        let value = parse(bytes)?;
        Ok(Parsed { value, until: None })
    }

    /// Secrets are short, and some of two that follow each other look the same from outside.
    fn reads_always(&self, _: Option<Timestamp>, _: Timestamp) -> bool {
        true
    }
}

/// The text of a file, without the white space around it.
pub(super) fn parse(bytes: &[u8]) -> Result<Secret, String> {
    match std::str::from_utf8(bytes).map(str::trim) {
        Err(_) => Err("is no UTF-8".to_owned()),
        Ok("") => Err("is empty".to_owned()),
        Ok(text) => Ok(Secret::from(text)),
    }
}
