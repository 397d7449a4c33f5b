//! Reads the claims challenge of a downstream API: what Azure Resource Manager or Microsoft Graph
//! answers when the user has to prove more, or when their session was revoked.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, header::WWW_AUTHENTICATE};
use serde::de::IgnoredAny;

use super::MAX_CLAIMS;

/// Clients of Entra ID write base64 with and without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The claims (JSON) of the first Bearer challenge that has some, whatever its `error` says:
/// `insufficient_claims` is what the documents have, older APIs say `invalid_token`.
///
/// The value is base64 of either alphabet, or the JSON itself.
pub(crate) fn claims(headers: &HeaderMap) -> Option<String> {
    headers.get_all(WWW_AUTHENTICATE).iter().find_map(|line| {
        // A description in another language than English may be in any encoding.
        let line = String::from_utf8_lossy(line.as_bytes());
        parameters(&line)
            .iter()
            .filter(|parameter| {
                parameter.scheme.eq_ignore_ascii_case("bearer")
                    && parameter.name.eq_ignore_ascii_case("claims")
            })
            .find_map(|parameter| decode(&parameter.value))
    })
}

fn decode(value: &str) -> Option<String> {
    if value.len() > MAX_CLAIMS || value.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    let text = if value.trim_start().starts_with('{') {
        value.to_owned()
    } else {
        let bytes = STANDARD.decode(value).or_else(|_| URL_SAFE.decode(value));
        String::from_utf8(bytes.ok()?).ok()?
    };
    // Only an object goes on to the caller, and only as it was: the client gives it to Entra ID.
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    json.is_object().then_some(text)
}

/// An auth-param (RFC 9110 §11.2) with the scheme that it belongs to.
struct Parameter<'a> {
    scheme: &'a str,
    name: &'a str,
    value: String,
}

/// The parameters of all challenges in a line (RFC 9110 §11.6.1). What cannot be read ends the list.
fn parameters(line: &str) -> Vec<Parameter<'_>> {
    let mut parameters = Vec::new();
    let (mut rest, mut scheme) = (line, "");
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = rest.split_at(token_length(rest));
        if word.is_empty() {
            return parameters;
        }
        let value = after.trim_start_matches([' ', '\t']);
        match value.strip_prefix('=') {
            // A token68 that ends in `=` (`Negotiate abc==`) is read as a parameter without a
            // value, and ends nowhere near `claims`.
            Some(value) => {
                let value = value.trim_start_matches([' ', '\t']);
                let Some((value, after)) = read_value(word, value) else {
                    return parameters;
                };
                parameters.push(Parameter {
                    scheme,
                    name: word,
                    value,
                });
                rest = after;
            }
            None => {
                scheme = word;
                rest = after;
            }
        }
    }
}

/// A token or a quoted-string, and what follows it.
fn read_value<'a>(name: &str, text: &'a str) -> Option<(String, &'a str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Unquoted base64 may hold `/`, `+` and `=`, which no token does.
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Some((value.to_owned(), rest));
    };
    // Some APIs put JSON there without escaping its quotes. Nowhere else: a realm of `{` would hide
    // what follows it.
    if name.eq_ignore_ascii_case("claims")
        && let Some(end) = object_length(quoted)
        && let (json, rest) = quoted.split_at(end)
        && let Some(rest) = rest.trim_start().strip_prefix('"')
    {
        return Some((json.to_owned(), rest));
    }
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(char),
        }
    }
    None
}

/// How long the JSON object is that `text` begins with; a quote or a brace in one of its texts does
/// not end it.
fn object_length(text: &str) -> Option<usize> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

fn token_length(text: &str) -> usize {
    text.find(|char: char| !char.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~/".contains(char))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const JSON: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#;
    const BASE64: &str =
        "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ==";

    fn read(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(line).unwrap());
        }
        claims(&headers)
    }

    #[test]
    fn every_spelling_of_a_claims_challenge_is_read() {
        let escaped = JSON.replace('"', "\\\"");
        let unpadded = BASE64.trim_end_matches('=');
        for line in [
            format!(
                "Bearer realm=\"\", authorization_uri=\"https://l/authorize\", error=\"insufficient_claims\", claims=\"{BASE64}\""
            ),
            format!(
                "Bearer authorization_uri=\"https://login.windows.net/\", error=\"invalid_token\", error_description=\"User session has been revoked\", claims=\"{unpadded}\""
            ),
            format!("bearer CLAIMS={BASE64} , error=\"x\""),
            format!("Bearer claims=\"{escaped}\""),
            format!("Bearer claims=\"{JSON}\", error=\"insufficient_claims\""),
            format!(
                "Basic realm=\"a, Bearer claims=b\", Bearer error=\"insufficient_claims\", claims=\"{BASE64}\""
            ),
            format!("Bearer error=\"with \\\" and , inside\", claims = \"{BASE64}\""),
            format!("Basic realm=\"{{\", Bearer realm=\"}}\", claims=\"{BASE64}\""),
        ] {
            assert_eq!(read(&[&line]).as_deref(), Some(JSON), "{line}");
        }
        let second = format!("Bearer claims=\"{BASE64}\"");
        assert_eq!(
            read(&["Bearer realm=\"x\"", &second]).as_deref(),
            Some(JSON)
        );
    }

    #[test]
    fn claims_that_are_not_escaped_end_with_their_object() {
        for json in [
            r#"{"access_token":{"a":{"value":"}\""}}}"#,
            r#"{"access_token":{"a":{"value":"}\", claims=\"{}"}}}"#,
            r#"{"a":"{","b":{}}"#,
            r#"{"a":"x}"}"#,
            r#"{"a":["}",{"b":"}"}]}"#,
            r#" { "a" : "}" } "#,
            r#"{ }"#,
            r#"{}"#,
        ] {
            for rest in ["", ", error=\"insufficient_claims\"", " ,realm=\"}\""] {
                let line = format!("Bearer realm=\"\", claims=\"{json}\"{rest}");
                let read = read(&[&line]);
                assert_eq!(read.as_deref().map(str::trim), Some(json.trim()), "{line}");
            }
            // What follows is still read.
            let line = format!("Other claims=\"{json}\", Bearer claims=\"{BASE64}\"");
            assert_eq!(read(&[&line]).as_deref(), Some(JSON), "{line}");
        }
    }

    #[test]
    fn a_description_in_any_encoding_hides_no_claims() {
        for word in ["r\u{e9}voqu\u{e9}".as_bytes(), b"r\xe9voqu\xe9"] {
            let line = [
                b"Bearer error_description=\"",
                word,
                b"\", claims=\"",
                BASE64.as_bytes(),
                b"\"",
            ];
            let mut headers = HeaderMap::new();
            let line = HeaderValue::from_bytes(&line.concat()).unwrap();
            headers.append(WWW_AUTHENTICATE, line);
            assert_eq!(claims(&headers).as_deref(), Some(JSON));
            // Claims go on as they are, or not at all.
            let line = [b"Bearer claims=\"{\"a\":\"", word, b"\"}\""].concat();
            headers.clear();
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(&line).unwrap());
            assert_eq!(
                claims(&headers).is_some(),
                word.is_ascii() || std::str::from_utf8(word).is_ok()
            );
        }
    }

    #[test]
    fn what_holds_no_claims_object_is_no_claims_challenge() {
        let not_ours = format!("Other claims=\"{BASE64}\"");
        let inside = format!("Bearer error_description=\"claims={BASE64}\"");
        let huge = format!("Bearer claims=\"{}\"", "e30".repeat(4_000));
        for line in [
            "Bearer",
            "Bearer realm=\"\", error=\"invalid_token\"",
            "Bearer claims=\"\"",
            "Bearer claims=\"not base64!\"",
            "Bearer claims=\"W10=\"",
            "Bearer claims=\"eyJ",
            "Bearer claims=\"{\"a\":}\"",
            &not_ours,
            &inside,
            &huge,
        ] {
            assert_eq!(read(&[line]), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic_or_gives_what_is_no_object(line in "[ -~]{0,80}") {
            if let Some(claims) = read(&[&line]) {
                let json: serde_json::Value = serde_json::from_str(&claims).unwrap();
                prop_assert!(json.is_object());
            }
        }

        #[test]
        fn what_we_write_can_be_read(value in "[a-z\"\\\\ ,=é]{0,40}") {
            let json = serde_json::json!({ "access_token": value }).to_string();
            let context = super::super::ChallengeContext::default();
            let written = super::super::Challenge::new(&context)
                .error("insufficient_claims", Some(&value))
                .claims(&context, &json)
                .into_header()
                .unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(WWW_AUTHENTICATE, written);
            prop_assert_eq!(claims(&headers), Some(json));
        }
    }
}
