//! Finds the caller's bearer token in a request head (RFC 6750 §2.1).

use http::{HeaderMap, Uri, header::AUTHORIZATION};

/// Why a request head holds no usable bearer token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BearerError {
    /// No `Authorization`, or one of another scheme: the caller has not tried to authenticate.
    Missing,
    /// The caller tried, and got the form wrong.
    Malformed(&'static str),
    /// The token is larger than the limit; it has not been looked at.
    TooLarge,
}

/// What stands where the one token of a request should: the bytes after `Authorization: Bearer`,
/// not yet looked at.
///
/// The scheme is case-insensitive (RFC 9110 §11.1) and one or more spaces follow it. Tokens in the
/// query, in a form body or in a cookie are never taken; a second token in the query makes the
/// request ambiguous (RFC 6750 §2).
///
/// [`parse`] is a step of its own because a known token need not be looked at again: its hash has
/// vouched for every byte.
pub(crate) fn candidate<'a>(
    headers: &'a HeaderMap,
    uri: &Uri,
    limit: usize,
) -> Result<&'a [u8], BearerError> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let Some(line) = lines.next() else {
        return Err(BearerError::Missing);
    };
    if lines.next().is_some() {
        return Err(BearerError::Malformed(
            "the request has more than one Authorization header",
        ));
    }
    let candidate = credentials(line.as_bytes(), limit)?;
    if uri.query().is_some_and(has_access_token) {
        return Err(BearerError::Malformed(
            "the request carries more than one access token",
        ));
    }
    Ok(candidate)
}

/// The token, if `candidate` is exactly one `b64token` (RFC 6750 §2.1).
pub(crate) fn parse(candidate: &[u8]) -> Result<&str, BearerError> {
    const NOT_ONE: BearerError =
        BearerError::Malformed("the Authorization header does not hold exactly one token");
    if !is_b64token(candidate) {
        return Err(NOT_ONE);
    }
    std::str::from_utf8(candidate).map_err(|_| NOT_ONE)
}

fn credentials(line: &[u8], limit: usize) -> Result<&[u8], BearerError> {
    // How nearly everybody writes it.
    if let [b'B' | b'b', b'e', b'a', b'r', b'e', b'r', b' ', token @ ..] = line
        && let ([b'!'..=b'~', ..], [.., b'!'..=b'~']) = (token, token)
        && token.len() <= limit
    {
        return Ok(token);
    }
    if line.trim_ascii().is_empty() {
        return Err(BearerError::Malformed(
            "the Authorization header has no value",
        ));
    }
    let scheme_end = line
        .iter()
        .position(|byte| !is_tchar(*byte))
        .unwrap_or(line.len());
    let (scheme, rest) = line.split_at(scheme_end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(BearerError::Missing);
    }
    let token = rest.trim_ascii_start();
    let separator = &rest[..rest.len() - token.len()];
    if separator.iter().any(|byte| *byte != b' ') {
        return Err(BearerError::Malformed(
            "only spaces may stand between the Bearer scheme and the token",
        ));
    }
    if token.is_empty() || separator.is_empty() {
        return Err(BearerError::Malformed(
            "the Authorization header has no token after the Bearer scheme",
        ));
    }
    if token.len() > limit {
        return Err(BearerError::TooLarge);
    }
    Ok(token.trim_ascii_end())
}

/// `token` characters of RFC 9110 §5.6.2, of which an authentication scheme is made.
const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// `b64token` of RFC 6750 §2.1: at least one character before any padding. Padding may stand
/// anywhere here: a part of a JWT that is padded makes a token of bad encoding, not a request of
/// bad form.
fn is_b64token(bytes: &[u8]) -> bool {
    // In blocks, without a branch or a look-up for each byte, so that many are compared at once:
    // every new token is read to its end.
    const BLOCK: usize = 32;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    bytes.first().is_some_and(|first| *first != b'=')
        && blocks
            .iter()
            .all(|block| block.iter().fold(true, |all, byte| all & is_b64(*byte)))
        && rest.iter().all(|byte| is_b64(*byte))
}

const fn is_b64(byte: u8) -> bool {
    // Of the bytes from `+` to `9`, only `,` is none.
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let from_plus_to_nine = byte.wrapping_sub(b'+') < 15;
    letter | from_plus_to_nine & (byte != b',') | (byte == b'=') | (byte == b'_') | (byte == b'~')
}

/// Whether a query has a parameter called `access_token`, however its name is escaped.
fn has_access_token(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or(pair);
        unescaped_eq(name.as_bytes(), b"access_token")
    })
}

fn unescaped_eq(mut name: &[u8], expected: &[u8]) -> bool {
    for want in expected {
        let (byte, rest) = match name {
            [b'%', high, low, rest @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, rest),
                _ => return false,
            },
            [byte, rest @ ..] => (*byte, rest),
            [] => return false,
        };
        if byte != *want {
            return false;
        }
        name = rest;
    }
    name.is_empty()
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn one(value: &[u8]) -> Result<String, BearerError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        candidate(&headers, &Uri::from_static("/"), 64)
            .and_then(parse)
            .map(str::to_owned)
    }

    fn malformed(result: Result<String, BearerError>) -> bool {
        matches!(result, Err(BearerError::Malformed(_)))
    }

    #[test]
    fn other_schemes_and_bare_tokens_are_no_attempt() {
        for value in ["Basic dTpw", "Token abc.def", "BearerX abc", "abc.def.ghi"] {
            assert_eq!(one(value.as_bytes()), Err(BearerError::Missing), "{value}");
        }
    }

    #[test]
    fn the_scheme_is_case_insensitive_and_spaces_may_repeat() {
        for value in ["Bearer a.b", "bearer a.b", "bEaReR   a.b", "Bearer a.b "] {
            assert_eq!(one(value.as_bytes()).as_deref(), Ok("a.b"), "{value}");
        }
    }

    #[test]
    fn a_bearer_without_exactly_one_token_is_malformed() {
        let values: &[&[u8]] = &[
            b"",
            b" ",
            b"Bearer",
            b"Bearer    ",
            b"Bearer\ta",
            b"Bearer a b",
            b"Bearer a, Bearer b",
            b"Bearer a\"b",
            b"Bearer <script>",
            b"Bearer \xc3\xa4",
            b"Bearer =",
            b"Bearer,a",
        ];
        for value in values {
            assert!(malformed(one(value)), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn the_limit_is_checked_before_the_characters() {
        let huge = format!("Bearer {}", "\"".repeat(65));
        assert_eq!(one(huge.as_bytes()), Err(BearerError::TooLarge));
    }

    #[test]
    fn a_second_token_in_the_query_is_ambiguous() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a.b"));
        for (query, ambiguous) in [
            ("/?access_token=x", true),
            ("/?a=1&access%5Ftoken=x", true),
            ("/?access_token", true),
            ("/?xaccess_token=x", false),
            ("/?access_token2=x", false),
        ] {
            let result = candidate(&headers, &query.parse().unwrap(), 64)
                .and_then(parse)
                .map(str::to_owned);
            assert_eq!(malformed(result), ambiguous, "{query}");
        }
    }

    #[test]
    fn the_alphabet_is_that_of_rfc_6750_wherever_a_byte_stands() {
        for byte in 0..=u8::MAX {
            let fits = byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            for at in [1, 31, 32, 40] {
                let mut token = [b'a'; 41];
                token[at] = byte;
                assert_eq!(is_b64token(&token), fits, "{byte} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_always_one_b64token(value in "[ -~]{0,40}") {
            if let Ok(token) = one(value.as_bytes()) {
                prop_assert!(is_b64token(token.as_bytes()));
                prop_assert!(value.trim_end().ends_with(&token));
            }
        }
    }
}
