//! Parameters of a request: each at most once.

use std::collections::HashMap;
use std::fmt;

use crate::aadsts;
use crate::error::AadError;

/// Decoded form or query parameters. They may be secrets: `Debug` shows names only.
#[derive(Clone, Default)]
pub(crate) struct Form {
    values: HashMap<String, String>,
    duplicate: Option<String>,
}

impl Form {
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(encoded) {
            if form
                .values
                .insert(name.clone().into_owned(), value.into_owned())
                .is_some()
            {
                form.duplicate.get_or_insert(name.into_owned());
            }
        }
        form
    }

    /// A parameter; an empty one counts as absent (RFC 6749 §3.1).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// A parameter of a token request that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, AadError> {
        self.get(name)
            .ok_or_else(|| aadsts::missing_body_parameter(name))
    }

    /// Refuses a request that says something twice (RFC 6749 §3.2).
    pub(crate) fn check_duplicates(&self) -> Result<(), AadError> {
        match &self.duplicate {
            Some(name) => Err(aadsts::duplicated_parameter(name)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
