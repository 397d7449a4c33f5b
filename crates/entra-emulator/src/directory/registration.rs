//! What a registration holds for Microsoft Graph alone: what was written by way of it, and what its credentials
//! are called. The rest of the emulator goes by the fields of [`Application`](super::Application).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Nothing of it is there for a registration that Graph never touched.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Registration {
    /// When Graph made it, in seconds since 1970; `None` for those of the configuration.
    pub(crate) made: Option<i64>,
    /// It has no service principal in its tenant, and so is of no use there yet.
    pub(crate) no_principal: bool,
    /// All properties as Graph shows them, credentials apart.
    pub(crate) properties: Option<Map<String, Value>>,
    pub(crate) passwords: Vec<Password>,
    pub(crate) keys: Vec<Key>,
    /// Descriptions of federated credentials, by their name.
    pub(crate) descriptions: BTreeMap<String, String>,
}

/// What is known of a client secret.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Password {
    pub(crate) key_id: String,
    pub(crate) display_name: Option<String>,
    /// Seconds since 1970.
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) secret: String,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// What is known of a certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Key {
    pub(crate) key_id: String,
    pub(crate) display_name: Option<String>,
    /// Seconds since 1970.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// SHA-1 in hexadecimal, as [`Certificate::thumbprint_hex`](super::Certificate::thumbprint_hex).
    pub(crate) thumbprint: String,
}

impl Registration {
    /// What is known of this secret; nothing, where it was not Graph that made it.
    pub(crate) fn password(&self, secret: &str) -> Option<&Password> {
        self.passwords.iter().find(|one| one.secret == secret)
    }

    /// Whether Graph made it, and neither as a fallback public client nor with an address of one.
    pub(crate) fn is_confidential(&self) -> bool {
        let Some(properties) = self.properties.as_ref().filter(|_| self.made.is_some()) else {
            return false;
        };
        let sends_to = |platform: &str| {
            let platform = properties.get(platform);
            let uris = platform.and_then(|platform| platform["redirectUris"].as_array());
            uris.is_some_and(|uris| !uris.is_empty())
        };
        let fallback = properties.get("isFallbackPublicClient") == Some(&Value::Bool(true));
        !fallback && !sends_to("publicClient") && !sends_to("spa")
    }

    /// What is known of this certificate.
    pub(crate) fn key(&self, thumbprint: &str) -> Option<&Key> {
        self.keys.iter().find(|one| one.thumbprint == thumbprint)
    }
}
