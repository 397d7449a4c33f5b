//! App registrations: clients, APIs, and Microsoft's own resources.

use std::fmt;

use super::credential::{Certificate, FederatedCredential};
use super::registration::Registration;
use crate::encoding::guid_of;

/// Which access tokens an API wants (`requestedAccessTokenVersion` in its manifest).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TokenVersion {
    /// `ver` 1.0, issuer `…/{tid}/`, audience the App ID URI.
    V1,
    /// `ver` 2.0, issuer `…/{tid}/v2.0`, audience the client id.
    #[default]
    V2,
}

/// A delegated permission that an API exposes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Scope {
    /// Value in the `scp` claim: `access_as_user`.
    pub value: String,
    /// What the consent page says.
    pub display_name: String,
}

impl Scope {
    /// A scope with its consent text.
    pub fn new(value: impl Into<String>, display_name: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            display_name: display_name.into(),
        }
    }
}

/// Permissions on one resource that a registration lists as required (`requiredResourceAccess`);
/// `.default` asks for these.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Permission {
    /// Client id of the resource.
    pub resource: String,
    /// Values of its scopes.
    pub scopes: Vec<String>,
}

impl Permission {
    /// These scopes of this resource.
    pub fn new<S: Into<String>>(
        resource: impl Into<String>,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            resource: resource.into(),
            scopes: scopes.into_iter().map(Into::into).collect(),
        }
    }
}

/// An app registration and its service principal.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Application {
    /// Client id (application id), a GUID.
    pub client_id: String,
    /// Name on the sign-in and consent pages.
    pub display_name: String,
    /// Id of the tenant it is registered in; empty for Microsoft's own, which are everywhere.
    pub tenant: String,
    /// Users of other tenants may sign in.
    pub multi_tenant: bool,
    /// App ID URIs: `api://{client id}`. The first is the audience of v1 tokens that were asked for
    /// by client id.
    pub app_id_uris: Vec<String>,
    /// Client secrets. With neither secrets nor certificates nor federated credentials this is a
    /// public client.
    pub secrets: Vec<String>,
    /// Certificates whose keys sign client assertions.
    pub certificates: Vec<Certificate>,
    /// Other issuers' tokens that stand for the application.
    pub federated_credentials: Vec<FederatedCredential>,
    /// Where /authorize may send its answer.
    pub redirect_uris: Vec<String>,
    /// Where /logout may send the browser.
    pub post_logout_redirect_uris: Vec<String>,
    /// Scopes that this API exposes.
    pub scopes: Vec<Scope>,
    /// Application permissions that this API exposes: values of the `roles` claim.
    pub app_roles: Vec<String>,
    /// An application without any of those roles gets no token for this API (AADSTS501051).
    pub assignment_required: bool,
    /// Tokens that applications have for themselves say so: the optional claim `idtyp`.
    pub idtyp: bool,
    /// Tokens for it are signed with a key of its own, which only the documents with `?appid=` lead to:
    /// what Entra ID does once claims are mapped for an application.
    pub own_signing_key: bool,
    /// Permissions that this application needs.
    pub required: Vec<Permission>,
    /// Clients whose consent covers what this API needs as well (`knownClientApplications`).
    pub known_client_applications: Vec<String>,
    /// Version of the access tokens this API wants.
    pub token_version: TokenVersion,
    /// Policy id when this resource asks for multi-factor authentication of the users who must use
    /// it: a Conditional Access policy in miniature.
    pub mfa_policy: Option<String>,
    /// What Microsoft Graph keeps of it besides.
    pub(crate) registration: Registration,
}

impl Application {
    /// A registration without secrets, redirects or permissions.
    pub fn new(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        display_name: impl Into<String>,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            display_name: display_name.into(),
            tenant: tenant.into(),
            multi_tenant: false,
            app_id_uris: Vec::new(),
            secrets: Vec::new(),
            certificates: Vec::new(),
            federated_credentials: Vec::new(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            scopes: Vec::new(),
            app_roles: Vec::new(),
            assignment_required: false,
            idtyp: false,
            own_signing_key: false,
            required: Vec::new(),
            known_client_applications: Vec::new(),
            token_version: TokenVersion::V2,
            mfa_policy: None,
            registration: Registration::default(),
        }
    }

    /// Adds a client secret.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Registers a certificate.
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificates.push(certificate);
        self
    }

    /// Registers a federated credential, in the place of one with the same name.
    #[must_use]
    pub fn federated(mut self, credential: FederatedCredential) -> Self {
        self.set_federated(credential);
        self
    }

    /// The same on a registration that is there already.
    pub fn set_federated(&mut self, credential: FederatedCredential) {
        self.federated_credentials
            .retain(|known| known.name != credential.name);
        self.federated_credentials.push(credential);
    }

    /// Whether it has nothing to prove itself with, and need not have: what Microsoft Graph registered is public only
    /// where it says so.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.secrets.is_empty()
            && self.certificates.is_empty()
            && self.federated_credentials.is_empty()
            && !self.registration.is_confidential()
    }

    /// Whether `identifier` names this application as a resource. App ID URIs match without regard
    /// to a trailing slash, as `https://management.azure.com/` has one in half of the world.
    #[must_use]
    pub fn is_identified_by(&self, identifier: &str) -> bool {
        self.client_id.eq_ignore_ascii_case(identifier)
            || self.app_id_uris.iter().any(|uri| {
                uri.trim_end_matches('/')
                    .eq_ignore_ascii_case(identifier.trim_end_matches('/'))
            })
    }

    /// Whether users of this tenant can use the application: it has a service principal there.
    #[must_use]
    pub fn is_in(&self, tenant: &str) -> bool {
        !self.registration.no_principal
            && (self.multi_tenant
                || self.tenant.is_empty()
                || self.tenant.eq_ignore_ascii_case(tenant))
    }

    /// Object id of the registration, which is not its client id.
    pub(crate) fn object_id(&self) -> String {
        guid_of(&format!("application {}", self.client_id))
    }

    /// Object id of its service principal in a tenant: the `oid` of its own tokens.
    pub(crate) fn principal_id(&self, tenant: &str) -> String {
        guid_of(&format!("service principal {} {tenant}", self.client_id))
    }

    /// Whether the registration lists `client_id` among its known client applications.
    #[must_use]
    pub fn knows_client(&self, client_id: &str) -> bool {
        self.known_client_applications
            .iter()
            .any(|known| known.eq_ignore_ascii_case(client_id))
    }

    pub(crate) fn scope(&self, value: &str) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.value == value)
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("client_id", &self.client_id)
            .field("display_name", &self.display_name)
            .field("tenant", &self.tenant)
            .field("redirect_uris", &self.redirect_uris)
            .finish_non_exhaustive()
    }
}
