//! The rules for tokens of another provider than Entra ID (RFC 9068, OpenID Connect).

use std::borrow::Cow;

use super::{Validated, Validator, signer};
use crate::{
    Oidc, Timestamp,
    keys::KeySet,
    validate::{
        TokenDefect,
        claims::{OptionalClaims, RawClaims, audience, list, seconds, text},
        jose::Jws,
        json::{Json, TakeValue, read_object},
    },
};

/// What makes a token of such a provider valid, beside what holds for every token.
#[derive(Clone, Debug)]
pub(super) struct OidcRules {
    issuer: Box<str>,
    /// The claim, and its member where it is an object.
    roles: Option<(Box<str>, Option<Box<str>>)>,
}

impl OidcRules {
    pub(super) fn of(oidc: &Oidc) -> Self {
        let roles = oidc.roles_claim.as_deref().map(|claim| {
            let (claim, member) = claim_and_member(claim);
            (claim.into(), member.map(Into::into))
        });
        Self {
            issuer: oidc.issuer.clone(),
            roles,
        }
    }
}

impl Validator {
    pub(super) fn judge_oidc(
        &self,
        rules: &OidcRules,
        jws: &Jws<'_>,
        payload: &[u8],
        keys: Option<&KeySet>,
        now: Timestamp,
    ) -> Result<Validated, TokenDefect> {
        let claims = self.parse_oidc(rules, payload, jws.header.says_access_token)?;
        self.check_audience(&claims)?;
        // Byte by byte, and of the very provider whose keys these are.
        let is_theirs = |keys: &KeySet| *claims.issuer == *keys.issuers().v2();
        if *claims.issuer != *rules.issuer || !keys.is_none_or(is_theirs) {
            return Err(TokenDefect::Issuer);
        }
        let valid_until = self.check_lifetime(&claims, now)?;
        let keys = keys.ok_or(TokenDefect::UnknownKey)?;
        let named = keys.with_id(&jws.header.kid);
        if named.is_empty() {
            return Err(TokenDefect::UnknownKey);
        }
        let mut fitting = named
            .iter()
            .filter(|key| key.issuer().is_none_or(|issuer| *issuer == *rules.issuer))
            .peekable();
        if fitting.peek().is_none() {
            return Err(TokenDefect::Issuer);
        }
        let key = signer(jws, fitting, now)?;
        Ok(Validated {
            principal: self.principal(claims),
            valid_until,
            key,
        })
    }

    /// The claims of a token whose header does not say that it is an access token.
    #[cfg(fuzzing)]
    pub(crate) fn claims_of<'a>(
        &self,
        oidc: &Oidc,
        payload: &'a [u8],
    ) -> Result<RawClaims<'a>, TokenDefect> {
        self.parse_oidc(&OidcRules::of(oidc), payload, false)
    }

    /// Reads the claims into the shape that those of Entra ID have.
    fn parse_oidc<'a>(
        &self,
        rules: &OidcRules,
        payload: &'a [u8],
        says_access_token: bool,
    ) -> Result<RawClaims<'a>, TokenDefect> {
        use TokenDefect as D;
        let (mut issuer, mut aud, mut expires, mut not_before) = (None, None, None, 0);
        let (mut azp, mut client_id, mut scope, mut scp) = (None, None, None, None);
        let (mut cid, mut by_credentials, mut says_bearer) = (None, false, false);
        let mut optional = OptionalClaims::default();
        read_object(payload, |name, value| {
            if let Some((claim, member)) = &rules.roles
                && **claim == *name
            {
                optional.roles = roles(value, member.as_deref())?;
                return Ok(());
            }
            match name {
                "iss" => issuer = Some(text(value, D::Issuer)?),
                "aud" => aud = Some(audience(value)?),
                "exp" => expires = Some(seconds(value)?),
                "nbf" => not_before = seconds(value)?,
                "sub" => optional.subject = Some(text(value, D::Claims)?),
                "azp" => azp = Some(text(value, D::Claims)?),
                "client_id" => client_id = Some(text(value, D::Claims)?),
                // What Okta and Auth0 have for the client, and for an application that stands for nobody.
                "cid" => cid = Some(text(value, D::Claims)?),
                "gty" => by_credentials = says_client_credentials(value)?,
                "scope" => scope = Some(scopes(value)?),
                "scp" => scp = Some(scopes(value)?),
                "jti" => optional.token_id = Some(text(value, D::Claims)?),
                "cnf" => return Err(D::SenderConstrained),
                // Of an ID token (OpenID Connect Core §3.1.3.6, §3.3.2.11), which is for its client and
                // lets nobody in.
                "at_hash" | "c_hash" => return Err(D::Type),
                // What Keycloak says of its tokens, whose header is the same for all.
                "typ" => match value.take()? {
                    Json::Text(kind) if is_no_access_token(&kind) => return Err(D::Type),
                    Json::Text(kind) => says_bearer = kind.eq_ignore_ascii_case("Bearer"),
                    _ => {}
                },
                _ => match self.rules.keep.iter().find(|kept| ***kept == *name) {
                    None => value.skip()?,
                    Some(kept) => {
                        if let Json::Text(text) = value.take()? {
                            optional.kept.push((kept.clone(), text.into()));
                        }
                    }
                },
            }
            Ok(())
        })?;
        // An ID token is for its client too, by its `aud`; what follows stands in access tokens alone (RFC
        // 9068 §2.2 wants a `client_id`).
        let is_access_token = says_access_token
            || says_bearer
            || [&client_id, &cid, &scope, &scp]
                .iter()
                .any(|claim| claim.is_some());
        if !is_access_token {
            return Err(D::Type);
        }
        let clients = [&azp, &client_id, &cid].map(Option::as_deref);
        if by_credentials || is_app_only(optional.subject.as_deref(), &clients) {
            optional.identity_type = Some(Cow::Borrowed("app"));
        }
        optional.authorized_party = azp.or(client_id).or(cid);
        optional.scope = scope.or(scp).unwrap_or_default();
        Ok(RawClaims {
            issuer: issuer.ok_or(D::Issuer)?,
            audience: aud.ok_or(D::Audience)?,
            expires: expires.ok_or(D::Lifetime)?,
            not_before,
            version: Cow::Borrowed(""),
            tenant_id: Cow::Borrowed(""),
            optional,
        })
    }
}

/// Whether the token is an application's own: it stands for nobody, or for its client (RFC 9068 §2.2), which
/// Auth0 writes as `<client>@clients`.
fn is_app_only(subject: Option<&str>, clients: &[Option<&str>]) -> bool {
    let Some(subject) = subject else { return true };
    let stands_for = |name| clients.contains(&Some(name));
    stands_for(subject) || subject.strip_suffix("@clients").is_some_and(stands_for)
}

/// Auth0's grant types: a text, or a list of texts.
fn says_client_credentials<'a>(value: &mut dyn TakeValue<'a>) -> Result<bool, TokenDefect> {
    const NAME: &str = "client-credentials";
    Ok(match value.take()? {
        Json::Text(kind) => kind == NAME,
        Json::Texts(kinds) => kinds.iter().any(|kind| *kind == NAME),
        _ => false,
    })
}

/// The name of a claim, and of its member where the claim is an object: `realm_access.roles`. A URL is a name
/// of its own, dots and all, as Auth0 wants it of claims that it does not know.
pub(crate) fn claim_and_member(name: &str) -> (&str, Option<&str>) {
    match name.split_once('.') {
        Some((claim, member)) if !name.contains("://") => (claim, Some(member)),
        _ => (name, None),
    }
}

/// One text with spaces (RFC 9068 §2.2.3), or a list of texts, as some have it in `scp`.
fn scopes<'a>(value: &mut dyn TakeValue<'a>) -> Result<Cow<'a, str>, TokenDefect> {
    match value.take()? {
        Json::Text(scopes) => Ok(scopes),
        Json::Texts(scopes) => Ok(scopes.join(" ").into()),
        _ => Err(TokenDefect::Claims),
    }
}

fn roles<'a>(
    value: &mut dyn TakeValue<'a>,
    member: Option<&str>,
) -> Result<Vec<Cow<'a, str>>, TokenDefect> {
    let Some(member) = member else {
        return list(value);
    };
    let Json::Object(object) = value.take()? else {
        return Err(TokenDefect::Claims);
    };
    let mut roles = Vec::new();
    read_object(object.as_bytes(), |name, value| {
        if name == member {
            roles = list(value)?;
            return Ok(());
        }
        value.skip()
    })?;
    Ok(roles)
}

fn is_no_access_token(kind: &str) -> bool {
    ["ID", "Refresh", "Offline", "Logout"]
        .iter()
        .any(|other| other.eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests;
