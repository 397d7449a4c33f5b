//! The file as it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) token_lifetime: Option<u32>,
    pub(super) page_size: Option<usize>,
    pub(super) arm_rate_limit: Option<RateLimit>,
    #[serde(default, rename = "tenant")]
    pub(super) tenants: Vec<Tenant>,
    #[serde(default, rename = "user")]
    pub(super) users: Vec<User>,
    #[serde(default, rename = "application")]
    pub(super) applications: Vec<Application>,
    #[serde(default, rename = "consent")]
    pub(super) consents: Vec<Consent>,
    #[serde(default, rename = "assignment")]
    pub(super) assignments: Vec<Assignment>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimit {
    pub(super) bucket: u32,
    pub(super) per_second: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) domain: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) username: String,
    pub(super) tenant: Option<String>,
    pub(super) oid: Option<String>,
    pub(super) password: Option<String>,
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) note: String,
    #[serde(default)]
    pub(super) mfa: Mfa,
    #[serde(default)]
    pub(super) disabled: bool,
    #[serde(default)]
    pub(super) subscriptions: Vec<Subscription>,
    #[serde(default)]
    pub(super) guest_in: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mfa {
    #[default]
    NotRequired,
    Required,
    NotEnrolled,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscription {
    pub(super) name: String,
    pub(super) id: Option<String>,
    /// So many of that name, with a number behind it.
    pub(super) count: Option<usize>,
    pub(super) state: Option<String>,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) resource_groups: Vec<ResourceGroup>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceGroup {
    pub(super) name: String,
    pub(super) location: Option<String>,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Application {
    pub(super) client_id: String,
    pub(super) name: String,
    pub(super) tenant: Option<String>,
    #[serde(default)]
    pub(super) multi_tenant: bool,
    #[serde(default)]
    pub(super) app_id_uris: Vec<String>,
    #[serde(default)]
    pub(super) secrets: Vec<String>,
    #[serde(default)]
    pub(super) certificates: Vec<PathBuf>,
    #[serde(default)]
    pub(super) federated_credentials: Vec<FederatedCredential>,
    #[serde(default)]
    pub(super) redirect_uris: Vec<String>,
    #[serde(default)]
    pub(super) post_logout_redirect_uris: Vec<String>,
    #[serde(default)]
    pub(super) scopes: Vec<Scope>,
    #[serde(default)]
    pub(super) app_roles: Vec<String>,
    #[serde(default)]
    pub(super) assignment_required: bool,
    #[serde(default)]
    pub(super) idtyp: bool,
    #[serde(default)]
    pub(super) own_signing_key: bool,
    #[serde(default)]
    pub(super) permissions: Vec<Permission>,
    #[serde(default)]
    pub(super) known_client_applications: Vec<String>,
    pub(super) token_version: Option<u8>,
    pub(super) mfa_policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FederatedCredential {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) audience: Option<String>,
    pub(super) jwks_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scope {
    pub(super) value: String,
    pub(super) consent: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Permission {
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consent {
    pub(super) tenant: String,
    pub(super) user: Option<String>,
    pub(super) client: String,
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Assignment {
    pub(super) tenant: String,
    pub(super) client: String,
    pub(super) resource: String,
    pub(super) roles: Vec<String>,
}
