//! A client secret in a file.

use std::path::{Path, PathBuf};

use super::{
    CredentialError,
    watched::{Reread, Watched},
};
use crate::Secret;

pub(super) struct SecretFile(Watched<Secret>);

impl SecretFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Watched::new(path))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Read each time: secrets are short, and some of two that follow each other look the same from
    /// outside.
    pub(super) fn secret(&self) -> Result<Secret, CredentialError> {
        self.0
            .current(Reread::Always, parse)
            .map(|secret| Secret::clone(&secret))
            .map_err(CredentialError::Unusable)
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
