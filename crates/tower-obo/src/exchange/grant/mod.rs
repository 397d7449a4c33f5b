//! The grants: what a token request says, and what is special about its answer. One grant, one file,
//! one implementation of [`Grant`]; retries, limits and the client's proof are the same for all.

mod client_credentials;
mod form;
mod on_behalf_of;
mod token_exchange;

use serde_json::Value;

use self::{
    client_credentials::ClientCredentials, on_behalf_of::OnBehalfOf, token_exchange::TokenExchange,
};
use super::{ExchangeErrorKind, ExchangeRequest};

pub(super) use self::form::{Form, encode};

/// By which grant of OAuth 2.0 a token is asked for.
///
/// ```
/// use tower_obo::{Downstream, GrantType};
///
/// let arm = Downstream::azure_resource_manager();
/// let jobs = Downstream::client_credentials("jobs", ["api://jobs/.default"]);
/// assert_eq!(arm.grant(), GrantType::OnBehalfOf);
/// assert!(arm.grant().has_subject() && !jobs.grant().has_subject());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GrantType {
    /// For the user whose token the caller has shown: [On-Behalf-Of] of Entra ID.
    ///
    /// [On-Behalf-Of]: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow
    OnBehalfOf,
    /// For the application itself, whoever calls (RFC 6749 §4.4).
    ClientCredentials,
    /// For the user whose token the caller has shown, at other providers: RFC 8693.
    TokenExchange,
}

impl GrantType {
    /// Whether the token is for somebody: the caller, whose own token is part of the request. Without
    /// a subject it is the application's, and the same for all callers of a tenant.
    #[must_use]
    pub const fn has_subject(self) -> bool {
        match self {
            Self::OnBehalfOf | Self::TokenExchange => true,
            Self::ClientCredentials => false,
        }
    }

    /// A fixed word for logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnBehalfOf => "on-behalf-of",
            Self::ClientCredentials => "client-credentials",
            Self::TokenExchange => "token-exchange",
        }
    }

    pub(in crate::exchange) const fn implementation(self) -> &'static dyn Grant {
        match self {
            Self::OnBehalfOf => &OnBehalfOf,
            Self::ClientCredentials => &ClientCredentials,
            Self::TokenExchange => &TokenExchange,
        }
    }
}

/// What is special about a grant.
pub(super) trait Grant: Sync {
    /// Says what is asked for. Who asks stands in the form already.
    ///
    /// # Errors
    ///
    /// A fixed sentence, where something that the grant needs is not there.
    fn write(&self, request: &ExchangeRequest, form: &mut Form) -> Result<(), &'static str>;

    /// Judges a successful answer by what only this grant has in it.
    ///
    /// # Errors
    ///
    /// A fixed sentence that says why the answer cannot be used.
    fn check(&self, _answer: &Value) -> Result<(), &'static str> {
        Ok(())
    }

    /// What an `error` of RFC 6749 §5.2 means where it has another meaning than elsewhere.
    fn meaning(&self, _error: &str) -> Option<(ExchangeErrorKind, &'static str)> {
        None
    }
}
