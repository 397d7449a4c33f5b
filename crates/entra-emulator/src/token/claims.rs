//! The claims of access tokens and ID tokens, v1 and v2.
//!
//! <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>

use serde_json::{Value, json};

use super::Claims;
use crate::directory::{Application, TokenVersion, User};
use crate::encoding::{base64url, from_base64url, guid_of, random, sha256_base64url};
use crate::state::State;

/// Entra dates its tokens five minutes back, for clocks that run late.
const BACKDATED: i64 = 300;

/// A user as they are in one tenant, and how they signed in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) user: &'a User,
    /// Tenant the token is issued in: the home tenant, or one the user is a guest of.
    pub(crate) tenant: &'a str,
    /// Object id in that tenant.
    pub(crate) oid: &'a str,
    pub(crate) mfa: bool,
}

/// How the client that a token is issued to proved itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Authentication {
    /// Not at all: a public client.
    None,
    Secret,
    /// A certificate or a federated credential.
    Assertion,
}

impl Authentication {
    /// `appidacr` of v1, `azpacr` of v2.
    fn acr(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Secret => "1",
            Self::Assertion => "2",
        }
    }
}

/// Everything an access token of a user says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserToken<'a> {
    pub(crate) identity: Identity<'a>,
    pub(crate) client: &'a Application,
    pub(crate) authentication: Authentication,
    pub(crate) resource: &'a Application,
    /// The resource as it was asked for; v1 tokens are addressed to exactly that.
    pub(crate) identifier: &'a str,
    pub(crate) scopes: &'a [String],
    /// Authentication contexts that were asked for and given.
    pub(crate) acrs: &'a [String],
    /// Client capabilities (`cp1`).
    pub(crate) capabilities: &'a [String],
}

impl UserToken<'_> {
    /// The claims, for a token that lives `lifetime` seconds from now.
    pub(crate) fn claims(&self, state: &State, version: TokenVersion, lifetime: i64) -> Claims {
        let Identity {
            user,
            tenant,
            oid,
            mfa,
        } = self.identity;
        let now = state.now();
        let credential = self.authentication.acr();
        let mut claims = times(now, lifetime);
        put(&mut claims, "iss", state.issuer(version, tenant));
        put(
            &mut claims,
            "aud",
            audience(self.resource, self.identifier, version),
        );
        put(&mut claims, "aio", aio(user));
        if !self.acrs.is_empty() {
            put(&mut claims, "acrs", self.acrs);
        }
        if !self.capabilities.is_empty() {
            put(&mut claims, "xms_cc", self.capabilities);
        }
        match version {
            TokenVersion::V1 => {
                put(&mut claims, "acr", "1");
                put(&mut claims, "amr", methods(mfa));
                put(&mut claims, "appid", &self.client.client_id);
                put(&mut claims, "appidacr", credential);
                self.put_v1_identity(&mut claims);
            }
            TokenVersion::V2 => {
                if mfa {
                    put(&mut claims, "amr", methods(mfa));
                }
                put(&mut claims, "azp", &self.client.client_id);
                put(&mut claims, "azpacr", credential);
                put(&mut claims, "name", &user.display_name);
                put(&mut claims, "preferred_username", &user.username);
            }
        }
        put(&mut claims, "oid", oid);
        put(&mut claims, "rh", rh(&self.resource.client_id));
        put(&mut claims, "scp", self.scopes.join(" "));
        put(&mut claims, "sid", guid_of(&format!("session {oid}")));
        put(&mut claims, "sub", pairwise(oid, &self.resource.client_id));
        put(&mut claims, "tid", tenant);
        put(&mut claims, "uti", random(16));
        put(&mut claims, "ver", version_text(version));
        claims
    }

    fn put_v1_identity(&self, claims: &mut Claims) {
        let user = self.identity.user;
        let (given, family) = user
            .display_name
            .split_once(' ')
            .unwrap_or((&user.display_name, ""));
        put(claims, "family_name", family);
        put(claims, "given_name", given);
        put(
            claims,
            "groups",
            [guid_of("group everyone"), guid_of("group engineering")],
        );
        put(claims, "idtyp", "user");
        put(claims, "ipaddr", "127.0.0.1");
        put(claims, "name", &user.display_name);
        put(claims, "puid", puid(self.identity.oid));
        put(claims, "unique_name", &user.username);
        put(claims, "upn", &user.username);
        // The role template ids of "Directory Readers" and of a plain user, as ARM tokens have.
        put(
            claims,
            "wids",
            [
                "88d8e3e3-8f55-4a1e-953a-9b9898b8876b",
                "b79fbf4d-3ef9-4689-8143-76b194e85509",
            ],
        );
        put(claims, "xms_ftd", random(48));
        put(claims, "xms_idrel", "1 24");
        put(claims, "xms_tcdt", 1_500_000_000);
    }
}

/// Everything an access token says that an application has for itself: roles and no scopes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppToken<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) client: &'a Application,
    pub(crate) authentication: Authentication,
    pub(crate) resource: &'a Application,
    pub(crate) identifier: &'a str,
    pub(crate) roles: &'a [String],
    /// The resource has the optional claim `idtyp`.
    pub(crate) idtyp: bool,
}

impl AppToken<'_> {
    pub(crate) fn claims(&self, state: &State, version: TokenVersion, lifetime: i64) -> Claims {
        let Self {
            tenant,
            client,
            resource,
            ..
        } = self;
        let credential = self.authentication.acr();
        let oid = client.principal_id(tenant);
        let mut claims = times(state.now(), lifetime);
        put(&mut claims, "iss", state.issuer(version, tenant));
        put(
            &mut claims,
            "aud",
            audience(resource, self.identifier, version),
        );
        put(&mut claims, "aio", random(32));
        match version {
            TokenVersion::V1 => {
                put(&mut claims, "appid", &client.client_id);
                put(&mut claims, "appidacr", credential);
                put(&mut claims, "idp", state.issuer(version, tenant));
            }
            TokenVersion::V2 => {
                put(&mut claims, "azp", &client.client_id);
                put(&mut claims, "azpacr", credential);
            }
        }
        if self.idtyp {
            put(&mut claims, "idtyp", "app");
        }
        put(&mut claims, "oid", &oid);
        put(&mut claims, "rh", rh(&resource.client_id));
        if !self.roles.is_empty() {
            put(&mut claims, "roles", self.roles);
        }
        put(&mut claims, "sub", &oid);
        put(&mut claims, "tid", tenant);
        put(&mut claims, "uti", random(16));
        put(&mut claims, "ver", version_text(version));
        claims
    }
}

/// What decides about an ID token besides the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdToken<'a> {
    pub(crate) identity: Identity<'a>,
    /// Client id it is issued to.
    pub(crate) audience: &'a str,
    pub(crate) nonce: Option<&'a str>,
    /// The `profile` scope was asked for: names are in it.
    pub(crate) profile: bool,
    /// The `email` scope was asked for.
    pub(crate) email: bool,
}

impl IdToken<'_> {
    /// ID tokens of the v2.0 endpoint are v2 whatever the resource wants.
    pub(crate) fn claims(&self, state: &State, lifetime: i64) -> Claims {
        let Identity {
            user,
            tenant,
            oid,
            mfa,
        } = self.identity;
        let mut claims = times(state.now(), lifetime);
        put(&mut claims, "iss", state.issuer(TokenVersion::V2, tenant));
        put(&mut claims, "aud", self.audience);
        put(&mut claims, "aio", aio(user));
        if mfa {
            put(&mut claims, "amr", methods(mfa));
        }
        if self.email {
            put(&mut claims, "email", &user.username);
        }
        if self.profile {
            put(&mut claims, "name", &user.display_name);
            put(&mut claims, "preferred_username", &user.username);
        }
        if let Some(nonce) = self.nonce {
            put(&mut claims, "nonce", nonce);
        }
        put(&mut claims, "oid", oid);
        put(&mut claims, "rh", rh(self.audience));
        put(&mut claims, "sid", guid_of(&format!("session {oid}")));
        put(&mut claims, "sub", pairwise(oid, self.audience));
        put(&mut claims, "tid", tenant);
        put(&mut claims, "uti", random(16));
        put(&mut claims, "ver", "2.0");
        claims
    }
}

/// How often the user's sessions had been revoked when a token with this `aio` was issued. Entra
/// keeps its own book-keeping in that opaque claim too.
pub(crate) fn revocations_at(aio: &str) -> Option<u32> {
    let bytes = from_base64url(aio)?;
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

fn aio(user: &User) -> String {
    let mut bytes = user.revocations.to_be_bytes().to_vec();
    bytes.extend_from_slice(random(36).as_bytes());
    base64url(bytes)
}

/// Whom a token is addressed to, for a resource that was asked for as `identifier`.
fn audience<'a>(resource: &'a Application, identifier: &'a str, version: TokenVersion) -> &'a str {
    match version {
        TokenVersion::V2 => &resource.client_id,
        // Asked for by its client id, a v1 resource is addressed by its App ID URI.
        TokenVersion::V1 if identifier.eq_ignore_ascii_case(&resource.client_id) => {
            resource.app_id_uris.first().unwrap_or(&resource.client_id)
        }
        TokenVersion::V1 => identifier,
    }
}

fn times(now: i64, lifetime: i64) -> Claims {
    let mut claims = Claims::new();
    put(&mut claims, "iat", now - BACKDATED);
    put(&mut claims, "nbf", now - BACKDATED);
    put(&mut claims, "exp", now.saturating_add(lifetime));
    claims
}

fn put(claims: &mut Claims, name: &str, value: impl serde::Serialize) {
    claims.insert(name.to_owned(), json!(value));
}

fn methods(mfa: bool) -> Value {
    if mfa {
        json!(["pwd", "mfa"])
    } else {
        json!(["pwd"])
    }
}

fn version_text(version: TokenVersion) -> &'static str {
    match version {
        TokenVersion::V1 => "1.0",
        TokenVersion::V2 => "2.0",
    }
}

/// A user's `sub` differs from one application to the next.
fn pairwise(oid: &str, app: &str) -> String {
    sha256_base64url(&format!("sub {oid} {app}"))
}

fn rh(app: &str) -> String {
    format!("1.{}.", &sha256_base64url(&format!("rh {app}"))[..36])
}

fn puid(oid: &str) -> String {
    let digits: String = oid
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(12)
        .collect();
    format!("1003{}", digits.to_ascii_uppercase())
}
