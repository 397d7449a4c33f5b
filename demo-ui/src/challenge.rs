//! `WWW-Authenticate` of the API: does it ask for a stronger sign-in?
//!
//! See <https://learn.microsoft.com/entra/identity-platform/claims-challenge>.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Longest claims that are taken to Entra ID; they travel in a URL.
const MAX_CLAIMS: usize = 4096;

/// The claims that a Bearer challenge asks for, as the JSON that /authorize wants.
pub(crate) fn claims(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(|value| decode(&parameter(value, "claims")?))
}

/// base64 of either alphabet, padded or not; some services send the JSON as it is.
fn decode(claims: &str) -> Option<String> {
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let json = if claims.trim_start().starts_with('{') {
        claims.to_owned()
    } else {
        let standard: String = claims
            .chars()
            .map(|c| match c {
                '-' => '+',
                '_' => '/',
                c => c,
            })
            .collect();
        let engine = GeneralPurpose::new(&alphabet::STANDARD, lenient);
        String::from_utf8(engine.decode(standard).ok()?).ok()?
    };
    let object: Result<serde_json::Map<_, _>, _> = serde_json::from_str(&json);
    (json.len() <= MAX_CLAIMS && object.is_ok()).then_some(json)
}

/// The value of a parameter of the Bearer challenge in a list of challenges (RFC 9110 §11.6.1).
fn parameter(challenges: &str, name: &str) -> Option<String> {
    let mut rest = challenges;
    let mut bearer = false;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return None;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let value = after.trim_start_matches([' ', '\t']);
        if word.is_empty() {
            // Padding of a token68, or plain nonsense: step over it.
            rest = rest.get(1..)?;
        } else if let Some(value) = value.strip_prefix('=') {
            let (value, after) = parameter_value(value.trim_start_matches([' ', '\t']))?;
            if bearer && word.eq_ignore_ascii_case(name) {
                return Some(value);
            }
            rest = after;
        } else {
            bearer = word.eq_ignore_ascii_case("bearer");
            rest = after;
        }
    }
}

/// A token or a quoted string, and what comes after it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return Some((value.to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const JSON: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#;
    const BASE64: &str =
        "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ==";

    fn of(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.append(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_str(value).unwrap(),
        );
        claims(&headers)
    }

    #[test]
    fn claims_are_found_in_every_form_they_are_sent_in() {
        let bare = BASE64.trim_end_matches('=');
        let escaped = JSON.replace('"', "\\\"");
        for value in [
            format!(r#"Bearer realm="", error="insufficient_claims", claims="{BASE64}""#),
            format!(r#"bearer claims={bare},error=invalid_token"#),
            format!(r#"Basic realm="a, Bearer claims=x", Bearer realm="x" , claims = "{bare}""#),
            format!(r#"Negotiate abc==, Bearer claims="{BASE64}""#),
            format!(r#"Bearer claims="{escaped}""#),
        ] {
            assert_eq!(of(&value).as_deref(), Some(JSON), "{value}");
        }
    }

    #[test]
    fn anything_else_is_no_claims_challenge() {
        for value in [
            "",
            "Bearer",
            r#"Bearer error="invalid_token""#,
            r#"Bearer claims="""#,
            r#"Bearer claims="%%%""#,
            r#"Bearer claims="WzFd""#,
            r#"Bearer claims="e30"#,
            r#"Basic claims="e30=""#,
            r#"Bearer error_description="claims=e30""#,
            "=,=\"",
        ] {
            assert_eq!(of(value), None, "{value}");
        }
        let long = "A".repeat(MAX_CLAIMS * 2);
        assert_eq!(of(&format!(r#"Bearer claims="{long}""#)), None);
    }
}
