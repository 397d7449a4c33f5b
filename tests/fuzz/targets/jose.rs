//! A compact JWS: the input is a whole token, or a header that is encoded first.
#![no_main]

#[allow(dead_code, reason = "no header parameter that matters is a list")]
mod strict;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use strict::Members;
use tower_obo::fuzzing::token;

const ALGORITHMS: [&str; 8] = [
    "ES256", "ES384", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512",
];

fuzz_target!(|data: &[u8]| {
    let encoded = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(data));
    let expected = Members::read(data).and_then(accepted);
    let found = token(&encoded).map(|token| (token.algorithm.name().to_owned(), token.kid.into()));
    assert_eq!(found, expected);

    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(token) = token(text) {
        let parts: Vec<&str> = text.split('.').collect();
        assert_eq!(parts.len(), 3);
        assert!(!parts[0].is_empty() && !parts[2].is_empty());
        assert_eq!(
            token.signing_input,
            format!("{}.{}", parts[0], parts[1]).as_bytes()
        );
        assert_eq!([&*token.payload, &*token.signature], parts[1..]);
        // One spelling only: what is decoded and encoded again is what was there.
        let header = URL_SAFE_NO_PAD.decode(parts[0]).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(&header), parts[0]);
        assert!(accepted(Members::read(&header).unwrap()).is_some());
    }
});

/// `alg` and `kid` of a header that may be accepted.
fn accepted(header: Members) -> Option<(String, String)> {
    let extends = ["crit", "b64", "zip"]
        .iter()
        .any(|name| header.get(name).is_some());
    if !header.are_few() || !header.are_unique() || !header.are_shallow() || extends {
        return None;
    }
    if let Some(kind) = header.text("typ") {
        let kind = kind?.to_ascii_lowercase();
        if !["jwt", "at+jwt", "application/at+jwt"].contains(&&*kind) {
            return None;
        }
    }
    let (algorithm, kid) = (header.text("alg")??, header.text("kid")??);
    let fits = ALGORITHMS.contains(&&*algorithm) && (1..=256).contains(&kid.len());
    fits.then_some((algorithm, kid))
}
