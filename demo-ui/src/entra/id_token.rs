//! The ID token: who has signed in.
//!
//! It comes from the token endpoint itself, over a connection that the server's certificate has
//! vouched for (or that does not leave the machine), which takes the place of checking its signature
//! (OpenID Connect Core §3.1.3.7, point 6). Everything else there is checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::error::EntraError;
use crate::clock;

/// Clocks may differ by this much, in seconds.
const LEEWAY: i64 = 60;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: i64,
    nonce: Option<String>,
    tid: String,
    oid: Option<String>,
    sub: String,
    name: Option<String>,
    preferred_username: Option<String>,
    login_hint: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// The user that an ID token is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct User {
    /// Issuer of the token, the tenant's own.
    pub(crate) issuer: String,
    /// Tenant id.
    pub(crate) tid: String,
    /// Object id, or the subject where there is none.
    pub(crate) id: String,
    /// Name to show.
    pub(crate) name: String,
    /// User name, for the sign-in page.
    pub(crate) username: Option<String>,
    /// Opaque hint for the sign-out page.
    pub(crate) logout_hint: Option<String>,
}

/// Checks an ID token that came from the token endpoint.
pub(super) fn check(
    token: &str,
    issuer: &str,
    client_id: &str,
    nonce: &str,
) -> Result<User, EntraError> {
    let claims = parse(token).ok_or(EntraError::Unusable("an ID token that can't be read"))?;
    let wrong = |what| Err(EntraError::Unusable(what));
    if !is_guid(&claims.tid) {
        return wrong("an ID token without tenant");
    }
    if claims.iss != issuer.replace(TENANT, &claims.tid) {
        return wrong("an ID token of another issuer");
    }
    // Where the issuer is no template, nothing has bound the two yet.
    let mut parts = claims.iss.split('/');
    if !parts.any(|part| part.eq_ignore_ascii_case(&claims.tid)) {
        return wrong("an ID token of another tenant");
    }
    let for_us = match &claims.aud {
        Audience::One(audience) => audience == client_id,
        Audience::Many(audiences) => matches!(&audiences[..], [one] if one == client_id),
    };
    if !for_us {
        return wrong("an ID token for another client");
    }
    if claims.exp.saturating_add(LEEWAY) <= clock::now().unix_timestamp() {
        return wrong("an ID token that has expired");
    }
    if claims.nonce.as_deref() != Some(nonce) {
        return wrong("an ID token of another sign-in");
    }
    let name = claims
        .name
        .filter(|name| !name.trim().is_empty())
        .or_else(|| claims.preferred_username.clone())
        .unwrap_or_else(|| "Signed in".to_owned());
    Ok(User {
        issuer: claims.iss,
        tid: claims.tid,
        id: claims.oid.unwrap_or(claims.sub),
        name: crate::problem::shorten(&name),
        username: claims.preferred_username,
        logout_hint: claims.login_hint,
    })
}

/// Stands in the issuer of an authority that serves many tenants.
const TENANT: &str = "{tenantid}";

/// Whether an `iss` parameter (RFC 9207) can be this authority's, before the tenant is known.
pub(crate) fn may_be_issuer(template: &str, issuer: &str) -> bool {
    match template.split_once(TENANT) {
        None => issuer == template,
        Some((before, after)) => issuer
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(is_guid),
    }
}

fn parse(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn is_guid(text: &str) -> bool {
    uuid::Uuid::try_parse(text)
        .is_ok_and(|guid| guid.hyphenated().to_string().eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TID: &str = "c0a70500-0000-4000-8000-000000000001";

    fn claims() -> Value {
        json!({
            "iss": format!("https://login.example/{TID}/v2.0"),
            "aud": "client",
            "exp": clock::now().unix_timestamp() + 3600,
            "nonce": "n",
            "tid": TID,
            "oid": "o",
            "sub": "s",
            "name": "Alice Adams",
            "preferred_username": "alice@contoso.example",
        })
    }

    const TEMPLATE: &str = "https://login.example/{tenantid}/v2.0";

    fn checked_for(claims: &Value, issuer: &str) -> Result<User, EntraError> {
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        check(&format!("e30.{payload}.c2ln"), issuer, "client", "n")
    }

    fn checked(claims: &Value) -> Result<User, EntraError> {
        checked_for(claims, TEMPLATE)
    }

    #[test]
    fn the_tenant_must_be_the_issuers() {
        let issuer = format!("https://login.example/{TID}/v2.0");
        let mut claims = claims();
        checked_for(&claims, &issuer).unwrap();
        claims["tid"] = json!("fab21ca0-0000-4000-8000-000000000002");
        checked_for(&claims, &issuer).unwrap_err();
    }

    #[test]
    fn a_good_token_names_its_user() {
        let user = checked(&claims()).unwrap();
        assert_eq!((user.name.as_str(), user.id.as_str()), ("Alice Adams", "o"));
        let mut list = claims();
        list["aud"] = json!(["client"]);
        checked(&list).unwrap();
    }

    #[test]
    fn every_claim_that_must_fit_is_looked_at() {
        for (name, value) in [
            ("iss", json!("https://login.example/other/v2.0")),
            ("iss", json!(null)),
            ("aud", json!("other")),
            ("aud", json!(["client", "other"])),
            ("aud", json!([])),
            ("exp", json!(clock::now().unix_timestamp() - 61)),
            ("exp", json!(null)),
            ("nonce", json!("m")),
            ("nonce", json!(null)),
            ("tid", json!("fab21ca0-0000-4000-8000-000000000002")),
            ("tid", json!("../x")),
            ("tid", json!(null)),
        ] {
            let mut claims = claims();
            claims[name] = value.clone();
            assert!(checked(&claims).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in ["", "a.b", "a.e30.b", "a.b.c.d", "..", "e30.!.x"] {
            assert!(check(token, "i", "c", "n").is_err(), "{token}");
        }
    }

    #[test]
    fn an_issuer_parameter_must_fit_the_template() {
        let good = format!("https://login.example/{TID}/v2.0");
        assert!(may_be_issuer(TEMPLATE, &good));
        assert!(may_be_issuer(&good, &good));
        for bad in [
            "",
            "https://evil.example",
            "https://login.example/{tenantid}/v2.0",
            "https://login.example/a/b/v2.0",
            "https://login.example//v2.0",
        ] {
            assert!(!may_be_issuer(TEMPLATE, bad), "{bad}");
            assert!(!may_be_issuer(&good, bad), "{bad}");
        }
    }
}
