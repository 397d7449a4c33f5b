//! Claims requests (OpenID Connect Core §5.5), as they go with an exchange.

use std::sync::Arc;

use serde_json::Value;

/// What an exchange has to ask for after a downstream API has asked for `challenge`: that, and the
/// client capabilities that every exchange declares. Both are JSON objects; they are merged deeply,
/// as Microsoft's libraries do it, and where both say something else the API has its way.
pub(crate) fn merged(capabilities: Option<&str>, challenge: &str) -> Arc<str> {
    let Some(capabilities) = capabilities else {
        return challenge.into();
    };
    let read = |text| serde_json::from_str::<Value>(text).ok();
    match (read(capabilities), read(challenge)) {
        (Some(mut all), Some(challenge)) => {
            merge(&mut all, challenge);
            all.to_string().into()
        }
        // What is no JSON was no challenge.
        _ => capabilities.into(),
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(known) => merge(known, value),
                    None => drop(into.insert(name, value)),
                }
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CP1: &str = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#;

    #[test]
    fn a_challenge_and_our_capabilities_are_asked_for_together() {
        let nbf = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#;
        let merged: Value = serde_json::from_str(&merged(Some(CP1), nbf)).unwrap();
        assert_eq!(
            merged,
            json!({"access_token": {
                "xms_cc": {"values": ["cp1"]},
                "nbf": {"essential": true, "value": "1604106651"},
            }})
        );
    }

    #[test]
    fn where_both_say_something_else_the_challenge_has_its_way() {
        for (challenge, expected) in [
            (r#"{"access_token":5}"#, json!({"access_token": 5})),
            (
                r#"{"access_token":{"xms_cc":null},"id_token":{}}"#,
                json!({"access_token": {"xms_cc": null}, "id_token": {}}),
            ),
        ] {
            let merged: Value = serde_json::from_str(&merged(Some(CP1), challenge)).unwrap();
            assert_eq!(merged, expected);
        }
    }

    #[test]
    fn a_challenge_alone_goes_on_byte_for_byte() {
        let odd = r#"{ "access_token" : { "b":1, "a":1.0 } }"#;
        assert_eq!(&*merged(None, odd), odd);
    }
}
