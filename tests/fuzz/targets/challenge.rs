//! `WWW-Authenticate`: the input is a header, or five texts in lines that a header is written of.
#![no_main]

use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tower_obo::fuzzing::{read_challenge, write_challenge};

fuzz_target!(|data: &[u8]| {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    if let Some(claims) = read(&lines) {
        assert!(claims.len() <= 8 * 1024);
        assert!(serde_json::from_str::<Value>(&claims).is_ok_and(|json| json.is_object()));
    }

    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (realm, description, scope, before, value) = (next(), next(), next(), next(), next());
    let claims = json!({ "access_token": { value: { "essential": true } } }).to_string();
    let written = write_challenge(realm, description, scope, Some(&claims)).expect("a header");
    assert_eq!(read(&[written.as_bytes()]), Some(claims.clone()));

    // No text that others have a say in becomes a claims challenge.
    let without = write_challenge(realm, description, scope, None).expect("a header");
    assert_eq!(read(&[without.as_bytes()]), None);

    // Nor does one that stands in a challenge before it hide it.
    let before: String = before
        .chars()
        .filter(|char| matches!(char, ' '..='~'))
        .collect();
    let other = format!("Basic realm={:?}, ", before);
    let line = [other.as_bytes(), written.as_bytes()].concat();
    assert_eq!(read(&[&line]), Some(claims));
});

fn read(lines: &[&[u8]]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(line).ok()?);
    }
    read_challenge(&headers)
}
