//! The rules that make a token valid.

mod oidc;

pub(crate) use self::oidc::claim_and_member;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};

use self::oidc::OidcRules;
use super::{
    TokenDefect,
    claims::{Audience, RawClaims},
    intern::Interner,
    jose::{self, Jws},
};
use crate::{
    Oidc, Timestamp,
    keys::{Algorithm, Key, KeySet, issuers},
    principal::{Claims, Principal},
};

/// Tokens that live longer than this are not Entra ID's.
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Two keys of one id are normal where tenants share it; more than this is an attack on our time.
const MAX_TRIES: usize = 4;

/// What makes a token valid: audiences, tenants, algorithms, leeway. Issuers and keys come from
/// the [`KeySet`].
///
/// Usable by itself, without a layer and without an exchange:
///
/// ```
/// use tower_obo::{Issuers, KeySet, TokenDefect, Timestamp, Validator};
///
/// let validator = Validator::builder()
///     .audience("api://6e74172b-be56-4843-9ff4-e66a39bb12e3")
///     .tenant("72f988bf-86f1-41af-91ab-2d7cd011db47")
///     .build();
/// # let jwks = br#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k",
/// #   "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
/// #   "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;
/// # let issuers = Issuers::new("https://login.microsoftonline.com/{tenantid}/v2.0");
/// # let now = Timestamp::from_unix(1_000);
/// let keys = KeySet::parse(jwks, issuers, now, std::time::Duration::from_secs(86_400))?;
/// let refused = validator.validate("not.a.token", &keys, now);
/// assert_eq!(refused.unwrap_err(), TokenDefect::Encoding);
/// # Ok::<_, tower_obo::KeySetError>(())
/// ```
pub struct Validator {
    rules: Rules,
    interner: Interner,
    fingerprint: [u8; 8],
}

#[derive(Clone, Debug, Default)]
struct Rules {
    audiences: Vec<Box<str>>,
    audience_lists: bool,
    tenants: Vec<Box<str>>,
    any_tenant: bool,
    algorithms: Vec<Algorithm>,
    leeway: Duration,
    max_token_bytes: usize,
    keep: Vec<Arc<str>>,
    /// Those of another provider, in place of Entra ID's for issuer and tenant.
    oidc: Option<OidcRules>,
}

/// A valid token: who it stands for, until when, and the key that vouches for it.
pub(crate) struct Validated {
    pub(crate) principal: Principal,
    pub(crate) valid_until: Timestamp,
    pub(crate) key: Arc<Key>,
}

impl Validator {
    /// Starts with nothing allowed: RS256, a leeway of 60 s, tokens of at most 16 KiB, no audience
    /// and no tenant.
    pub fn builder() -> ValidatorBuilder {
        ValidatorBuilder(Rules {
            algorithms: vec![Algorithm::Rs256],
            leeway: Duration::from_secs(60),
            max_token_bytes: 16 * 1024,
            ..Rules::default()
        })
    }

    /// Judges a token, as of `now`, by these keys.
    ///
    /// # Errors
    ///
    /// The first defect found. [`TokenDefect::UnknownKey`] may go away with newer keys.
    pub fn validate(
        &self,
        token: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Principal, TokenDefect> {
        self.judge(token, Some(keys), now)
            .map(|valid| valid.principal)
    }

    /// While there are no keys, all that needs none is judged all the same: what has no other defect
    /// has an unknown key.
    pub(crate) fn judge(
        &self,
        token: &str,
        keys: Option<&KeySet>,
        now: Timestamp,
    ) -> Result<Validated, TokenDefect> {
        let jws = self.look_at_head(token)?;
        let payload = jose::decode(jws.payload)?;
        if let Some(oidc) = &self.rules.oidc {
            return self.judge_oidc(oidc, &jws, &payload, keys, now);
        }
        let claims = RawClaims::parse(&payload, &self.rules.keep)?;
        self.check_audience(&claims)?;
        self.check_tenant(&claims.tenant_id)?;
        if let Some(keys) = keys {
            check_issuer(&claims, keys)?;
        }
        check_kind(&claims)?;
        let valid_until = self.check_lifetime(&claims, now)?;
        let keys = keys.ok_or(TokenDefect::UnknownKey)?;
        let key = find_key(&jws, &claims, keys, now)?;
        Ok(Validated {
            principal: self.principal(claims),
            valid_until,
            key,
        })
    }

    /// The first of it, which costs least: size, form, header and algorithm.
    ///
    /// # Errors
    ///
    /// What is wrong with those.
    pub(crate) fn look_at_head<'t>(&self, token: &'t str) -> Result<Jws<'t>, TokenDefect> {
        if token.len() > self.rules.max_token_bytes {
            return Err(TokenDefect::TooLarge);
        }
        let jws = Jws::parse(token)?;
        if !self.rules.algorithms.contains(&jws.header.algorithm) {
            return Err(TokenDefect::Algorithm);
        }
        Ok(jws)
    }

    /// How large a token may be, in bytes.
    pub(crate) const fn max_token_bytes(&self) -> usize {
        self.rules.max_token_bytes
    }

    /// What distinguishes this validator's rules from others'. An admission is only ever found by
    /// a validator with the rules of the one that made it, also after a configuration reload.
    pub(crate) const fn fingerprint(&self) -> [u8; 8] {
        self.fingerprint
    }

    fn check_audience(&self, claims: &RawClaims<'_>) -> Result<(), TokenDefect> {
        let ours =
            |audience: &Cow<'_, str>| self.rules.audiences.iter().any(|ours| **ours == **audience);
        let fits = match &claims.audience {
            Audience::One(audience) => ours(audience),
            Audience::Many(audiences) => self.rules.audience_lists && audiences.iter().any(ours),
        };
        fits.then_some(()).ok_or(TokenDefect::Audience)
    }

    /// The tenant is checked to be a GUID whatever is allowed: it goes into the address of the
    /// token endpoint later.
    fn check_tenant(&self, tenant: &str) -> Result<(), TokenDefect> {
        let allowed = self.rules.any_tenant
            || self
                .rules
                .tenants
                .iter()
                .any(|allowed| **allowed == *tenant);
        (is_guid(tenant) && allowed)
            .then_some(())
            .ok_or(TokenDefect::Tenant)
    }

    fn check_lifetime(
        &self,
        claims: &RawClaims<'_>,
        now: Timestamp,
    ) -> Result<Timestamp, TokenDefect> {
        let expires = Timestamp::from_unix(claims.expires);
        if expires > now + MAX_LIFETIME {
            return Err(TokenDefect::Lifetime);
        }
        let valid_until = expires + self.rules.leeway;
        if now >= valid_until {
            return Err(TokenDefect::Expired);
        }
        if Timestamp::from_unix(claims.not_before) > now + self.rules.leeway {
            return Err(TokenDefect::NotYetValid);
        }
        Ok(valid_until)
    }

    fn principal(&self, claims: RawClaims<'_>) -> Principal {
        let optional = claims.optional;
        let client_id = match &*claims.version {
            "1.0" => optional.app_id,
            _ => optional.authorized_party,
        };
        let scopes = self
            .interner
            .list(optional.scope.split(' ').filter(|scope| !scope.is_empty()));
        let roles = self.interner.list(optional.roles.iter().map(AsRef::as_ref));
        let app_only = optional.identity_type.as_deref() == Some("app")
            || (self.rules.oidc.is_none() && scopes.is_empty() && !roles.is_empty());
        Principal::new(Claims {
            issuer: self.interner.text(&claims.issuer),
            tenant_id: self.interner.text(&claims.tenant_id),
            object_id: optional.object_id.map(Into::into),
            subject: optional.subject.map(Into::into),
            client_id: client_id.map(|id| self.interner.text(&id)),
            scopes,
            roles,
            app_only,
            // Entra ID repeats it as the client wrote it, which is "CP1" for some of Microsoft's own.
            claims_capable: optional
                .capabilities
                .iter()
                .any(|name| name.eq_ignore_ascii_case("cp1")),
            token_id: optional.token_id.map(Into::into),
            expires_at: Timestamp::from_unix(claims.expires),
            kept: optional.kept.into(),
        })
    }
}

/// The rules, and nothing of the tokens that have been judged by them.
impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// An ID token may have roles, and none of them is an application's: without a scope it would look like
/// the token of one. Entra ID names the client in every access token, and in no ID token.
fn check_kind(claims: &RawClaims<'_>) -> Result<(), TokenDefect> {
    let optional = &claims.optional;
    let client = match &*claims.version {
        "1.0" => &optional.app_id,
        _ => &optional.authorized_party,
    };
    let has_roles_alone = optional.scope.trim().is_empty() && !optional.roles.is_empty();
    if has_roles_alone && client.is_none() && optional.identity_type.as_deref() != Some("app") {
        return Err(TokenDefect::Type);
    }
    Ok(())
}

/// `iss` must be the issuer of the token's own version, filled with the token's own tenant.
fn check_issuer(claims: &RawClaims<'_>, keys: &KeySet) -> Result<(), TokenDefect> {
    let template = match &*claims.version {
        "2.0" => Some(keys.issuers().v2()),
        "1.0" => keys.issuers().v1(),
        _ => return Err(TokenDefect::Claims),
    };
    template
        .is_some_and(|template| issuers::names(template, &claims.tenant_id, &claims.issuer))
        .then_some(())
        .ok_or(TokenDefect::Issuer)
}

/// The key that signed the token. A key that names an issuer counts for that issuer only, so that
/// one tenant's key never vouches for another, also where two share an id. The v2.0 document's
/// keys sign v1.0 tokens too, so a key for the v2.0 issuer of the same tenant counts as well.
fn find_key(
    jws: &Jws<'_>,
    claims: &RawClaims<'_>,
    keys: &KeySet,
    now: Timestamp,
) -> Result<Arc<Key>, TokenDefect> {
    let named = keys.with_id(&jws.header.kid);
    if named.is_empty() {
        return Err(TokenDefect::UnknownKey);
    }
    let tenant = &*claims.tenant_id;
    let v2 = keys.issuers().v2().replace("{tenantid}", tenant);
    let mut fitting = named
        .iter()
        .filter(|key| {
            key.issuer().is_none_or(|issuer| {
                issuers::names(issuer, tenant, &claims.issuer)
                    || issuers::names(issuer, tenant, &v2)
            })
        })
        .peekable();
    if fitting.peek().is_none() {
        return Err(TokenDefect::Issuer);
    }
    signer(jws, fitting, now)
}

/// The one of these keys that made the signature.
pub(super) fn signer<'a>(
    jws: &Jws<'_>,
    keys: impl Iterator<Item = &'a Arc<Key>>,
    now: Timestamp,
) -> Result<Arc<Key>, TokenDefect> {
    let algorithm = jws.header.algorithm;
    let mut trusted = keys.filter(|key| key.is_trusted(now)).peekable();
    if trusted.peek().is_none() {
        return Err(TokenDefect::UnknownKey);
    }
    let mut fitting = trusted.filter(|key| key.supports(algorithm)).peekable();
    if fitting.peek().is_none() {
        return Err(TokenDefect::Algorithm);
    }
    let signature = jose::decode(jws.signature)?;
    let mut signers = fitting
        .take(MAX_TRIES)
        .filter(|key| key.verify(algorithm, jws.signing_input, &signature));
    // Two different keys that both verify one signature do not exist by accident.
    match (signers.next(), signers.next()) {
        (Some(key), None) => Ok(Arc::clone(key)),
        _ => Err(TokenDefect::Signature),
    }
}

/// A GUID as Entra ID writes it: 8-4-4-4-12 hexadecimal digits, no braces.
pub(crate) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Collects the rules of a [`Validator`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ValidatorBuilder(Rules);

impl ValidatorBuilder {
    /// Accepts tokens for this audience (`aud`), compared byte by byte.
    pub fn audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.0.audiences.push(audience.into());
        self
    }

    /// Accepts a list of audiences in a token if ours is among them. Entra ID never issues one, so
    /// by default a list is refused.
    pub fn accept_audience_lists(mut self) -> Self {
        self.0.audience_lists = true;
        self
    }

    /// Accepts tokens of the tenant with this GUID.
    pub fn tenant(mut self, tenant: impl Into<Box<str>>) -> Self {
        self.0.tenants.push(tenant.into());
        self
    }

    /// Accepts tokens of every tenant.
    pub fn any_tenant(mut self) -> Self {
        self.0.any_tenant = true;
        self
    }

    /// Judges tokens of this provider in place of Entra ID's: tenants do not matter then, and a list of
    /// audiences that holds ours is one that is accepted.
    pub fn oidc(mut self, provider: &Oidc) -> Self {
        self.0.oidc = Some(OidcRules::of(provider));
        self.0.audience_lists = true;
        self
    }

    /// Replaces the accepted algorithms (RS256).
    pub fn with_algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.0.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Replaces the leeway for clocks that differ (60 s; Microsoft's own libraries take 300 s).
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.0.leeway = leeway;
        self
    }

    /// Replaces the size limit of a token (16 KiB), in bytes.
    pub fn with_max_token_bytes(mut self, bytes: usize) -> Self {
        self.0.max_token_bytes = bytes;
        self
    }

    /// Keeps this claim for [`Principal::claim`], if it is a string.
    pub fn keep_claim(mut self, name: impl Into<Arc<str>>) -> Self {
        self.0.keep.push(name.into());
        self
    }

    /// The validator with these rules.
    #[must_use]
    pub fn build(self) -> Validator {
        let rules = self.0;
        let mut fingerprint = [0; 8];
        // `Debug` of the rules holds every one of them, quoted, so that none runs into the next.
        fingerprint
            .copy_from_slice(&digest(&SHA256, format!("{rules:?}").as_bytes()).as_ref()[..8]);
        Validator {
            rules,
            interner: Interner::default(),
            fingerprint,
        }
    }
}

#[cfg(test)]
mod tests;
