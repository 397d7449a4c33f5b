//! What is taken out of a request before it goes on, and what is put in.

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

/// Headers that must not come from the caller: tokens, and what identities are told by. They are
/// stripped even where nothing is put in their place.
const ALWAYS: [&str; 3] = [
    "authorization",
    "proxy-authorization",
    "x-forwarded-authorization",
];

/// Whole families that upstreams take identities from (App Service's Easy Auth).
const ALWAYS_PREFIXES: [&str; 2] = ["x-ms-client-principal", "x-ms-token-"];

/// Which headers of the caller are stripped.
///
/// Names are compared after reading every byte that is no letter or digit as `-`: CGI, WSGI, PHP
/// and others fold such names into one, so `X_MS_Token_x` would reach an application as the header
/// that this library sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strip {
    further: Vec<Box<str>>,
}

impl Strip {
    pub(crate) fn add(&mut self, name: &HeaderName) {
        let folded: String = name.as_str().bytes().map(fold).map(char::from).collect();
        self.further.push(folded.into());
    }

    /// Whether the header is stripped.
    pub(crate) fn covers(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        // Nearly every header of a request is told by its first letter.
        let reserved = match name.as_bytes().first() {
            Some(b'a' | b'p') => ALWAYS.iter().any(|reserved| is_alias(name, reserved)),
            Some(b'x') => {
                ALWAYS.iter().any(|reserved| is_alias(name, reserved))
                    || ALWAYS_PREFIXES.iter().any(|prefix| {
                        name.len() >= prefix.len()
                            && is_alias_bytes(&name.as_bytes()[..prefix.len()], prefix.as_bytes())
                    })
            }
            _ => false,
        };
        reserved || self.further.iter().any(|further| is_alias(name, further))
    }

    /// Takes every covered header out, but those that are to be `replaced` all the same.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, replaced: impl Fn(&HeaderName) -> bool) {
        let covered: SmallVec<[HeaderName; 4]> = headers
            .keys()
            .filter(|name| self.covers(name) && !replaced(name))
            .cloned()
            .collect();
        for name in covered {
            headers.remove(name);
        }
    }
}

fn is_alias(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && is_alias_bytes(name.as_bytes(), folded.as_bytes())
}

fn is_alias_bytes(name: &[u8], folded: &[u8]) -> bool {
    name.iter()
        .zip(folded)
        .all(|(byte, want)| fold(*byte) == *want)
}

const fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn left(strip: &Strip, names: &[&'static str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(*name, HeaderValue::from_static("x"));
            headers.append(*name, HeaderValue::from_static("y"));
        }
        strip.apply(&mut headers, |_| false);
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn reserved_headers_and_their_aliases_are_stripped_in_all_their_lines() {
        let reserved = [
            "authorization",
            "proxy_authorization",
            "x.forwarded-authorization",
            "x-ms-client-principal",
            "x_ms_client_principal_id",
            "x-ms-token-aad-access-token",
        ];
        assert_eq!(left(&Strip::default(), &reserved), [""; 0]);
    }

    #[test]
    fn other_headers_pass_with_their_underscores() {
        let other = [
            "accept",
            "x_other",
            "x-ms-request-id",
            "x-ms-tokens",
            "authorizations",
        ];
        let mut passed = left(&Strip::default(), &other);
        passed.sort();
        let mut expected: Vec<_> = other.map(String::from).into();
        expected.sort();
        assert_eq!(passed, expected);
    }

    #[test]
    fn configured_headers_are_stripped_with_their_aliases() {
        let mut strip = Strip::default();
        strip.add(&HeaderName::from_static("x-obo-oid"));
        assert_eq!(left(&strip, &["x-obo-oid", "x_obo.oid"]), [""; 0]);
    }
}
