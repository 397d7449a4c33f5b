//! Which application asks, and whether it is that application (RFC 6749 §2.3).

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::aadsts;
use crate::directory::{Application, Directory};
use crate::encoding::secrets_match;
use crate::error::AadError;
use crate::form::Form;
use crate::tenant::Authority;

/// Takes the secret from the form or from HTTP Basic, never from both.
pub(super) fn authenticate<'a>(
    authority: &Authority,
    directory: &'a Directory,
    headers: &HeaderMap,
    form: &Form,
) -> Result<&'a Application, AadError> {
    let basic = basic_credentials(headers)?;
    let in_form = form.get("client_secret");
    let client_id = match (&basic, form.get("client_id")) {
        (Some((id, _)), Some(other)) if !id.eq_ignore_ascii_case(other) => {
            return Err(aadsts::invalid_value("client_id"));
        }
        (Some((id, _)), _) => id,
        (None, Some(id)) => id,
        (None, None) => return Err(aadsts::missing_body_parameter("client_id")),
    };
    let client = authority.client(directory, client_id)?;
    let secret = match (&basic, in_form) {
        (Some(_), Some(_)) => return Err(aadsts::invalid_value("client_secret")),
        (Some((_, secret)), None) => Some(secret.as_str()),
        (None, secret) => secret,
    };
    if client.secrets.is_empty() {
        return match (secret, form.get("client_assertion")) {
            (None, None) => Ok(client),
            _ => Err(aadsts::public_client_with_secret()),
        };
    }
    match secret {
        Some(secret) if client.secrets.iter().any(|own| secrets_match(own, secret)) => Ok(client),
        Some(_) => Err(aadsts::wrong_secret(client_id)),
        None if form.get("client_assertion").is_some() => Err(aadsts::assertion_not_supported()),
        None => Err(aadsts::missing_credential()),
    }
}

/// Both halves are form-encoded inside the base64 (RFC 6749 §2.3.1).
fn basic_credentials(headers: &HeaderMap) -> Result<Option<(String, String)>, AadError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let malformed = || aadsts::invalid_value("Authorization");
    let value = value.to_str().map_err(|_| malformed())?;
    let (scheme, encoded) = value.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = STANDARD
        .decode(encoded.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(malformed)?;
    let (id, secret) = decoded.split_once(':').ok_or_else(malformed)?;
    Ok(Some((form_decoded(id), form_decoded(secret))))
}

fn form_decoded(text: &str) -> String {
    // As the value of a nameless parameter, so that `=` and `+` are read as a form reads them. A
    // bare `&` never leaves an encoder, but hand-made headers have it.
    let text = format!("={}", text.replace('&', "%26"));
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_of_basic_are_form_encoded() {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", STANDARD.encode("id:a%2Bb+c%26d=e"));
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        let (id, secret) = basic_credentials(&headers).unwrap().unwrap();
        assert_eq!((id.as_str(), secret.as_str()), ("id", "a+b c&d=e"));
    }

    #[test]
    fn a_bearer_is_no_client_credential() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer x".parse().unwrap());
        assert!(basic_credentials(&headers).is_err());
    }
}
