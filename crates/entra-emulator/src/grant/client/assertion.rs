//! A client assertion (RFC 7523 §3), before anybody has vouched for it.

use serde_json::Value;

use crate::aadsts;
use crate::clock::entra_time;
use crate::encoding::from_base64url;
use crate::error::AadError;
use crate::form::Form;
use crate::token::Claims;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far ahead of ours the client's clock may be.
const SKEW: i64 = 300;

/// The assertion of a form; its type must stand beside it.
pub(super) fn of_form(form: &Form) -> Result<Option<&str>, AadError> {
    match (
        form.get("client_assertion"),
        form.get("client_assertion_type"),
    ) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(aadsts::missing_body_parameter("client_assertion")),
        (Some(_), None) => Err(aadsts::missing_body_parameter("client_assertion_type")),
        (Some(assertion), Some(JWT_BEARER)) => Ok(Some(assertion)),
        (Some(_), Some(_)) => Err(aadsts::invalid_value("client_assertion_type")),
    }
}

/// azure-identity for Python (with asyncio) leaves base64's padding on, signs it, and Entra ID doesn't mind.
fn unpadded(part: &str) -> &str {
    part.trim_end_matches('=')
}

/// A JWT with the members that every client assertion has. Nothing is checked yet.
#[derive(Debug)]
pub(super) struct Assertion<'a> {
    pub(super) header: Claims,
    claims: Claims,
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
    pub(super) issuer: String,
    pub(super) subject: String,
}

impl<'a> Assertion<'a> {
    pub(super) fn parse(jwt: &'a str) -> Result<Self, AadError> {
        let malformed = || aadsts::malformed_client_assertion("It has not three readable parts.");
        let (message, signature) = jwt.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = message.split_once('.').ok_or_else(malformed)?;
        let object = |part| -> Option<Claims> {
            serde_json::from_slice(&from_base64url(unpadded(part))?).ok()
        };
        let header = object(header).ok_or_else(malformed)?;
        let claims = object(payload).ok_or_else(malformed)?;
        if header.contains_key("crit") {
            return Err(aadsts::malformed_client_assertion("It has 'crit'."));
        }
        let text = |name: &str| {
            claims
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| aadsts::malformed_client_assertion(&format!("It has no '{name}'.")))
        };
        Ok(Self {
            issuer: text("iss")?,
            subject: text("sub")?,
            header,
            claims,
            message,
            signature: unpadded(signature),
        })
    }

    /// An application is its own issuer, by its id; everybody else has an address.
    pub(super) fn is_of_another_issuer(&self) -> bool {
        self.issuer.contains("://")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// The `aud`, one or several.
    pub(super) fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// `exp` must be there and to come; `nbf` may be missing.
    pub(super) fn check_lifetime(&self, now: i64) -> Result<(), AadError> {
        let expires = self
            .seconds("exp")?
            .ok_or_else(|| aadsts::malformed_client_assertion("It has no 'exp'."))?;
        let valid_from = match self.seconds("nbf")? {
            Some(from) => Some(from),
            None => self.seconds("iat")?,
        };
        let early = valid_from.is_some_and(|from| from > now.saturating_add(SKEW));
        if early || expires <= now {
            return Err(aadsts::client_assertion_lifetime(
                &entra_time(now),
                &valid_from.map(entra_time).unwrap_or_default(),
                &entra_time(expires),
            ));
        }
        Ok(())
    }

    /// Seconds may have a fraction (RFC 7519 §2), and in msal-python's assertions they do; MSAL.NET
    /// writes them as text.
    fn seconds(&self, name: &str) -> Result<Option<i64>, AadError> {
        let Some(value) = self.claims.get(name) else {
            return Ok(None);
        };
        value
            .as_i64()
            .or_else(|| Some(value.as_f64()? as i64))
            .or_else(|| value.as_str()?.parse().ok())
            .map(Some)
            .ok_or_else(|| aadsts::malformed_client_assertion(&format!("Its '{name}' is no time.")))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE;

    use super::*;

    #[test]
    fn padding_is_part_of_what_is_signed_and_of_nothing_else() {
        let part = |text: &str| URL_SAFE.encode(text);
        let message = format!(
            "{}.{}",
            part(r#"{"alg": "PS256"}"#),
            part(r#"{"iss":"a","sub":"b","exp":1}"#)
        );
        assert!(message.ends_with('='), "the test has no padding: {message}");
        let jwt = format!("{message}.c2ln==");
        let assertion = Assertion::parse(&jwt).unwrap();
        assert_eq!(assertion.message, message);
        assert_eq!(assertion.signature, "c2ln");
        assert_eq!(assertion.issuer, "a");
        assert_eq!(assertion.header("alg"), Some("PS256"));
    }
}
