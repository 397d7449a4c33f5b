//! Checks a token that the emulator is shown: as an assertion, or by ARM as a bearer.

use serde_json::Value;

use super::Claims;
use super::claims::revocations_at;
use crate::directory::{TokenVersion, User};
use crate::encoding::{from_base64url, is_guid};
use crate::keys::SignatureProblem;
use crate::state::State;

/// Claims that the emulator itself once signed and that hold now.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) claims: Claims,
    /// The `tid`, a known tenant.
    pub(crate) tenant: String,
}

/// Why a token isn't good; each door says it in its own words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum TokenProblem {
    /// Not a signed JWT with the members every token of Entra has.
    Malformed,
    /// Another algorithm than RS256.
    Algorithm,
    Signature(SignatureProblem),
    /// Issuer and tenant don't go together, or the tenant is unknown.
    Issuer,
    /// Expired; when.
    Expired(i64),
    /// Not valid yet; when it will be.
    NotYetValid(i64),
}

/// Signature, issuer, tenant and lifetime. The audience is the caller's to check.
pub(crate) fn verify(state: &State, token: &str) -> Result<Verified, TokenProblem> {
    let (message, signature) = token.rsplit_once('.').ok_or(TokenProblem::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(TokenProblem::Malformed)?;
    let header = object(header)?;
    let claims = object(payload)?;
    if header.get("alg").and_then(Value::as_str) != Some("RS256") || header.contains_key("crit") {
        return Err(TokenProblem::Algorithm);
    }
    let kid = text(&header, "kid")?;
    let tenant = text(&claims, "tid")?.to_owned();
    state
        .keys
        .check(kid, &tenant, message, signature)
        .map_err(TokenProblem::Signature)?;

    let issuer = text(&claims, "iss")?;
    let version = match text(&claims, "ver")? {
        "1.0" => TokenVersion::V1,
        "2.0" => TokenVersion::V2,
        _ => return Err(TokenProblem::Issuer),
    };
    if !is_guid(&tenant)
        || state.directory().tenant(&tenant).is_none()
        || issuer != state.issuer(version, &tenant)
    {
        return Err(TokenProblem::Issuer);
    }

    let now = state.now();
    let expires = seconds(&claims, "exp")?;
    if expires <= now {
        return Err(TokenProblem::Expired(expires));
    }
    let not_before = seconds(&claims, "nbf")?;
    if not_before > now {
        return Err(TokenProblem::NotYetValid(not_before));
    }
    Ok(Verified { claims, tenant })
}

impl Verified {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// Whether a second factor stands behind the token.
    pub(crate) fn mfa(&self) -> bool {
        self.claims
            .get("amr")
            .and_then(Value::as_array)
            .is_some_and(|methods| methods.iter().any(|method| method == "mfa"))
    }

    /// Whether the client said that it understands claims challenges.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        self.texts("xms_cc")
    }

    /// The texts of a claim that is a list.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.claims
            .get(name)
            .and_then(Value::as_array)
            .map(|all| {
                all.iter()
                    .filter_map(|one| one.as_str().map(str::to_owned))
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Whether the user's sessions were revoked since this token was issued.
    pub(crate) fn revoked(&self, user: &User) -> bool {
        self.text("aio")
            .and_then(revocations_at)
            .is_some_and(|then| then < user.revocations)
    }
}

fn object(part: &str) -> Result<Claims, TokenProblem> {
    from_base64url(part)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or(TokenProblem::Malformed)
}

fn text<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, TokenProblem> {
    claims
        .get(name)
        .and_then(Value::as_str)
        .ok_or(TokenProblem::Malformed)
}

fn seconds(claims: &Claims, name: &str) -> Result<i64, TokenProblem> {
    claims
        .get(name)
        .and_then(Value::as_i64)
        .ok_or(TokenProblem::Malformed)
}
