//! What can go wrong between us and Entra ID.

use std::fmt;

use oauth2::{ErrorResponse, RequestTokenError};
use serde::{Deserialize, Serialize};

use crate::http_client::HttpError;

/// A failure, sorted by what the user can do.
#[derive(Clone, Debug)]
pub(crate) enum EntraError {
    /// No answer.
    Http(HttpError),
    /// An OAuth error of the token endpoint.
    Refused(TokenError),
    /// An answer that makes no sense; says which. Never holds any of it.
    Unusable(&'static str),
}

impl EntraError {
    /// A fixed word for logs.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Http(error) => error.to_string(),
            Self::Refused(error) => error.to_string(),
            Self::Unusable(what) => format!("unusable: {what}"),
        }
    }

    /// Whether a new sign-in is the way on.
    pub(crate) fn needs_user(&self) -> bool {
        matches!(self, Self::Refused(error) if error.needs_user())
    }
}

impl From<HttpError> for EntraError {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

impl From<RequestTokenError<HttpError, TokenError>> for EntraError {
    fn from(error: RequestTokenError<HttpError, TokenError>) -> Self {
        match error {
            RequestTokenError::ServerResponse(error) => Self::Refused(error),
            RequestTokenError::Request(error) => Self::Http(error),
            // These may hold the body, and with it tokens.
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                Self::Unusable("the answer of the token endpoint")
            }
        }
    }
}

/// The error body of the token endpoint (RFC 6749 §5.2, with Entra ID's members).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct TokenError {
    pub(crate) error: String,
    /// AADSTS numbers.
    #[serde(default)]
    pub(crate) error_codes: Vec<u32>,
    /// What a new sign-in has to bring, as JSON.
    #[serde(default)]
    pub(crate) claims: Option<String>,
}

impl TokenError {
    /// Whether a new sign-in is the way on, as against a fault in our settings.
    pub(crate) fn needs_user(&self) -> bool {
        matches!(
            self.error.as_str(),
            "invalid_grant" | "interaction_required" | "login_required" | "consent_required"
        )
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The code alone: descriptions can repeat what was sent.
        let error = self.error.chars().take(64).filter(char::is_ascii_graphic);
        f.write_str(&error.collect::<String>())?;
        self.error_codes
            .iter()
            .take(4)
            .try_for_each(|code| write!(f, " AADSTS{code}"))
    }
}

impl ErrorResponse for TokenError {}
