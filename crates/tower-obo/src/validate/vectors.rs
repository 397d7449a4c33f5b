//! Other people's signatures: Wycheproof's vectors for JSON web signatures (with examples of RFC
//! 7520 §4 among them), judged by the layers that every token passes: the compact form, the header, the
//! key set, the signature. Their payloads are no claims, so that the layers above are left out.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use super::jose::{self, Jws};
use crate::{Algorithm, Issuers, KeySet, Timestamp};

const NOW: Timestamp = Timestamp::from_unix(1);

/// Whether a token is signed by one of the keys, as the layers below the claims see it.
fn verifies(token: &str, keys: &Value) -> bool {
    let issuers = Issuers::new("https://login.example/{tenantid}/v2.0");
    let keys = keys.to_string();
    let (Ok(jws), Ok(keys)) = (
        Jws::parse(token),
        KeySet::parse(keys.as_bytes(), issuers, NOW, Duration::from_secs(1)),
    ) else {
        return false;
    };
    let Ok(signature) = jose::decode(jws.signature) else {
        return false;
    };
    jose::decode(jws.payload).is_ok()
        && keys
            .with_id(&jws.header.kid)
            .iter()
            .any(|key| key.verify(jws.header.algorithm, jws.signing_input, &signature))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wycheproof {
    number_of_tests: usize,
    test_groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    public: Option<Value>,
    private: Option<Value>,
    tests: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    tc_id: u32,
    comment: String,
    jws: Value,
    result: String,
}

/// Valid vectors that are refused because more is asked of a token here.
const STRICTER: &[(u32, &str)] = &[
    (259, "a payload without a byte is no set of claims"),
    (264, "the same"),
    (268, "the same"),
    (272, "the same"),
    (320, "the same"),
    (325, "the same"),
    (
        346,
        "its PS384 is not the algorithm that the key names, PS256",
    ),
    (350, "the same"),
];

#[test]
fn every_wycheproof_vector_is_judged_as_it_says() {
    let vectors: Wycheproof =
        serde_json::from_str(include_str!("../../tests/vectors/wycheproof-jws.json")).unwrap();
    let mut seen = 0;
    // By the algorithm that the token names: how many are valid, how many are not.
    let mut judged: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for group in &vectors.test_groups {
        // A key set publishes public keys; where there is none, the symmetric key, to see it refused.
        let key = group.public.as_ref().or(group.private.as_ref()).unwrap();
        let keys = json!({ "keys": [key] });
        for vector in &group.tests {
            seen += 1;
            let valid = vector.result == "valid";
            let algorithm = algorithm(&vector.jws);
            let stricter = STRICTER.iter().any(|(id, _)| *id == vector.tc_id);
            let taken = vector
                .jws
                .as_str()
                .is_some_and(|token| verifies(token, &keys));
            if taken != (valid && algorithm.is_some() && !stricter) {
                wrong.push(format!("{} {}: {taken}", vector.tc_id, vector.comment));
            }
            if let Some(algorithm) = algorithm {
                let count = judged.entry(algorithm.name()).or_default();
                *(if valid { &mut count.0 } else { &mut count.1 }) += 1;
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!((seen, vectors.number_of_tests), (401, 401));
    for (name, count) in [("RS256", (8, 223)), ("PS256", (6, 43)), ("ES256", (2, 33))] {
        assert_eq!(judged[name], count, "{name}");
    }
}

/// The algorithm that a token names, if it is one that can be configured here.
fn algorithm(token: &Value) -> Option<Algorithm> {
    let header = jose::decode(token.as_str()?.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    Algorithm::from_name(header["alg"].as_str()?)
}
