//! The grants: what a token request says, and what is special about its answer. One grant, one file,
//! one implementation of [`Grant`]; retries, limits and the client's proof are the same for all.

mod client_credentials;
mod form;
mod on_behalf_of;

use self::{client_credentials::ClientCredentials, on_behalf_of::OnBehalfOf};
use super::ExchangeRequest;

pub(super) use self::form::Form;

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
}

impl GrantType {
    /// Whether the token is for somebody: the caller, whose own token is part of the request. Without
    /// a subject it is the application's, and the same for all callers of a tenant.
    #[must_use]
    pub const fn has_subject(self) -> bool {
        match self {
            Self::OnBehalfOf => true,
            Self::ClientCredentials => false,
        }
    }

    /// A fixed word for logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnBehalfOf => "on-behalf-of",
            Self::ClientCredentials => "client-credentials",
        }
    }

    pub(super) const fn implementation(self) -> &'static dyn Grant {
        match self {
            Self::OnBehalfOf => &OnBehalfOf,
            Self::ClientCredentials => &ClientCredentials,
        }
    }
}

/// What is special about a grant.
pub(super) trait Grant {
    /// Says what is asked for. Who asks stands in the form already.
    ///
    /// # Errors
    ///
    /// A fixed sentence, where something that the grant needs is not there.
    fn write(&self, request: &ExchangeRequest, form: &mut Form) -> Result<(), &'static str>;
}
