//! What an answer of the token endpoint that is no success says.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;

use super::{Details, ExchangeError, ExchangeErrorKind, plain};
use crate::{
    Timestamp,
    challenge::MAX_CLAIMS,
    exchange::aadsts::{Aadsts, Answer},
};

impl ExchangeError {
    #[cfg(test)]
    pub(crate) fn from_server(status: StatusCode, body: &[u8]) -> Self {
        Self::from_answer(status, &HeaderMap::new(), body, Timestamp::default())
    }

    /// Reads an answer that is no success.
    pub(in crate::exchange) fn from_answer(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Self {
        let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
        Self::of(status, headers, body, now)
    }

    /// The same of another provider than Entra ID: `error` is all that says something (RFC 6749 §5.2),
    /// in the way that the grant has, if it has one.
    pub(in crate::exchange) fn from_standard_answer(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
        meaning: impl FnOnce(&str) -> Option<(ExchangeErrorKind, &'static str)>,
    ) -> Self {
        let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
        let error = body.error;
        let standard = ErrorBody {
            error: error.clone(),
            ..ErrorBody::default()
        };
        let read = Self::of(status, headers, standard, now);
        let is_refusal = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
        let error = error.as_deref().filter(|_| is_refusal).unwrap_or_default();
        let meaning = meaning(error);
        read.edit(|details| {
            if let Some((kind, reason)) = meaning {
                (details.kind, details.reason) = (kind, reason);
            }
            // What a file holds by now may be another secret, or another assertion.
            details.credential_refused = error == "invalid_client"
                || (status == StatusCode::UNAUTHORIZED && meaning.is_none());
        })
    }

    fn of(status: StatusCode, headers: &HeaderMap, body: ErrorBody, now: Timestamp) -> Self {
        use ExchangeErrorKind as K;
        let known = body.error_codes.iter().find_map(|code| Aadsts::find(*code));
        let family = || body.error_codes.iter().find_map(|code| family_of(*code));
        let has_claims = body.claims.as_deref().is_some_and(is_claims_request);
        let answer = known.map(|known| known.answer);
        let (kind, reason) = if status == StatusCode::TOO_MANY_REQUESTS {
            (K::Throttled, "the token endpoint asks to slow down")
        } else if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            (K::Unavailable, "the token endpoint has a fault")
        } else if status.is_redirection() || status.is_success() {
            (K::UnusableAnswer, "the token endpoint's answer is no token")
        } else if has_claims && body.is_grant_error() {
            (K::InsufficientClaims, "the user has to satisfy claims")
        } else if let Some(answer) = answer {
            let meaning = known.map_or("", |known| known.meaning);
            (kind_of(answer), meaning)
        } else if let Some(kind) = family() {
            kind
        } else {
            body.kind_without_code()
        };
        Self(Arc::new(Details {
            kind,
            credential_refused: answer == Some(Answer::CredentialRefused),
            // Of several codes that which the answer is judged by.
            aadsts: known
                .map(|known| known.code)
                .or_else(|| body.error_codes.first().copied()),
            claims: body.claims.filter(|_| kind == K::InsufficientClaims),
            error: body.error.and_then(plain),
            suberror: body.suberror.and_then(plain),
            correlation_id: body.correlation_id.and_then(plain),
            trace_id: body.trace_id.and_then(plain),
            retry_after: retry_after(headers, now)
                .or_else(|| known.and_then(|known| throttle_of(known.code))),
            reason,
            credential: None,
        }))
    }
}

const fn kind_of(answer: Answer) -> ExchangeErrorKind {
    use ExchangeErrorKind as K;
    match answer {
        Answer::AccountRefused => K::AccountRefused,
        Answer::AppOnly => K::AppOnly,
        Answer::AssertionRefused => K::AssertionRefused,
        Answer::ConditionalAccess => K::ConditionalAccess,
        Answer::ConsentRequired => K::ConsentRequired,
        Answer::CredentialRefused | Answer::Misconfigured => K::Misconfigured,
        Answer::Interaction => K::InteractionRequired,
        Answer::Throttled => K::Throttled,
        Answer::Unavailable => K::Unavailable,
    }
}

/// Codes by which Entra ID throttles without status 429. Like that one they are not answered with a
/// retry, which would prolong what they complain of.
const fn throttle_of(code: u32) -> Option<Duration> {
    match code {
        50196 | 90055 => Some(Duration::from_secs(5)),
        _ => None,
    }
}

/// What a code that is not in the table means by its neighbours.
const fn family_of(code: u32) -> Option<(ExchangeErrorKind, &'static str)> {
    use ExchangeErrorKind as K;
    match code {
        50072..=50079 => Some((
            K::InteractionRequired,
            "multi-factor authentication is required",
        )),
        53000..=53999 | 530_000..=530_999 => Some((
            K::ConditionalAccess,
            "a device or Conditional Access policy blocks the token",
        )),
        _ => None,
    }
}

/// An error answer of Entra ID. Whatever is missing or has another type counts as absent.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    #[serde(deserialize_with = "lenient")]
    error: Option<Box<str>>,
    #[serde(deserialize_with = "lenient")]
    suberror: Option<Box<str>>,
    #[serde(deserialize_with = "lenient")]
    error_codes: Vec<u32>,
    #[serde(deserialize_with = "lenient")]
    claims: Option<Box<str>>,
    #[serde(deserialize_with = "lenient")]
    correlation_id: Option<Box<str>>,
    #[serde(deserialize_with = "lenient")]
    trace_id: Option<Box<str>>,
}

impl ErrorBody {
    fn is_grant_error(&self) -> bool {
        matches!(
            self.error.as_deref(),
            Some("invalid_grant" | "interaction_required" | "consent_required" | "login_required")
        )
    }

    /// By `error` and `suberror`, as Microsoft's documents recommend, for codes not in the table.
    fn kind_without_code(&self) -> (ExchangeErrorKind, &'static str) {
        use ExchangeErrorKind as K;
        match (self.error.as_deref(), self.suberror.as_deref()) {
            (Some("interaction_required" | "login_required"), _) => {
                (K::InteractionRequired, "the user has to sign in again")
            }
            (Some("consent_required"), _) | (Some("invalid_grant"), Some("consent_required")) => {
                (K::ConsentRequired, "consent has not been given")
            }
            (Some("invalid_grant"), Some("basic_action" | "additional_action")) => {
                (K::InteractionRequired, "the user has to do something first")
            }
            // A sign-in would bring the same again (MSAL: none is asked for).
            (Some("invalid_grant"), Some("client_mismatch")) => {
                (K::Misconfigured, "the grant is another client's")
            }
            (
                Some("invalid_grant"),
                Some("protection_policy_required" | "device_authentication_failed"),
            ) => (
                K::ConditionalAccess,
                "a device or protection policy blocks the token",
            ),
            (Some("invalid_grant"), _) => (K::AssertionRefused, "the assertion is refused"),
            (Some("temporarily_unavailable"), _) => {
                (K::Unavailable, "the token endpoint has a passing fault")
            }
            (Some(_), _) => (K::Misconfigured, "the token request is refused"),
            (None, _) => (
                K::UnusableAnswer,
                "the token endpoint's answer is no OAuth error",
            ),
        }
    }
}

/// Claims that a client can be sent away with: a JSON object, as those of a downstream are, and not
/// longer than a header takes.
fn is_claims_request(claims: &str) -> bool {
    claims.len() <= MAX_CLAIMS
        && serde_json::from_str::<serde_json::Value>(claims).is_ok_and(|json| json.is_object())
}

fn lenient<'de, D, T>(json: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned + Default,
{
    let value = serde_json::Value::deserialize(json)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// `Retry-After` in seconds or as a date (RFC 9110 §10.2.3), at least 1 s, at most an hour.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            let date = date.duration_since(std::time::UNIX_EPOCH).ok()?;
            date.as_secs().saturating_sub(now.as_unix())
        }
    };
    Some(Duration::from_secs(seconds.clamp(1, 3600)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExchangeErrorKind as K;
    use http::HeaderValue;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix(784_111_777);

    fn read(status: u16, body: &serde_json::Value) -> ExchangeError {
        let status = StatusCode::from_u16(status).unwrap();
        ExchangeError::from_answer(status, &HeaderMap::new(), body.to_string().as_bytes(), NOW)
    }

    #[test]
    fn claims_win_over_the_code() {
        let body = json!({"error": "interaction_required", "error_codes": [53003],
            "claims": "{\"access_token\":{}}"});
        let error = read(400, &body);
        assert_eq!(error.kind(), K::InsufficientClaims);
        assert_eq!(error.claims(), Some("{\"access_token\":{}}"));
        assert_eq!(error.aadsts(), Some(53003));
    }

    #[test]
    fn an_unknown_code_is_judged_by_error_and_suberror() {
        for (error, suberror, kind) in [
            ("interaction_required", "", K::InteractionRequired),
            ("invalid_grant", "consent_required", K::ConsentRequired),
            ("invalid_grant", "basic_action", K::InteractionRequired),
            ("invalid_grant", "client_mismatch", K::Misconfigured),
            (
                "invalid_grant",
                "protection_policy_required",
                K::ConditionalAccess,
            ),
            (
                "invalid_grant",
                "device_authentication_failed",
                K::ConditionalAccess,
            ),
            ("invalid_grant", "bad_token", K::AssertionRefused),
            ("invalid_grant", "", K::AssertionRefused),
            ("invalid_client", "", K::Misconfigured),
            ("temporarily_unavailable", "", K::Unavailable),
        ] {
            let body = json!({"error": error, "suberror": suberror, "error_codes": [1]});
            assert_eq!(read(400, &body).kind(), kind, "{error} {suberror}");
        }
    }

    /// What the table says of a code has been looked up; `suberror` says less.
    #[test]
    fn a_known_code_is_judged_before_the_suberror() {
        for (code, suberror, kind) in [
            (65001, "basic_action", K::ConsentRequired),
            (53003, "consent_required", K::ConditionalAccess),
            (50076, "client_mismatch", K::InteractionRequired),
        ] {
            let body =
                json!({"error": "invalid_grant", "suberror": suberror, "error_codes": [code]});
            assert_eq!(read(400, &body).kind(), kind, "{code}");
        }
    }

    #[test]
    fn the_code_that_is_told_is_the_one_that_the_answer_is_judged_by() {
        for (codes, told) in [(vec![1, 65001], 65001), (vec![1, 2], 1)] {
            let body = json!({"error": "invalid_grant", "error_codes": codes});
            assert_eq!(read(400, &body).aadsts(), Some(told), "{codes:?}");
        }
    }

    #[test]
    fn ex_01_claims_that_are_no_json_object_are_no_challenge() {
        for claims in ["oops", "[]", "\"x\"", "{", "7", ""] {
            let error = read(
                400,
                &json!({"error": "interaction_required", "claims": claims}),
            );
            assert_eq!(error.kind(), K::InteractionRequired, "{claims}");
            assert_eq!(error.claims(), None, "{claims}");
        }
    }

    #[test]
    fn another_providers_answer_is_read_by_its_error_alone_and_as_the_grant_has_it() {
        let read = |status: u16, body: serde_json::Value, grant: crate::GrantType| {
            let status = StatusCode::from_u16(status).unwrap();
            let (headers, body) = (HeaderMap::new(), body.to_string());
            let grant = grant.implementation();
            ExchangeError::from_standard_answer(status, &headers, body.as_bytes(), NOW, |error| {
                grant.meaning(error)
            })
        };
        let exchange = crate::GrantType::TokenExchange;
        for (status, error, kind) in [
            (400, "invalid_request", K::AssertionRefused),
            (400, "invalid_token", K::AssertionRefused),
            (401, "invalid_token", K::AssertionRefused),
            (400, "invalid_grant", K::AssertionRefused),
            (400, "invalid_target", K::Misconfigured),
            (400, "invalid_scope", K::Misconfigured),
            (401, "invalid_client", K::Misconfigured),
            (400, "unauthorized_client", K::Misconfigured),
            // Keycloak's word for a wrong secret.
            (401, "unauthorized_client", K::Misconfigured),
            (400, "unsupported_grant_type", K::Misconfigured),
            (403, "access_denied", K::AccountRefused),
            (400, "interaction_required", K::InteractionRequired),
            (400, "temporarily_unavailable", K::Unavailable),
            (429, "invalid_request", K::Throttled),
            (503, "invalid_request", K::Unavailable),
            (302, "invalid_request", K::UnusableAnswer),
        ] {
            // What only Entra ID says counts for nothing, whoever says it.
            let body = json!({"error": error, "error_codes": [50076], "claims": "{}",
                "suberror": "consent_required"});
            let read = read(status, body, exchange);
            assert_eq!(read.kind(), kind, "{status} {error}");
            assert_eq!(read.oauth_error(), Some(error));
            assert_eq!((read.aadsts(), read.claims()), (None, None), "{error}");
            let refuses = status == 401 && error != "invalid_token";
            assert_eq!(read.refuses_credential(), refuses, "{status} {error}");
        }
        let own = read(
            400,
            json!({"error": "invalid_request"}),
            crate::GrantType::ClientCredentials,
        );
        assert_eq!(own.kind(), K::Misconfigured);
        assert_eq!(read(400, json!("x"), exchange).kind(), K::UnusableAnswer);
    }

    #[test]
    fn what_is_no_oauth_error_is_an_unusable_answer() {
        for (status, body) in [
            (400, json!("x")),
            (302, json!({})),
            (404, json!({"error": 5})),
        ] {
            assert_eq!(read(status, &body).kind(), K::UnusableAnswer, "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date_within_bounds() {
        for (value, seconds) in [
            ("17", Some(17)),
            ("0", Some(1)),
            ("999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            let read = retry_after(&headers, NOW);
            assert_eq!(read, seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn nothing_that_the_server_wrote_in_prose_is_kept() {
        let body = json!({"error": "invalid_client", "error_codes": [7000215],
            "error_description": "AADSTS7000215: secret hint abc~", "trace_id": "x y <script>"});
        let error = read(401, &body);
        let text = format!("{error:?} {error}");
        assert!(!text.contains("hint") && !text.contains("script"), "{text}");
        assert_eq!(error.trace_id(), None);
    }

    #[test]
    fn claims_are_a_challenge_only_where_the_grant_is_refused() {
        let claims = "{\"access_token\":{}}";
        for error in ["invalid_client", "unauthorized_client", "invalid_request"] {
            let error = read(400, &json!({"error": error, "claims": claims}));
            assert_eq!(error.kind(), K::Misconfigured, "{error}");
            assert_eq!(error.claims(), None, "{error}");
        }
        for error in [
            "invalid_grant",
            "interaction_required",
            "consent_required",
            "login_required",
        ] {
            let error = read(400, &json!({"error": error, "claims": claims}));
            assert_eq!(error.kind(), K::InsufficientClaims, "{error}");
        }
        let empty = read(400, &json!({"error": "interaction_required", "claims": ""}));
        assert_eq!(empty.kind(), K::InteractionRequired);
    }

    #[test]
    fn an_answer_that_is_no_refusal_is_not_judged_by_its_body() {
        let body = json!({"error": "invalid_grant", "error_codes": [65001], "claims": "{}"});
        for status in [201, 204, 206, 301, 302, 307] {
            assert_eq!(read(status, &body).kind(), K::UnusableAnswer, "{status}");
        }
        assert_eq!(read(429, &body).kind(), K::Throttled);
        assert_eq!(read(503, &body).kind(), K::Unavailable);
        assert_eq!(read(408, &body).kind(), K::Unavailable);
    }

    #[test]
    fn what_support_asks_for_is_kept_and_shown() {
        let body = json!({"error": "invalid_grant", "error_codes": [65001],
            "correlation_id": "c-1", "trace_id": "t-1"});
        let error = read(400, &body);
        assert_eq!(
            (error.correlation_id(), error.trace_id()),
            (Some("c-1"), Some("t-1"))
        );
        assert!(error.to_string().ends_with("(AADSTS65001)"), "{error}");
        assert!(format!("{error:?}").contains("c-1"), "{error:?}");
    }
}
