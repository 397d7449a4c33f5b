//! The kinds of refusals, and what follows from each.

use http::StatusCode;

use crate::validate::TokenDefect;

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RejectionKind {
    /// The account is disabled, not assigned, or not in the tenant.
    AccountRefused,
    /// The token stands for an application; only users are served here.
    AppOnlyNotAllowed,
    /// The identity provider refuses the token that validated here: revoked, say.
    AssertionRefused,
    /// The calling application is not on the list.
    ClientNotAllowed,
    /// A policy blocks the user.
    ConditionalAccess,
    /// Consent is missing.
    ConsentRequired,
    /// Our own credential is not there at present: a file that cannot be read, say.
    CredentialUnavailable,
    /// The operator of this service has cut the caller off ([`DenyList`](crate::DenyList)).
    Denied,
    /// The identity provider did not answer in time.
    IdentityProviderTimeout,
    /// The identity provider is down or out of reach.
    IdentityProviderUnavailable,
    /// The user has to satisfy claims (multi-factor authentication, Conditional Access, continuous
    /// access evaluation).
    InsufficientClaims,
    /// The token lacks the scope or role.
    InsufficientScope,
    /// The user has to sign in again.
    InteractionRequired,
    /// The `Authorization` of the request is not well-formed, or stands there more than once.
    InvalidRequest,
    /// The token is not valid.
    InvalidToken(TokenDefect),
    /// The token's signing key is none of those that are known, and the fetch that may bring it has not
    /// ended: nobody knows yet whether there is one of that name.
    KeyStillUnknown,
    /// There are no signing keys: none have been loaded yet, or those that were are too old.
    KeysNotLoaded,
    /// Our own registration, credential or configuration is wrong.
    Misconfigured,
    /// There is no token.
    MissingToken,
    /// Too many exchanges are under way.
    Overloaded,
    /// The identity provider asks us to slow down.
    Throttled,
    /// The identity provider answers with what cannot be used, or cannot prove who it is.
    UnusableIdentityProvider,
}

/// Who has to act.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Actor {
    /// Whoever sent the request, or an administrator of their tenant: a better token, another user,
    /// consent, an assignment, a word with the operator of this service.
    Caller,
    /// Whoever runs this service.
    Gateway,
    /// The identity provider.
    IdentityProvider,
}

impl Actor {
    /// The word that problem documents have.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Gateway => "gateway",
            Self::IdentityProvider => "identity-provider",
        }
    }
}

impl RejectionKind {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::MissingToken
            | Self::InvalidToken(_)
            | Self::AssertionRefused
            | Self::InsufficientClaims
            | Self::InteractionRequired => StatusCode::UNAUTHORIZED,
            Self::AccountRefused
            | Self::AppOnlyNotAllowed
            | Self::ClientNotAllowed
            | Self::ConditionalAccess
            | Self::ConsentRequired
            | Self::Denied
            | Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::Misconfigured | Self::UnusableIdentityProvider => StatusCode::BAD_GATEWAY,
            Self::CredentialUnavailable
            | Self::IdentityProviderUnavailable
            | Self::KeyStillUnknown
            | Self::KeysNotLoaded
            | Self::Overloaded
            | Self::Throttled => StatusCode::SERVICE_UNAVAILABLE,
            Self::IdentityProviderTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Who has to act before the request can succeed.
    #[must_use]
    pub const fn actor(self) -> Actor {
        match self {
            Self::AccountRefused
            | Self::AppOnlyNotAllowed
            | Self::AssertionRefused
            | Self::ClientNotAllowed
            | Self::ConditionalAccess
            | Self::ConsentRequired
            | Self::Denied
            | Self::InsufficientClaims
            | Self::InsufficientScope
            | Self::InteractionRequired
            | Self::InvalidRequest
            | Self::InvalidToken(_)
            | Self::MissingToken => Actor::Caller,
            Self::CredentialUnavailable | Self::Misconfigured | Self::Overloaded => Actor::Gateway,
            Self::IdentityProviderTimeout
            | Self::IdentityProviderUnavailable
            | Self::KeyStillUnknown
            | Self::KeysNotLoaded
            | Self::Throttled
            | Self::UnusableIdentityProvider => Actor::IdentityProvider,
        }
    }

    /// A fixed word: the last part of the problem type, and a label for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccountRefused => "account-refused",
            Self::AppOnlyNotAllowed => "app-only-not-allowed",
            Self::AssertionRefused => "assertion-refused",
            Self::ClientNotAllowed => "client-not-allowed",
            Self::ConditionalAccess => "conditional-access",
            Self::ConsentRequired => "consent-required",
            Self::CredentialUnavailable => "credential-unavailable",
            Self::Denied => "denied",
            Self::IdentityProviderTimeout => "identity-provider-timeout",
            Self::IdentityProviderUnavailable => "identity-provider-unavailable",
            Self::InsufficientClaims => "insufficient-claims",
            Self::InsufficientScope => "insufficient-scope",
            Self::InteractionRequired => "interaction-required",
            Self::InvalidRequest => "invalid-request",
            Self::InvalidToken(_) => "invalid-token",
            Self::KeyStillUnknown => "key-still-unknown",
            Self::KeysNotLoaded => "keys-not-loaded",
            Self::Misconfigured => "gateway-misconfigured",
            Self::MissingToken => "missing-token",
            Self::Overloaded => "overloaded",
            Self::Throttled => "throttled",
            Self::UnusableIdentityProvider => "unusable-identity-provider",
        }
    }

    /// A short title for people, the same for every refusal of the kind.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::AccountRefused => "This account may not use the application",
            Self::AppOnlyNotAllowed => "Only users are served here",
            Self::AssertionRefused => "The identity provider refuses the token",
            Self::ClientNotAllowed => "This application may not call",
            Self::ConditionalAccess => "A policy blocks the access",
            Self::ConsentRequired => "Consent is required",
            Self::CredentialUnavailable => "This service's own credential is not available",
            Self::Denied => "The operator has cut this caller off",
            Self::IdentityProviderTimeout => "The identity provider did not answer in time",
            Self::IdentityProviderUnavailable => "The identity provider is not available",
            Self::InsufficientClaims => "The user has to prove more at sign-in",
            Self::InsufficientScope => "A permission is missing",
            Self::InteractionRequired => "The user has to sign in again",
            Self::InvalidRequest => "The Authorization header is not well-formed",
            Self::InvalidToken(_) => "The token is not valid",
            Self::KeyStillUnknown => "The token's signing key is still being looked for",
            Self::KeysNotLoaded => "Signing keys are not loaded yet",
            Self::Misconfigured => "This service is not set up correctly",
            Self::MissingToken => "A bearer token is required",
            Self::Overloaded => "Too many requests wait for the identity provider",
            Self::Throttled => "The identity provider asks to slow down",
            Self::UnusableIdentityProvider => "The identity provider's answer cannot be used",
        }
    }

    pub(super) const fn is_unavailable(self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::{Actor as A, RejectionKind as K};

    #[test]
    fn every_kind_says_who_has_to_act() {
        for (kind, actor, status) in [
            (K::AccountRefused, A::Caller, 403),
            (K::AppOnlyNotAllowed, A::Caller, 403),
            (K::AssertionRefused, A::Caller, 401),
            (K::ClientNotAllowed, A::Caller, 403),
            (K::ConditionalAccess, A::Caller, 403),
            (K::ConsentRequired, A::Caller, 403),
            (K::CredentialUnavailable, A::Gateway, 503),
            (K::Denied, A::Caller, 403),
            (K::IdentityProviderTimeout, A::IdentityProvider, 504),
            (K::IdentityProviderUnavailable, A::IdentityProvider, 503),
            (K::InsufficientClaims, A::Caller, 401),
            (K::InsufficientScope, A::Caller, 403),
            (K::InteractionRequired, A::Caller, 401),
            (K::InvalidRequest, A::Caller, 400),
            (K::KeyStillUnknown, A::IdentityProvider, 503),
            (K::KeysNotLoaded, A::IdentityProvider, 503),
            (K::Misconfigured, A::Gateway, 502),
            (K::MissingToken, A::Caller, 401),
            (K::Overloaded, A::Gateway, 503),
            (K::Throttled, A::IdentityProvider, 503),
            (K::UnusableIdentityProvider, A::IdentityProvider, 502),
        ] {
            assert_eq!(kind.actor(), actor, "{kind:?}");
            assert_eq!(kind.status().as_u16(), status, "{kind:?}");
        }
    }
}
