//! What a token says, for people to read. The signature is cut off here: nothing that is made of a
//! token by this module can be used as one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::problem::shorten;

/// Longest payload that is read, in base64url.
const MAX_PAYLOAD: usize = 16 * 1024;
/// Most claims that are shown of one token.
const MAX_CLAIMS: usize = 60;

/// The claims of a token. Nothing has been checked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    /// Of a signed JWT; `None` of anything else.
    pub(crate) fn of_token(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then(|| Self::of_payload(payload))?
    }

    /// Of a JWT's payload, in base64url.
    pub(crate) fn of_payload(payload: &str) -> Option<Self> {
        if payload.len() > MAX_PAYLOAD {
            return None;
        }
        let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims: Map<_, _> = serde_json::from_slice(&json).ok()?;
        Some(Self(claims.into_iter().take(MAX_CLAIMS).collect()))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A claim as text; times with what they mean.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let value = self.0.get(name)?;
        let time = matches!(name, "exp" | "iat" | "nbf" | "auth_time" | "xms_tcdt");
        Some(match value {
            Value::String(text) => shorten(text),
            Value::Number(number) if time => match number.as_i64().and_then(clock_time) {
                Some(time) => format!("{number} ({time})"),
                None => number.to_string(),
            },
            Value::Array(values) if values.iter().all(Value::is_string) => {
                let texts: Vec<_> = values.iter().filter_map(Value::as_str).collect();
                shorten(&texts.join(", "))
            }
            other => shorten(&other.to_string()),
        })
    }
}

fn clock_time(seconds: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    time.format(format).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload(claims: &Value) -> String {
        URL_SAFE_NO_PAD.encode(claims.to_string())
    }

    #[test]
    fn claims_are_texts_and_times_can_be_read() {
        let claims = payload(&json!({
            "aud": "api", "exp": 1_764_480_000, "roles": ["A", "B"], "xms": {"a": 1}, "nbf": "x",
        }));
        let claims = Claims::of_token(&format!("e30.{claims}.c2ln")).unwrap();
        let text = |name| claims.text(name).unwrap();
        assert_eq!(text("aud"), "api");
        assert_eq!(text("exp"), "1764480000 (2025-11-30 05:20:00 UTC)");
        assert_eq!(text("roles"), "A, B");
        assert_eq!(text("xms"), r#"{"a":1}"#);
        assert_eq!(text("nbf"), "x");
        assert_eq!(claims.text("scp"), None);
    }

    #[test]
    fn what_is_no_token_has_no_claims_and_much_is_cut() {
        for token in [
            "",
            "opaque",
            "e30.e30",
            "e30.e30.x.x.x",
            "e30.W10.c2ln",
            "e30.%.c",
        ] {
            assert_eq!(Claims::of_token(token), None, "{token}");
        }
        let many: Map<_, _> = (0..1_000).map(|n| (n.to_string(), json!(n))).collect();
        let many = Claims::of_payload(&payload(&many.into())).unwrap();
        assert_eq!(many.names().count(), MAX_CLAIMS);
        assert_eq!(Claims::of_payload(&"A".repeat(MAX_PAYLOAD + 4)), None);
    }
}
