//! Who calls: the claims of a validated token that decisions are made on.

use std::{fmt, sync::Arc};

use crate::Timestamp;

/// The caller of a request, from a token that has been validated.
///
/// A user is identified by [`tenant_id`](Self::tenant_id) and [`object_id`](Self::object_id)
/// together; nothing else of a token is fit for authorisation decisions (Microsoft's
/// [claims validation guide]). There is deliberately no accessor for `upn`, `email` or
/// `preferred_username`; a name to *show* is kept with
/// [`CoreBuilder::keep_claim`](crate::CoreBuilder::keep_claim) and read with
/// [`claim`](Self::claim).
///
/// [claims validation guide]: https://learn.microsoft.com/entra/identity-platform/claims-validation
#[derive(Clone)]
pub struct Principal(Arc<Claims>);

/// What is kept of a token. Strings that many tokens share are shared.
pub(crate) struct Claims {
    pub(crate) issuer: Arc<str>,
    pub(crate) tenant_id: Arc<str>,
    pub(crate) object_id: Option<Box<str>>,
    pub(crate) subject: Option<Box<str>>,
    pub(crate) client_id: Option<Arc<str>>,
    pub(crate) scopes: Arc<[Box<str>]>,
    pub(crate) roles: Arc<[Box<str>]>,
    pub(crate) app_only: bool,
    pub(crate) claims_capable: bool,
    pub(crate) token_id: Option<Box<str>>,
    pub(crate) expires_at: Timestamp,
    pub(crate) kept: Box<[(Arc<str>, Box<str>)]>,
}

impl Principal {
    pub(crate) fn new(claims: Claims) -> Self {
        Self(Arc::new(claims))
    }

    /// Who issued the token (`iss`). With another provider than Entra ID, this and
    /// [`subject`](Self::subject) together say who the user is.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The tenant that issued the token (`tid`); empty where that was another provider than Entra ID.
    #[must_use]
    pub fn tenant_id(&self) -> &str {
        &self.0.tenant_id
    }

    /// The user, or for an app-only token the service principal, in its tenant (`oid`).
    #[must_use]
    pub fn object_id(&self) -> Option<&str> {
        self.0.object_id.as_deref()
    }

    /// The caller as this API alone knows it (`sub`; pairwise for users).
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// The application that asked for the token (`azp` in v2 tokens, `appid` in v1 tokens).
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.0.client_id.as_deref()
    }

    /// The delegated permissions (`scp`).
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(AsRef::as_ref)
    }

    /// Whether the token has the delegated permission `scope`. Case-sensitive.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.iter().any(|has| **has == *scope)
    }

    /// The app roles (`roles`).
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.roles.iter().map(AsRef::as_ref)
    }

    /// Whether the caller has the app role `role`. Case-sensitive.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.0.roles.iter().any(|has| **has == *role)
    }

    /// Whether the token stands for an application without a user: `idtyp` is `app`, or it has
    /// roles and no scope. Such a token cannot be exchanged On-Behalf-Of (AADSTS7000114).
    #[must_use]
    pub fn is_app_only(&self) -> bool {
        self.0.app_only
    }

    /// Whether the client says it can answer a claims challenge (`xms_cc` holds `cp1`, in
    /// capitals or not).
    #[must_use]
    pub fn answers_claims_challenges(&self) -> bool {
        self.0.claims_capable
    }

    /// The token's own id (`uti`), which Entra's sign-in log knows it by.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.0.token_id.as_deref()
    }

    /// When the token expires (`exp`), without leeway.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// A further string claim, if it was configured to be kept.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.kept.iter().find(|(kept, _)| **kept == *name)?;
        Some(value)
    }

    /// The bytes that this principal takes alone: what it shares with others is counted there.
    pub(crate) fn weight(&self) -> usize {
        let claims = &*self.0;
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len() + 16);
        let own = |text: &Arc<str>| match Arc::strong_count(text) {
            1 => text.len() + 32,
            _ => 0,
        };
        let own_list = |list: &Arc<[Box<str>]>| match Arc::strong_count(list) {
            1 => list.iter().map(|item| item.len() + 32).sum::<usize>() + 32,
            _ => 0,
        };
        let kept = claims.kept.iter().map(|(_, value)| value.len() + 48);
        size_of::<Claims>()
            + 16
            + own(&claims.issuer)
            + own(&claims.tenant_id)
            + text(&claims.object_id)
            + text(&claims.subject)
            + claims.client_id.as_ref().map_or(0, own)
            + own_list(&claims.scopes)
            + own_list(&claims.roles)
            + text(&claims.token_id)
            + kept.sum::<usize>()
    }

    /// Whether the token grants anything at all: an ID token without roles does not, and one
    /// with roles is no access token to begin with.
    pub(crate) fn has_any_permission(&self) -> bool {
        !self.0.scopes.is_empty() || !self.0.roles.is_empty()
    }
}

/// Identifiers only: no name, no address, nothing that could be used as a token.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("tenant_id", &self.tenant_id())
            .field("object_id", &self.object_id())
            .field("client_id", &self.client_id())
            .field("scopes", &self.0.scopes)
            .field("roles", &self.0.roles)
            .field("app_only", &self.is_app_only())
            .finish_non_exhaustive()
    }
}
