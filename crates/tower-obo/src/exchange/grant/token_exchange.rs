//! Token exchange: a token for the user whose token the caller has shown, at providers that have RFC
//! 8693.

use serde_json::Value;

use super::{Form, Grant};
use crate::exchange::{ExchangeErrorKind, ExchangeRequest};

/// RFC 8693, as delegation without an actor token: the client that authenticates is the actor.
pub(super) struct TokenExchange;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Grant for TokenExchange {
    fn write(&self, request: &ExchangeRequest, form: &mut Form) -> Result<(), &'static str> {
        let subject = request.assertion.as_ref();
        let subject = subject.ok_or("there is no caller to exchange a token for")?;
        form.push("grant_type", GRANT);
        form.push("subject_token", subject.expose());
        form.push("subject_token_type", ACCESS_TOKEN);
        form.push("requested_token_type", ACCESS_TOKEN);
        // Each may stand there more than once (§2.1).
        for audience in &*request.audiences {
            form.push("audience", audience);
        }
        for resource in &*request.resources {
            form.push("resource", resource);
        }
        if !request.scopes.is_empty() {
            form.push("scope", &request.scopes.join(" "));
        }
        Ok(())
    }

    /// What was issued is said, always (§2.2.1), and must be what was asked for: an ID token or a
    /// refresh token is none of a downstream's business.
    fn check(&self, answer: &Value) -> Result<(), &'static str> {
        match &answer["issued_token_type"] {
            Value::String(kind) if kind == ACCESS_TOKEN => Ok(()),
            Value::String(_) => Err("the issued_token_type is not that of an access token"),
            _ => Err("the answer has no issued_token_type"),
        }
    }

    /// §2.2.2: a subject token that is not accepted, for whatever reason, is `invalid_request`, and a
    /// target for which no token is given `invalid_target`.
    fn meaning(&self, error: &str) -> Option<(ExchangeErrorKind, &'static str)> {
        use ExchangeErrorKind as K;
        match error {
            "invalid_request" | "invalid_token" => {
                Some((K::AssertionRefused, "the subject token is refused"))
            }
            "invalid_target" => Some((
                K::Misconfigured,
                "no token is given for the audience or resource",
            )),
            "access_denied" => Some((K::AccountRefused, "the user may not have the token")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GrantType, Secret};
    use serde_json::json;

    fn request() -> ExchangeRequest {
        ExchangeRequest {
            grant: GrantType::TokenExchange,
            tenant: "".into(),
            assertion: Some(Secret::from("a.b.c")),
            scopes: ["orders.read".into(), "orders.write".into()].into(),
            audiences: ["orders".into(), "stock".into()].into(),
            resources: ["https://orders.example/".into()].into(),
            claims: Some("{}".into()),
            correlation_id: "c".into(),
        }
    }

    fn body(request: &ExchangeRequest) -> String {
        let mut form = Form::default();
        TokenExchange.write(request, &mut form).unwrap();
        form.into_body().to_string()
    }

    #[test]
    fn a_request_names_the_subject_what_is_wanted_and_for_whom() {
        let access_token = "urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";
        assert_eq!(
            body(&request()),
            format!(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
                 &subject_token=a.b.c&subject_token_type={access_token}\
                 &requested_token_type={access_token}&audience=orders&audience=stock\
                 &resource=https%3A%2F%2Forders.example%2F&scope=orders.read+orders.write"
            )
        );
        let bare = ExchangeRequest {
            scopes: [].into(),
            audiences: [].into(),
            resources: [].into(),
            ..request()
        };
        assert!(body(&bare).ends_with(&format!("requested_token_type={access_token}")));
    }

    #[test]
    fn without_a_subject_nothing_is_asked() {
        let nobody = ExchangeRequest {
            assertion: None,
            ..request()
        };
        let mut form = Form::default();
        assert!(TokenExchange.write(&nobody, &mut form).is_err());
        assert_eq!(*form.into_body(), "");
    }

    #[test]
    fn only_an_access_token_is_what_was_asked_for() {
        let issued = |kind: Value| TokenExchange.check(&json!({ "issued_token_type": kind }));
        assert_eq!(issued(json!(ACCESS_TOKEN)), Ok(()));
        for kind in [
            json!("urn:ietf:params:oauth:token-type:id_token"),
            json!("urn:ietf:params:oauth:token-type:refresh_token"),
            json!("access_token"),
            json!(null),
            json!([ACCESS_TOKEN]),
        ] {
            assert!(issued(kind.clone()).is_err(), "{kind}");
        }
        assert!(TokenExchange.check(&json!({})).is_err());
    }
}
