//! The claims of an Entra ID access token, v1.0 and v2.0, read with their exact types.

use std::{borrow::Cow, sync::Arc};

use super::{
    TokenDefect,
    json::{Json, TakeValue, read_object},
};

/// Claims as the token has them: typed, not yet judged. The texts are parts of its payload, as far
/// as they are written without escapes.
pub(crate) struct RawClaims<'a> {
    pub(crate) issuer: Cow<'a, str>,
    pub(crate) audience: Audience<'a>,
    pub(crate) expires: u64,
    pub(crate) not_before: u64,
    pub(crate) version: Cow<'a, str>,
    pub(crate) tenant_id: Cow<'a, str>,
    pub(crate) optional: OptionalClaims<'a>,
}

/// Claims that not every token has.
#[derive(Default)]
pub(crate) struct OptionalClaims<'a> {
    pub(crate) object_id: Option<Cow<'a, str>>,
    pub(crate) subject: Option<Cow<'a, str>>,
    /// `azp` of v2.0 tokens.
    pub(crate) authorized_party: Option<Cow<'a, str>>,
    /// `appid` of v1.0 tokens.
    pub(crate) app_id: Option<Cow<'a, str>>,
    pub(crate) scope: Cow<'a, str>,
    pub(crate) roles: Vec<Cow<'a, str>>,
    pub(crate) identity_type: Option<Cow<'a, str>>,
    pub(crate) token_id: Option<Cow<'a, str>>,
    pub(crate) capabilities: Vec<Cow<'a, str>>,
    pub(crate) kept: Vec<(Arc<str>, Box<str>)>,
}

/// For whom the token is. Entra ID never issues a list, other providers do.
pub(crate) enum Audience<'a> {
    One(Cow<'a, str>),
    Many(Vec<Cow<'a, str>>),
}

impl<'a> RawClaims<'a> {
    /// Reads a payload. Of the claims that mean nothing here, the ones named in `keep` are kept if
    /// they are strings.
    pub(crate) fn parse(payload: &'a [u8], keep: &[Arc<str>]) -> Result<Self, TokenDefect> {
        let (mut issuer, mut audience, mut version, mut tenant_id) = (None, None, None, None);
        let (mut expires, mut not_before) = (None, None);
        let mut optional = OptionalClaims::default();
        read_object(payload, |name, value| {
            let text = |value: &mut dyn TakeValue<'a>| text(value, TokenDefect::Claims);
            match name {
                "iss" => issuer = Some(self::text(value, TokenDefect::Issuer)?),
                "aud" => audience = Some(self::audience(value)?),
                "exp" => expires = Some(seconds(value)?),
                "nbf" => not_before = Some(seconds(value)?),
                "ver" => version = Some(text(value)?),
                "tid" => tenant_id = Some(self::text(value, TokenDefect::Tenant)?),
                "oid" => optional.object_id = Some(text(value)?),
                "sub" => optional.subject = Some(text(value)?),
                "azp" => optional.authorized_party = Some(text(value)?),
                "appid" => optional.app_id = Some(text(value)?),
                "scp" => optional.scope = text(value)?,
                "roles" => optional.roles = list(value)?,
                "idtyp" => optional.identity_type = Some(text(value)?),
                "uti" => optional.token_id = Some(text(value)?),
                "xms_cc" => optional.capabilities = list(value)?,
                "cnf" => return Err(TokenDefect::SenderConstrained),
                _ => match keep.iter().find(|kept| ***kept == *name) {
                    None => value.skip()?,
                    Some(kept) => {
                        if let Json::Text(text) = value.take()? {
                            optional.kept.push((Arc::clone(kept), text.into()));
                        }
                    }
                },
            }
            Ok(())
        })?;
        Ok(Self {
            issuer: issuer.ok_or(TokenDefect::Issuer)?,
            audience: audience.ok_or(TokenDefect::Audience)?,
            expires: expires.ok_or(TokenDefect::Lifetime)?,
            not_before: not_before.ok_or(TokenDefect::Lifetime)?,
            version: version.ok_or(TokenDefect::Claims)?,
            tenant_id: tenant_id.ok_or(TokenDefect::Tenant)?,
            optional,
        })
    }
}

pub(super) fn audience<'a>(value: &mut dyn TakeValue<'a>) -> Result<Audience<'a>, TokenDefect> {
    match value.take()? {
        Json::Text(audience) => Ok(Audience::One(audience)),
        Json::Texts(audiences) => Ok(Audience::Many(audiences)),
        _ => Err(TokenDefect::Audience),
    }
}

pub(super) fn text<'a>(
    value: &mut dyn TakeValue<'a>,
    defect: TokenDefect,
) -> Result<Cow<'a, str>, TokenDefect> {
    match value.take()? {
        Json::Text(text) => Ok(text),
        _ => Err(defect),
    }
}

pub(super) fn list<'a>(value: &mut dyn TakeValue<'a>) -> Result<Vec<Cow<'a, str>>, TokenDefect> {
    match value.take()? {
        Json::Texts(items) => Ok(items),
        _ => Err(TokenDefect::Claims),
    }
}

/// A *NumericDate* as Entra ID writes it: an integer, not negative.
pub(super) fn seconds(value: &mut dyn TakeValue<'_>) -> Result<u64, TokenDefect> {
    match value.take()? {
        Json::Integer(seconds) => Ok(seconds),
        _ => Err(TokenDefect::Lifetime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn good() -> Value {
        json!({"iss": "i", "aud": "a", "exp": 2, "nbf": 1, "ver": "2.0", "tid": "t", "scp": "s"})
    }

    fn defect(claims: &Value) -> Option<TokenDefect> {
        RawClaims::parse(claims.to_string().as_bytes(), &[]).err()
    }

    #[test]
    fn claims_that_must_be_there_are_missed() {
        use TokenDefect as D;
        for (name, expected) in [
            ("iss", D::Issuer),
            ("aud", D::Audience),
            ("exp", D::Lifetime),
            ("nbf", D::Lifetime),
            ("tid", D::Tenant),
            ("ver", D::Claims),
        ] {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(name);
            assert_eq!(defect(&claims), Some(expected), "{name}");
        }
        assert_eq!(defect(&good()), None);
    }

    #[test]
    fn nothing_of_a_wrong_type_is_made_to_fit() {
        let wrong = [
            json!(null),
            json!(1),
            json!({}),
            json!([1]),
            json!(true),
            // What serde_json takes for the JSON in the text.
            json!({"$serde_json::private::RawValue": "\"t\""}),
        ];
        for name in [
            "iss", "aud", "tid", "oid", "sub", "azp", "appid", "scp", "idtyp", "uti", "ver",
            "roles", "xms_cc",
        ] {
            for value in &wrong {
                let mut claims = good();
                claims[name] = value.clone();
                assert!(defect(&claims).is_some(), "{name}: {value}");
            }
        }
    }

    #[test]
    fn times_are_integers_and_not_negative() {
        for text in ["1e3", "1.0", "-1", "\"1\"", "true", "null", "[1]", "1e30"] {
            for name in ["exp", "nbf"] {
                let payload = good().to_string().replace(
                    &format!("\"{name}\":"),
                    &format!("\"{name}\":{text},\"x{name}\":"),
                );
                let result = RawClaims::parse(payload.as_bytes(), &[]);
                assert_eq!(result.err(), Some(TokenDefect::Lifetime), "{name}: {text}");
            }
        }
    }

    #[test]
    fn a_sender_constrained_token_is_no_bearer_token() {
        let mut claims = good();
        claims["cnf"] = json!({"jkt": "x"});
        assert_eq!(defect(&claims), Some(TokenDefect::SenderConstrained));
    }

    #[test]
    fn only_configured_strings_are_kept() {
        let mut claims = good();
        claims["name"] = "Alice".into();
        claims["email"] = "a@b".into();
        claims["number"] = 5.into();
        let keep = ["name".into(), "number".into()];
        let payload = claims.to_string();
        let parsed = RawClaims::parse(payload.as_bytes(), &keep).unwrap();
        let kept: Vec<_> = parsed
            .optional
            .kept
            .iter()
            .map(|(n, v)| (&**n, &**v))
            .collect();
        assert_eq!(kept, [("name", "Alice")]);
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RawClaims::parse(&payload, &[]);
        }
    }
}
