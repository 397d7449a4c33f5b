//! What of a request must not come back in a refusal.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Request;
use serde_json::Value;

/// Shorter pieces stand in fixed sentences too.
const SHORTEST: usize = 7;

/// Words of the answers themselves, which tokens hold as well.
const OURS: [&str; 2] = ["bearer", "access_as_user"];

/// Every piece of the headers and of the query, and every text inside a token.
pub(crate) fn needles<B>(request: &Request<B>) -> Vec<String> {
    let mut needles = Vec::new();
    for value in request.headers().values() {
        let value = String::from_utf8_lossy(value.as_bytes());
        for word in value.split([' ', ',', '\t', '=', ';']) {
            needles.push(word.to_owned());
            for part in word.split('.') {
                needles.push(part.to_owned());
                texts_of(part, &mut needles);
            }
        }
    }
    if let Some(query) = request.uri().query() {
        needles.extend(query.split(['&', '=']).map(str::to_owned));
    }
    needles.retain(|needle| {
        let needle = needle.to_ascii_lowercase();
        needle.len() >= SHORTEST
            && !OURS.iter().any(|ours| ours.contains(&needle))
            && !needle.contains("access_token")
    });
    needles
}

fn texts_of(part: &str, needles: &mut Vec<String>) {
    let json = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    if let Ok(Value::Object(members)) = serde_json::from_slice(&json) {
        members.values().for_each(|value| texts(value, needles));
    }
}

fn texts(value: &Value, needles: &mut Vec<String>) {
    match value {
        Value::String(text) => needles.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, needles)),
        Value::Object(members) => members.values().for_each(|value| texts(value, needles)),
        _ => {}
    }
}

#[test]
fn the_pieces_of_a_token_are_found() {
    let payload = URL_SAFE_NO_PAD.encode(r#"{"oid":"somebody-1","scp":"access_as_user"}"#);
    let request = Request::get("/?access_token=query-piece")
        .header(
            "authorization",
            format!("Bearer header.{payload}.signature"),
        )
        .body(())
        .unwrap();
    let needles = needles(&request);
    for expected in [&payload, "somebody-1", "signature", "query-piece"] {
        assert!(
            needles.iter().any(|needle| needle == expected),
            "{expected}"
        );
    }
    assert!(!needles.iter().any(|needle| needle == "Bearer"));
}
