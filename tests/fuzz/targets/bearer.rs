//! `Authorization`: each line of the input is one, but the last, which is a query if it begins
//! with `?`.
#![no_main]

use http::{HeaderMap, HeaderValue, Uri, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use tower_obo::fuzzing::bearer;

const LIMIT: usize = 64;

fuzz_target!(|data: &[u8]| {
    let mut lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let query = lines.pop_if(|line| line.first() == Some(&b'?'));
    let path = [b"/", query.unwrap_or_default()].concat();
    let Ok(uri) = Uri::try_from(path) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in &lines {
        // What hyper would not hand on is nothing that could be read.
        let Ok(value) = HeaderValue::from_bytes(line) else {
            return;
        };
        headers.append(AUTHORIZATION, value);
    }
    let found = bearer(&headers, &uri, LIMIT);
    let expected = match lines[..] {
        [line] if !is_token_in_query(&uri) => one_token(line),
        _ => None,
    };
    assert_eq!(found.map(str::as_bytes), expected);
});

/// `Bearer`, spaces, one b64token within the limit (RFC 6750 §2.1).
fn one_token(line: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = line.split_at_checked(6)?;
    let token = rest.trim_ascii();
    let spaces = rest.len() - rest.trim_ascii_start().len();
    let fits = scheme.eq_ignore_ascii_case(b"bearer")
        && spaces > 0
        && rest[..spaces].iter().all(|byte| *byte == b' ')
        && (1..=LIMIT).contains(&rest.trim_ascii_start().len())
        && token[0] != b'='
        && token
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte));
    fits.then_some(token)
}

/// Read as forms are read, by somebody else's code.
fn is_token_in_query(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query).any(|(name, _)| name == "access_token")
}
