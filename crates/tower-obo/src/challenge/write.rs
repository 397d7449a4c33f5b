//! What the caller has to bring (RFC 6750 §3, Entra ID's claims challenge,
//! RFC 9728 §5.1).

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;

/// What is the same in every challenge of one API.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChallengeContext {
    pub(crate) realm: Box<str>,
    /// Where a user signs in: part of a claims challenge as Entra ID has it.
    pub(crate) authorization_uri: Option<Box<str>>,
    /// The metadata document of the API (RFC 9728), if it publishes one.
    pub(crate) resource_metadata: Option<Box<str>>,
}

/// A challenge of the Bearer scheme in the making.
pub(crate) struct Challenge(String);

impl Challenge {
    pub(crate) fn new(context: &ChallengeContext) -> Self {
        let mut challenge = Self("Bearer ".to_owned());
        challenge.push("realm", &context.realm);
        if let Some(url) = &context.resource_metadata {
            challenge.push("resource_metadata", url);
        }
        challenge
    }

    pub(crate) fn error(mut self, error: &str, description: Option<&str>) -> Self {
        self.push("error", error);
        if let Some(description) = description {
            self.push("error_description", description);
        }
        self
    }

    pub(crate) fn scope(mut self, scope: &str) -> Self {
        self.push("scope", scope);
        self
    }

    /// A claims request, as base64 of the standard alphabet with padding, which is what clients of
    /// Entra ID decode.
    pub(crate) fn claims(mut self, context: &ChallengeContext, claims: &str) -> Self {
        if let Some(url) = &context.authorization_uri {
            self.push("authorization_uri", url);
        }
        self.push("claims", &STANDARD.encode(claims));
        self
    }

    /// `None` never happens: every byte that a header cannot hold has been left out.
    pub(crate) fn into_header(self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.0).ok()
    }

    /// Adds an auth-param as a quoted-string (RFC 9110 §11.2, §5.6.4).
    fn push(&mut self, name: &str, value: &str) {
        if !self.0.ends_with(' ') {
            self.0.push_str(", ");
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        for char in value.chars() {
            match char {
                '"' | '\\' => {
                    self.0.push('\\');
                    self.0.push(char);
                }
                ' '..='~' => self.0.push(char),
                _ => {}
            }
        }
        self.0.push('"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn context() -> ChallengeContext {
        ChallengeContext {
            realm: "r".into(),
            authorization_uri: Some("https://login/authorize".into()),
            resource_metadata: None,
        }
    }

    #[test]
    fn a_claims_challenge_has_each_parameter_once() {
        let challenge = Challenge::new(&context())
            .error("insufficient_claims", None)
            .claims(&context(), r#"{"access_token":{}}"#);
        assert_eq!(
            challenge.into_header().unwrap(),
            "Bearer realm=\"r\", error=\"insufficient_claims\", \
             authorization_uri=\"https://login/authorize\", \
             claims=\"eyJhY2Nlc3NfdG9rZW4iOnt9fQ==\""
        );
    }

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        let challenge = Challenge::new(&context()).scope("a\", x=\"\r\n\\é");
        assert_eq!(
            challenge.into_header().unwrap(),
            "Bearer realm=\"r\", scope=\"a\\\", x=\\\"\\\\\""
        );
    }

    proptest! {
        /// Read by a parser of somebody else: one challenge, every parameter once, every value whole
        /// but for what no header can hold.
        #[test]
        fn whatever_is_written_others_read_the_same(
            [realm, url, error, description, scope, claims] in proptest::array::uniform6(text()),
        ) {
            let context = ChallengeContext {
                realm: realm.as_str().into(),
                authorization_uri: Some(url.as_str().into()),
                resource_metadata: Some(url.as_str().into()),
            };
            let header = Challenge::new(&context)
                .error(&error, Some(&description))
                .scope(&scope)
                .claims(&context, &claims)
                .into_header()
                .unwrap();
            let read = http_auth::parse_challenges(header.to_str().unwrap()).unwrap();
            prop_assert_eq!(read.len(), 1);
            prop_assert_eq!(read[0].scheme, "Bearer");
            let params = read[0].params.iter();
            let params: Vec<_> = params.map(|(name, value)| (*name, value.to_unescaped())).collect();
            let encoded = STANDARD.encode(&claims);
            let written = [
                ("realm", &realm),
                ("resource_metadata", &url),
                ("error", &error),
                ("error_description", &description),
                ("scope", &scope),
                ("authorization_uri", &url),
                ("claims", &encoded),
            ];
            prop_assert_eq!(params, written.map(|(name, value)| (name, plain(value))));
        }
    }

    /// Anything, and often what has a meaning in a header.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), r#"[a-z"\\,= \t\r\n\x00{}:é]{0,30}"#]
    }

    fn plain(text: &str) -> String {
        text.chars()
            .filter(|char| matches!(char, ' '..='~'))
            .collect()
    }
}
