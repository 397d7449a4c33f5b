//! Whose a downstream token is, as far as that can be read.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use crate::tokens::Want;

/// Whether the token is the caller's own, or readably somebody else's. A downstream token is opaque
/// to us, so one that cannot be read passes.
pub(super) fn is_foreign(want: &Want, token: &str) -> bool {
    let assertion = want.assertion.as_ref();
    if assertion.is_some_and(|assertion| token == assertion.expose()) {
        return true;
    }
    let Some(payload) = token.split('.').nth(1) else {
        return false;
    };
    let Some(claims) = URL_SAFE_NO_PAD
        .decode(payload)
        .ok()
        .and_then(|json| serde_json::from_slice::<Claims>(&json).ok())
    else {
        return false;
    };
    let differs = |theirs: &Option<String>, ours: Option<&str>| matches!((theirs, ours), (Some(theirs), Some(ours)) if theirs != ours);
    // Of another provider's there is none, and a claim of that name means something else.
    let tenant = Some(&*want.tenant).filter(|tenant| !tenant.is_empty());
    if let Some((issuer, subject)) = &want.subject {
        return claims.iss.as_deref() == Some(issuer) && differs(&claims.sub, Some(subject));
    }
    differs(&claims.tid, tenant) || differs(&claims.oid, want.object_id.as_deref())
}

/// What tells whose a token is, where it is text. Nothing else is kept: a token has some thirty claims.
#[derive(Default)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    tid: Option<String>,
    oid: Option<String>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Name {
    Iss,
    Sub,
    Tid,
    Oid,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims")
    }

    /// Of claims that come twice the last counts, as with most readers.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut claims = Claims::default();
        while let Some(name) = map.next_key()? {
            let place = match name {
                Name::Iss => &mut claims.iss,
                Name::Sub => &mut claims.sub,
                Name::Tid => &mut claims.tid,
                Name::Oid => &mut claims.oid,
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *place = match map.next_value()? {
                Value::String(text) => Some(text),
                _ => None,
            };
        }
        Ok(claims)
    }
}
