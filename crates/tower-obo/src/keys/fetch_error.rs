//! Why signing keys could not be fetched.

use std::{error::Error, fmt};

use super::{
    discovery::{self, DiscoveryError, JWKS},
    set::KeySetError,
};
use crate::Aadsts;

/// Why signing keys could not be fetched: for whoever runs the service. Names documents, statuses and
/// codes, and holds nothing of what was answered.
///
/// ```
/// use tower_obo::{Event, Observer};
///
/// #[derive(Debug)]
/// struct Report;
///
/// impl Observer for Report {
///     fn on(&self, event: &Event<'_>) {
///         if let Event::KeysFetched { error: Some(error), .. } = event {
///             eprintln!("no keys: {error}");
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeysError(Reason);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Reason {
    Call(DiscoveryError),
    Set(KeySetError),
}

impl KeysError {
    /// Whether the provider's documents were good, and only the keys that they name are not.
    #[must_use]
    pub fn is_of_key_set(&self) -> bool {
        match self.0 {
            Reason::Call(error) => error.document == JWKS,
            Reason::Set(_) => true,
        }
    }

    /// Whether no answer could be had: nobody is there, or not in time, or whoever is cannot be trusted.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self.0,
            Reason::Call(DiscoveryError {
                reason: discovery::Reason::Call(_),
                ..
            })
        )
    }

    /// The AADSTS code of the answer, where Entra ID gave one: 90002 where it knows no such tenant.
    #[must_use]
    pub const fn aadsts(&self) -> Option<u32> {
        match self.0 {
            Reason::Call(error) => error.aadsts,
            Reason::Set(_) => None,
        }
    }
}

impl From<DiscoveryError> for KeysError {
    fn from(error: DiscoveryError) -> Self {
        Self(Reason::Call(error))
    }
}

impl From<KeySetError> for KeysError {
    fn from(error: KeySetError) -> Self {
        Self(Reason::Set(error))
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reason::Call(error) => error.fmt(f)?,
            Reason::Set(error) => write!(f, "{JWKS}: {error}")?,
        }
        match self.aadsts() {
            None => Ok(()),
            Some(code) => match Aadsts::find(code) {
                Some(known) => write!(f, " (AADSTS{code}: {})", known.meaning),
                None => write!(f, " (AADSTS{code})"),
            },
        }
    }
}

impl Error for KeysError {}
