//! HTTP Basic as a client's credential (RFC 6749 §2.3.1).

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::aadsts;
use crate::error::AadError;

/// Both halves are form-encoded inside the base64 (RFC 6749 §2.3.1).
pub(super) fn credentials(headers: &HeaderMap) -> Result<Option<(String, String)>, AadError> {
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
        let (id, secret) = credentials(&headers).unwrap().unwrap();
        assert_eq!((id.as_str(), secret.as_str()), ("id", "a+b c&d=e"));
    }

    #[test]
    fn a_bearer_is_no_client_credential() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer x".parse().unwrap());
        assert!(credentials(&headers).is_err());
    }
}
