//! What holds for every payload and every header, whatever is in it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::{collection, prelude::*};
use serde_json::{Map, Value, json};

use super::{claims::RawClaims, jose::Jws};
use crate::keys::Algorithm;

/// Claims whose type matters.
const TEXTS: [&str; 10] = [
    "iss", "tid", "ver", "oid", "sub", "azp", "appid", "scp", "idtyp", "uti",
];
const LISTS: [&str; 2] = ["roles", "xms_cc"];
const TIMES: [&str; 2] = ["exp", "nbf"];
const REQUIRED: [&str; 6] = ["iss", "aud", "exp", "nbf", "ver", "tid"];

/// JSON of any type and shape, often the shapes that claims have.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        collection::vec(any::<String>(), 0..3).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// `good`, in which some of these members or any others have been replaced, taken away or added.
fn changed(good: Value, names: Vec<&'static str>) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![
        4 => proptest::sample::select(names).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let changes = collection::vec((name, proptest::option::of(anything())), 0..3);
    changes.prop_map(move |changes| {
        let mut members = good.as_object().cloned().unwrap_or_default();
        for (name, change) in changes {
            match change {
                Some(value) => drop(members.insert(name, value)),
                None => drop(members.remove(&name)),
            }
        }
        members
    })
}

fn claims() -> impl Strategy<Value = Map<String, Value>> {
    let good = json!({
        "iss": "i", "aud": "a", "exp": 2, "nbf": 1, "ver": "2.0", "tid": "t",
        "oid": "o", "scp": "s", "roles": ["r"],
    });
    let names = [&TEXTS[..], &LISTS[..], &TIMES[..], &["aud", "cnf"]].concat();
    changed(good, names)
}

fn header() -> impl Strategy<Value = Map<String, Value>> {
    let good = json!({"alg": "RS256", "kid": "k", "typ": "JWT"});
    changed(
        good,
        vec![
            "alg", "kid", "typ", "crit", "b64", "zip", "jwk", "x5c", "jku",
        ],
    )
}

/// The rule of claims, said once more and in another way.
fn is_well_typed(claims: &Map<String, Value>) -> bool {
    let texts = |value: &Value| {
        let items = value.as_array();
        items.is_some_and(|items| items.iter().all(Value::is_string))
    };
    let has_type = |name: &String, value: &Value| match name.as_str() {
        "cnf" => false,
        "aud" => value.is_string() || texts(value),
        name if TEXTS.contains(&name) => value.is_string(),
        name if LISTS.contains(&name) => texts(value),
        name if TIMES.contains(&name) => value.is_u64(),
        _ => true,
    };
    REQUIRED.iter().all(|name| claims.contains_key(*name))
        && claims.iter().all(|(name, value)| has_type(name, value))
}

/// The rule of headers.
fn is_understood(header: &Map<String, Value>) -> bool {
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    let kinds = ["jwt", "at+jwt", "application/at+jwt"];
    let kind = text("typ").map(str::to_ascii_lowercase);
    text("alg").is_some_and(|name| Algorithm::from_name(name).is_some())
        && text("kid").is_some_and(|kid| (1..=256).contains(&kid.len()))
        && header
            .get("typ")
            .is_none_or(|_| kind.is_some_and(|kind| kinds.contains(&&*kind)))
        && ["crit", "b64", "zip"]
            .iter()
            .all(|name| !header.contains_key(*name))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn claims_are_accepted_with_their_exact_types_and_no_others(claims in claims()) {
        let payload = Value::Object(claims.clone()).to_string();
        let parsed = RawClaims::parse(payload.as_bytes(), &["name".into()]);
        prop_assert_eq!(parsed.is_ok(), is_well_typed(&claims), "{}", payload);
        if let Ok(parsed) = parsed {
            prop_assert_eq!(claims["tid"].as_str(), Some(&*parsed.tenant_id));
            prop_assert_eq!(claims["iss"].as_str(), Some(&*parsed.issuer));
            prop_assert_eq!(claims["exp"].as_u64(), Some(parsed.expires));
            prop_assert_eq!(claims["nbf"].as_u64(), Some(parsed.not_before));
        }
    }

    #[test]
    fn headers_are_accepted_with_their_exact_types_and_no_extension(header in header()) {
        let text = Value::Object(header.clone()).to_string();
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(&text));
        let parsed = Jws::parse(&token);
        prop_assert_eq!(parsed.is_ok(), is_understood(&header), "{}", text);
        if let Ok(parsed) = parsed {
            prop_assert_eq!(header["kid"].as_str(), Some(&*parsed.header.kid));
        }
    }

    #[test]
    fn no_token_makes_it_panic(token in "[A-Za-z0-9_.=-]{0,120}|\\PC{0,60}") {
        let _ = Jws::parse(&token);
    }
}
