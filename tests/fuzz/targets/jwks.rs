//! A JWK set: the input is one key between two good ones, or the whole document.
#![no_main]

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json, value::RawValue};
use tower_obo::{Issuers, KeySet, Timestamp};

const KIDS: [&str; 2] = ["good RSA", "good EC"];

static GOOD: LazyLock<[String; 2]> = LazyLock::new(|| {
    let n = URL_SAFE_NO_PAD.encode([0x81; 256]);
    // The example of RFC 7517 appendix A.1.
    let (x, y) = (
        "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    );
    [
        json!({"kty": "RSA", "kid": KIDS[0], "n": n, "e": "AQAB"}).to_string(),
        json!({"kty": "EC", "kid": KIDS[1], "crv": "P-256", "x": x, "y": y}).to_string(),
    ]
});

fuzz_target!(|data: &[u8]| {
    if let Ok(set) = parse(data) {
        // Read no further than our parser does: numbers beyond all bounds may stand in a key.
        let document: HashMap<String, &RawValue> =
            serde_json::from_slice(data).expect("an object, if it is a key set");
        let keys: Vec<&RawValue> = serde_json::from_str(document["keys"].get()).expect("a list");
        assert!((1..=keys.len()).contains(&set.len()) && keys.len() <= 1_000);
        assert!(!set.is_empty());
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Anything that is one value stands where a key should.
    let Ok(key) = serde_json::from_str::<&RawValue>(text) else {
        return;
    };
    let [rsa, ec] = &*GOOD;
    let set = parse(format!("{{\"keys\":[{rsa},{key},{ec}]}}").as_bytes())
        .expect("one bad key does not spoil a set");
    for kid in KIDS {
        assert!(!set.with_id(kid).is_empty(), "{kid} is gone");
    }
    match set.len() {
        2 => {}
        3 => assert!(is_usable(key), "{key}"),
        other => panic!("{other} keys of three"),
    }
});

fn parse(json: &[u8]) -> Result<KeySet, tower_obo::KeySetError> {
    let issuers = Issuers::new("https://login.example/{tenantid}/v2.0");
    KeySet::parse(
        json,
        issuers,
        Timestamp::from_unix(1),
        Duration::from_secs(1),
    )
}

/// Whether it is a public key for signatures, and long enough.
fn is_usable(key: &RawValue) -> bool {
    let members: HashMap<String, &RawValue> = serde_json::from_str(key.get()).expect("an object");
    let member = |name: &str| match members.get(name) {
        None => Value::Null,
        Some(value) => serde_json::from_str(value.get()).unwrap_or(Value::Bool(false)),
    };
    let text = |name: &str| member(name).as_str().map(str::to_owned);
    let length = |name: &str| {
        let text = text(name).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).map_or(0, |bytes| bytes.len())
    };
    let fits = match (text("kty").as_deref(), text("crv").as_deref()) {
        (Some("RSA"), _) => (256..=1_024).contains(&length("n")) && length("e") > 0,
        (Some("EC"), Some("P-256")) => (length("x"), length("y")) == (32, 32),
        (Some("EC"), Some("P-384")) => (length("x"), length("y")) == (48, 48),
        _ => false,
    };
    fits && member("d").is_null()
        && text("kid").is_some_and(|kid| !kid.is_empty())
        && (member("use").is_null() || member("use") == "sig")
        && match member("key_ops") {
            Value::Null => true,
            Value::Array(ops) => ops.contains(&json!("verify")),
            _ => false,
        }
}
