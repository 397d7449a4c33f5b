//! Why an exchange failed, and to whom that matters.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;

use super::aadsts::{Aadsts, Answer};
use crate::{Timestamp, challenge::MAX_CLAIMS, http_client::CallError};

/// A failed exchange. Opaque, cheap to clone (all who waited for the exchange share it), and free
/// of tokens, secrets and of the text that the authorization server wrote for the operator.
#[derive(Clone)]
pub struct ExchangeError(Arc<Details>);

/// What went wrong, by who has to act.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ExchangeErrorKind {
    /// The account may not use the application.
    AccountRefused,
    /// The token stands for an application, not for a user.
    AppOnly,
    /// The authorization server refuses the caller's token.
    AssertionRefused,
    /// A policy blocks the user, and there is nothing to be done about it at sign-in.
    ConditionalAccess,
    /// Consent is missing.
    ConsentRequired,
    /// The user has to satisfy the claims that [`ExchangeError::claims`] has.
    InsufficientClaims,
    /// The user has to sign in again; the authorization server does not say with which claims.
    InteractionRequired,
    /// Our configuration, registration or credential is wrong.
    Misconfigured,
    /// The authorization server asks us to slow down.
    Throttled,
    /// No answer in time.
    Timeout,
    /// The certificate of the authorization server cannot be trusted.
    UntrustedServer,
    /// The authorization server is down or cannot be reached.
    Unavailable,
    /// The answer cannot be used.
    UnusableAnswer,
}

#[derive(Clone)]
struct Details {
    kind: ExchangeErrorKind,
    credential_refused: bool,
    aadsts: Option<u32>,
    error: Option<Box<str>>,
    suberror: Option<Box<str>>,
    claims: Option<Box<str>>,
    correlation_id: Option<Box<str>>,
    trace_id: Option<Box<str>>,
    retry_after: Option<Duration>,
    reason: &'static str,
}

impl ExchangeError {
    /// An error of that kind, with a fixed sentence for the log.
    #[must_use]
    pub fn new(kind: ExchangeErrorKind, reason: &'static str) -> Self {
        Self(Arc::new(Details {
            kind,
            credential_refused: false,
            aadsts: None,
            error: None,
            suberror: None,
            claims: None,
            correlation_id: None,
            trace_id: None,
            retry_after: None,
            reason,
        }))
    }

    /// Adds the claims request (JSON) that the user has to satisfy.
    #[must_use]
    pub fn with_claims(self, claims: impl Into<Box<str>>) -> Self {
        self.edit(|details| details.claims = Some(claims.into()))
    }

    /// Adds how long to wait before the next attempt.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.edit(|details| details.retry_after = Some(wait))
    }

    /// Adds the id that the authorization server's log knows the exchange by.
    #[must_use]
    pub fn with_correlation_id(self, id: impl Into<Box<str>>) -> Self {
        self.edit(|details| details.correlation_id = plain(id.into()))
    }

    /// The same with that id, unless it has one.
    pub(crate) fn or_correlation_id(self, id: &str) -> Self {
        if self.0.correlation_id.is_some() {
            return self;
        }
        self.with_correlation_id(id)
    }

    fn edit(mut self, edit: impl FnOnce(&mut Details)) -> Self {
        edit(Arc::make_mut(&mut self.0));
        self
    }

    /// A downstream API refused its token until the user satisfies these claims (JSON).
    pub(crate) fn challenge(claims: String) -> Self {
        let reason = "the downstream wants the user to satisfy claims";
        Self::new(ExchangeErrorKind::InsufficientClaims, reason).with_claims(claims)
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ExchangeErrorKind {
        match self.0.kind {
            // A challenge that names no claims is one that nobody can answer.
            ExchangeErrorKind::InsufficientClaims if self.0.claims.is_none() => {
                ExchangeErrorKind::InteractionRequired
            }
            kind => kind,
        }
    }

    /// The first AADSTS code of the answer.
    #[must_use]
    pub fn aadsts(&self) -> Option<u32> {
        self.0.aadsts
    }

    /// `error` of RFC 6749 §5.2.
    #[must_use]
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }

    /// Entra ID's `suberror`.
    #[must_use]
    pub fn suberror(&self) -> Option<&str> {
        self.0.suberror.as_deref()
    }

    /// The claims request (JSON) that the user has to satisfy.
    #[must_use]
    pub fn claims(&self) -> Option<&str> {
        self.0.claims.as_deref()
    }

    /// The id that Entra ID's logs know the exchange by.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_deref()
    }

    /// The id that Entra ID's support asks for.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    /// How long to wait before the next attempt, if the server says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same request may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use ExchangeErrorKind as K;
        matches!(self.kind(), K::Throttled | K::Timeout | K::Unavailable)
    }

    /// Whether only the user can mend it.
    #[must_use]
    pub fn needs_user(&self) -> bool {
        use ExchangeErrorKind as K;
        matches!(
            self.kind(),
            K::AccountRefused
                | K::ConditionalAccess
                | K::ConsentRequired
                | K::InsufficientClaims
                | K::InteractionRequired
        )
    }

    /// Whether the authorization server refuses this caller, so that a token it gave before is one
    /// that it would not give now. Such errors are remembered for a short while.
    pub(crate) fn refuses_caller(&self) -> bool {
        use ExchangeErrorKind as K;
        self.needs_user() || matches!(self.kind(), K::AppOnly | K::AssertionRefused)
    }

    /// Whether the server refused our assertion or certificate, so that reading it again may help.
    pub(super) fn refuses_credential(&self) -> bool {
        self.0.credential_refused
    }

    pub(super) fn from_call(error: CallError) -> Self {
        use ExchangeErrorKind as K;
        let kind = match error {
            CallError::Timeout => K::Timeout,
            CallError::Unreachable => K::Unavailable,
            CallError::Tls => K::UntrustedServer,
            CallError::BadBody => K::UnusableAnswer,
        };
        Self::new(
            kind,
            match error {
                CallError::Timeout => "the token endpoint did not answer in time",
                CallError::Unreachable => "the token endpoint cannot be reached",
                CallError::Tls => "the token endpoint's certificate cannot be trusted",
                CallError::BadBody => "the token endpoint's answer is too large or broke off",
            },
        )
    }

    /// Reads an answer that is no success.
    pub(super) fn from_answer(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Self {
        use ExchangeErrorKind as K;
        let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
        let known = body.error_codes.iter().find_map(|code| Aadsts::find(*code));
        let family = || body.error_codes.iter().find_map(|code| family_of(*code));
        let has_claims = body
            .claims
            .as_ref()
            .is_some_and(|claims| (1..=MAX_CLAIMS).contains(&claims.len()));
        let answer = known.map(|known| known.answer);
        let (kind, reason) = if status == StatusCode::TOO_MANY_REQUESTS {
            (K::Throttled, "the token endpoint asks to slow down")
        } else if status.is_server_error() {
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
            aadsts: body.error_codes.first().copied(),
            claims: body.claims.filter(|_| kind == K::InsufficientClaims),
            error: body.error.and_then(plain),
            suberror: body.suberror.and_then(plain),
            correlation_id: body.correlation_id.and_then(plain),
            trace_id: body.trace_id.and_then(plain),
            retry_after: retry_after(headers, now)
                .or_else(|| known.and_then(|known| throttle_of(known.code))),
            reason,
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

fn lenient<'de, D, T>(json: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned + Default,
{
    let value = serde_json::Value::deserialize(json)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Identifiers are passed on only if they look like some.
fn plain(text: Box<str>) -> Option<Box<str>> {
    let fits = !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    fits.then_some(text)
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

impl fmt::Debug for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeError")
            .field("kind", &self.0.kind)
            .field("aadsts", &self.0.aadsts)
            .field("error", &self.0.error)
            .field("suberror", &self.0.suberror)
            .field("correlation_id", &self.0.correlation_id)
            .field("retry_after", &self.0.retry_after)
            .field("reason", &self.0.reason)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.reason)?;
        if let Some(code) = self.0.aadsts {
            write!(f, " (AADSTS{code})")?;
        }
        Ok(())
    }
}

impl Error for ExchangeError {}

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
            ("invalid_grant", "", K::AssertionRefused),
            ("invalid_client", "", K::Misconfigured),
            ("temporarily_unavailable", "", K::Unavailable),
        ] {
            let body = json!({"error": error, "suberror": suberror, "error_codes": [1]});
            assert_eq!(read(400, &body).kind(), kind, "{error} {suberror}");
        }
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
    fn a_challenge_without_claims_asks_for_a_new_sign_in() {
        let bare = ExchangeError::new(K::InsufficientClaims, "");
        assert_eq!(bare.kind(), K::InteractionRequired);
        assert_eq!(bare.with_claims("{}").kind(), K::InsufficientClaims);
    }

    #[test]
    fn an_answer_that_is_no_refusal_is_not_judged_by_its_body() {
        let body = json!({"error": "invalid_grant", "error_codes": [65001], "claims": "{}"});
        for status in [201, 204, 206, 301, 302, 307] {
            assert_eq!(read(status, &body).kind(), K::UnusableAnswer, "{status}");
        }
        assert_eq!(read(429, &body).kind(), K::Throttled);
        assert_eq!(read(503, &body).kind(), K::Unavailable);
    }

    #[test]
    fn only_faults_that_pass_by_themselves_are_transient() {
        for (kind, transient) in [
            (K::AccountRefused, false),
            (K::AppOnly, false),
            (K::AssertionRefused, false),
            (K::ConditionalAccess, false),
            (K::ConsentRequired, false),
            (K::InsufficientClaims, false),
            (K::InteractionRequired, false),
            (K::Misconfigured, false),
            (K::Throttled, true),
            (K::Timeout, true),
            (K::Unavailable, true),
            (K::UntrustedServer, false),
            (K::UnusableAnswer, false),
        ] {
            assert_eq!(
                ExchangeError::new(kind, "").is_transient(),
                transient,
                "{kind:?}"
            );
        }
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
