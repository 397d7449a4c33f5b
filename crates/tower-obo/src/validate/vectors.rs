//! Signatures made by others: Wycheproof's vectors and the examples of RFC 7520.
//!
//! Their payloads are no claims, so they go through what judges a signature: form, header, key, and
//! the signature itself.

use std::{collections::BTreeMap, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{TokenDefect, jose::Jws, validator::signer};
use crate::{Algorithm, Issuers, KeySet, Timestamp, Validator};

const NOW: Timestamp = Timestamp::from_unix(1_000);
const MAX_AGE: Duration = Duration::from_secs(60);

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What a validator that accepts every algorithm says of a token's signature, when the provider
/// publishes this one key.
fn judge(token: &str, key: &Value) -> Result<(), TokenDefect> {
    judge_at(NOW, token, key)
}

/// The same at another time than that of the key set, which may be used for [`MAX_AGE`].
fn judge_at(now: Timestamp, token: &str, key: &Value) -> Result<(), TokenDefect> {
    let jws = Jws::parse(token)?;
    let set = json!({ "keys": [key] }).to_string();
    let issuers = Issuers::new("https://login.example/{tenantid}/v2.0");
    let set = KeySet::parse(set.as_bytes(), issuers, NOW, MAX_AGE)
        .map_err(|_| TokenDefect::UnknownKey)?;
    match set.with_id(&jws.header.kid) {
        [] => Err(TokenDefect::UnknownKey),
        keys => signer(&jws, keys.iter(), now).map(|_| ()),
    }
}

/// The algorithm that a token claims to have, read by other means than ours.
fn algorithm(token: &str) -> String {
    let header = token.split('.').next().unwrap_or_default();
    URL_SAFE_NO_PAD
        .decode(header)
        .ok()
        .and_then(|json| serde_json::from_slice::<Value>(&json).ok())
        .and_then(|header| Some(header["alg"].as_str()?.to_owned()))
        .unwrap_or_default()
}

/// Vectors that Wycheproof calls valid and that are refused here, and why. None is signed with
/// RS256, PS256 or ES256.
const STRICTER: [(TokenDefect, &[u64]); 4] = [
    // The header says PS384, the key says that it is for PS256 (RFC 7517 §4.4).
    (TokenDefect::Algorithm, &[346, 350]),
    // ES512: P-521 is not among our curves.
    (TokenDefect::Algorithm, &[347, 351]),
    // HS256: who can verify could also sign, so there is no HMAC here.
    (
        TokenDefect::Algorithm,
        &[1, 348, 352, 357, 358, 359, 373, 376, 377],
    ),
    // HS256 too, and a `?` within the base64url, which has one spelling only here.
    (TokenDefect::Encoding, &[372]),
];

#[test]
fn every_wycheproof_vector_is_judged_as_it_says() {
    let file = read("wycheproof/json_web_signature_test.json");
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let mut stricter = Vec::new();
    for group in file["testGroups"].as_array().unwrap() {
        // A key pair is given by its public half; a shared secret has no other.
        let key = group.get("public").unwrap_or(&group["private"]);
        for test in group["tests"].as_array().unwrap() {
            let (id, token) = (
                test["tcId"].as_u64().unwrap(),
                test["jws"].as_str().unwrap(),
            );
            let valid = match test["result"].as_str() {
                Some("valid") => true,
                Some("invalid") => false,
                other => panic!("{id}: a result of another kind: {other:?}"),
            };
            let algorithm = algorithm(token);
            match judge(token, key) {
                Ok(()) => assert!(valid, "{id} is accepted: {}", test["comment"]),
                Err(defect) if valid => {
                    let ours = ["RS256", "PS256", "ES256"].contains(&&*algorithm);
                    assert!(!ours, "{id} is refused as {defect:?}: {}", test["comment"]);
                    stricter.push((id, defect));
                }
                Err(_) => {}
            }
            counts.entry(algorithm).or_default()[usize::from(!valid)] += 1;
        }
    }
    let mut expected: Vec<_> = STRICTER
        .iter()
        .flat_map(|(defect, ids)| ids.iter().map(|id| (*id, *defect)))
        .collect();
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(stricter, expected);
    // None is left out by accident: valid and invalid by the header's algorithm, 401 in all. Those
    // without one have no header that can be read.
    let counts: Vec<_> = counts
        .iter()
        .map(|(algorithm, [valid, invalid])| (algorithm.as_str(), *valid, *invalid))
        .collect();
    assert_eq!(
        counts,
        [
            ("", 1, 18),
            ("ES256", 2, 33),
            ("ES512", 2, 0),
            ("HS256", 9, 22),
            ("NONE", 0, 1),
            ("PS256", 6, 43),
            ("PS384", 6, 2),
            ("PS512", 4, 7),
            ("RS256", 8, 223),
            ("RS384", 4, 1),
            ("RS512", 4, 1),
            ("none", 0, 4),
        ]
    );
}

/// Those of algorithms that one does not accept never get as far as their claims, let alone a key.
#[test]
fn a_validator_of_three_algorithms_refuses_every_vector_of_another() {
    const OURS: [&str; 3] = ["RS256", "PS256", "ES256"];
    use TokenDefect as T;
    let validator = Validator::builder()
        .audience("api")
        .any_tenant()
        .with_algorithms([Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256])
        .build();
    let file = read("wycheproof/json_web_signature_test.json");
    let mut others = 0;
    for group in file["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        let set = json!({ "keys": [key] }).to_string();
        let issuers = Issuers::new("https://login.example/{tenantid}/v2.0");
        let Ok(set) = KeySet::parse(set.as_bytes(), issuers, NOW, MAX_AGE) else {
            continue;
        };
        for test in group["tests"].as_array().unwrap() {
            let token = test["jws"].as_str().unwrap();
            let algorithm = algorithm(token);
            if OURS.contains(&&*algorithm) {
                continue;
            }
            let defect = validator.validate(token, &set, NOW).unwrap_err();
            // What cannot even be read as a header has no algorithm.
            let read = matches!(
                defect,
                T::Form | T::Encoding | T::Json | T::DuplicateMember | T::Critical | T::KeyId
            );
            assert!(
                defect == T::Algorithm || (read && algorithm.is_empty()),
                "{}: {algorithm:?}: {defect:?}",
                test["tcId"]
            );
            others += usize::from(test["result"] == "valid");
        }
    }
    // RS384, RS512, PS384 and PS512 that a validator of all algorithms accepts, at least.
    assert!(others >= 16, "{others}");
}

#[test]
fn the_examples_of_rfc_7520_verify_or_are_refused_for_the_right_reason() {
    let file = read("rfc7520.json");
    let examples = file["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 9);
    for example in examples {
        let (token, key) = (example["token"].as_str().unwrap(), &example["key"]);
        let refused = judge(token, key).err().map(TokenDefect::reason);
        assert_eq!(
            refused,
            example["refused"].as_str(),
            "§{}: {}",
            example["section"],
            example["about"]
        );
        if refused.is_none() {
            let other = token.replacen(".S", ".T", 1);
            assert_eq!(judge(&other, key), Err(TokenDefect::Signature));
        }
    }
}

#[test]
fn a_key_that_is_not_trusted_any_more_signs_nothing() {
    let file = read("rfc7520.json");
    let examples = file["examples"].as_array().unwrap();
    let signed = examples.iter().find(|one| one["refused"].is_null());
    let (token, key) = signed
        .map(|one| (one["token"].as_str().unwrap(), &one["key"]))
        .unwrap();
    let last = NOW + (MAX_AGE - Duration::from_secs(1));
    assert_eq!(judge_at(last, token, key), Ok(()));
    let over = judge_at(NOW + MAX_AGE, token, key);
    assert_eq!(over, Err(TokenDefect::UnknownKey));
}
