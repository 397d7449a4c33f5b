//! The payload of a token: what the strict parser makes of it is what serde_json makes of it,
//! member by member, or nothing.
#![no_main]

mod strict;

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use strict::Members;
use tower_obo::fuzzing::{Claims, claims};

fuzz_target!(|data: &[u8]| {
    let expected = Members::read(data).and_then(|members| accepted(&members));
    assert_eq!(claims(data, &["name"]), expected);
});

fn accepted(members: &Members) -> Option<Claims> {
    if !members.are_few()
        || !members.are_unique()
        || !members.are_shallow()
        || members.get("cnf").is_some()
    {
        return None;
    }
    let text = |name: &str| members.text(name).flatten();
    // There with the right type, or not there.
    let optional = |name: &str| members.text(name).map_or(Some(None), |text| text.map(Some));
    let list = |name: &str| members.texts(name).map_or(Some(Vec::new()), |texts| texts);
    let kept = match members.get("name") {
        Some(name) if name.get().starts_with('"') => vec![("name".to_owned(), strict::text(name)?)],
        _ => Vec::new(),
    };
    Some(Claims {
        issuer: text("iss")?,
        audience: match text("aud") {
            Some(audience) => Ok(audience),
            None => Err(members.texts("aud").flatten()?),
        },
        expires: seconds(members.get("exp")?)?,
        not_before: seconds(members.get("nbf")?)?,
        version: text("ver")?,
        tenant_id: text("tid")?,
        object_id: optional("oid")?,
        subject: optional("sub")?,
        authorized_party: optional("azp")?,
        app_id: optional("appid")?,
        scope: optional("scp")?.unwrap_or_default(),
        roles: list("roles")?,
        identity_type: optional("idtyp")?,
        token_id: optional("uti")?,
        capabilities: list("xms_cc")?,
        kept,
    })
}

/// An integer as it is written: no sign, fraction or exponent.
fn seconds(raw: &RawValue) -> Option<u64> {
    let digits = raw.get().bytes().all(|byte| byte.is_ascii_digit());
    let number: serde_json::Number = serde_json::from_str(raw.get()).ok()?;
    digits.then(|| number.as_u64()).flatten()
}
