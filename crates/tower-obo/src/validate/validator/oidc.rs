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
            let (claim, member) = match claim.split_once('.') {
                Some((claim, member)) => (claim, Some(member.into())),
                None => (claim, None),
            };
            (claim.into(), member)
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
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Validated, TokenDefect> {
        let claims = self.parse_oidc(rules, payload)?;
        self.check_audience(&claims)?;
        // Byte by byte, and of the very provider whose keys these are.
        if *claims.issuer != *rules.issuer || *claims.issuer != *keys.issuers().v2() {
            return Err(TokenDefect::Issuer);
        }
        let valid_until = self.check_lifetime(&claims, now)?;
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

    /// Reads the claims into the shape that those of Entra ID have.
    fn parse_oidc<'a>(
        &self,
        rules: &OidcRules,
        payload: &'a [u8],
    ) -> Result<RawClaims<'a>, TokenDefect> {
        use TokenDefect as D;
        let (mut issuer, mut aud, mut expires, mut not_before) = (None, None, None, 0);
        let (mut azp, mut client_id, mut scope, mut scp) = (None, None, None, None);
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
        optional.authorized_party = azp.or(client_id);
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

/// Whether the token is an application's own: it stands for nobody, or for its client (RFC 9068 §2.2).
pub(super) fn is_app_only(claims: &OptionalClaims<'_>) -> bool {
    match (&claims.subject, &claims.authorized_party) {
        (None, _) => true,
        (Some(subject), client) => client.as_ref() == Some(subject),
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
