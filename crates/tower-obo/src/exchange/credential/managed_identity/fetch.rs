//! The call of the endpoint that gives out tokens, and its retries.
//!
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling>

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::{super::CredentialError, ManagedIdentity};
use crate::{Secret, Timestamp, http_client::HttpClient};

/// How long one call may take. The service asks Entra ID itself now and then.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 3;

pub(super) struct Fetched {
    pub(super) token: Secret,
    expires: Expires,
    pub(super) refresh_in: Option<Duration>,
}

enum Expires {
    In(Duration),
    At(Timestamp),
}

impl Fetched {
    pub(super) fn lifetime(&self, now: Timestamp) -> Duration {
        match self.expires {
            Expires::In(time) => time,
            Expires::At(end) => end.saturating_since(now),
        }
    }
}

/// Why there is no token.
pub(super) enum Failed {
    /// It may be there after a pause.
    Retry(String),
    /// Nobody answers, as where there is no such endpoint.
    Unreachable(String),
    Refused(String),
}

impl Failed {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Retry(text) | Self::Unreachable(text) | Self::Refused(text) => text,
        }
    }
}

impl From<Failed> for CredentialError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Retry(text) | Failed::Unreachable(text) => Self::Unavailable(text),
            Failed::Refused(text) => Self::Unusable(text),
        }
    }
}

/// Once, and again after growing pauses where that is what the service asks for.
pub(super) async fn with_retries(
    http: &HttpClient,
    settings: &ManagedIdentity,
    resource: &str,
) -> Result<Fetched, Failed> {
    let mut attempt = 0;
    loop {
        match once(http, settings, resource).await {
            Err(Failed::Retry(_)) if attempt < RETRIES => {
                tokio::time::sleep(settings.pause * 2_u32.pow(attempt)).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}

pub(super) async fn once(
    http: &HttpClient,
    settings: &ManagedIdentity,
    resource: &str,
) -> Result<Fetched, Failed> {
    if let Some(problem) = settings.problem() {
        return Err(Failed::Refused(problem));
    }
    let (url, headers) = settings.request(resource);
    let answer = http
        .get_with(&url, headers)
        .await
        .map_err(|error| Failed::Unreachable(format!("{settings}: {error}")))?;
    let status = answer.status;
    if status == StatusCode::OK {
        return read(&answer.body)
            .ok_or_else(|| Failed::Refused(format!("{settings}: the answer is no token")));
    }
    let hint = match status {
        StatusCode::BAD_REQUEST => "; is the identity assigned to this machine or app?",
        _ => "",
    };
    let text = format!("{settings}: status {status}{}{hint}", said(&answer.body));
    let again = matches!(status.as_u16(), 404 | 410 | 429) || status.is_server_error();
    Err(if again {
        Failed::Retry(text)
    } else {
        Failed::Refused(text)
    })
}

fn read(body: &[u8]) -> Option<Fetched> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let token = body["access_token"].as_str()?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let expires = match (seconds(&body["expires_in"]), seconds(&body["expires_on"])) {
        (Some(time), _) => Expires::In(Duration::from_secs(time)),
        (None, Some(end)) => Expires::At(Timestamp::from_unix(end)),
        (None, None) => return None,
    };
    Some(Fetched {
        token: token.into(),
        expires,
        refresh_in: seconds(&body["refresh_in"]).map(Duration::from_secs),
    })
}

/// A number, which often comes as text.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The codes of an error, by which it can be looked up. The platform's prose is not for a log: it hands on
/// what Entra ID says to the operator.
fn said(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = body["error"].as_str().or(body["error"]["code"].as_str());
    let code = code.filter(|code| is_code(code));
    let prose = ["error_description", "message"]
        .iter()
        .find_map(|name| body[name].as_str());
    let mut text = String::new();
    for part in code.into_iter().chain(prose.and_then(aadsts)) {
        text.push_str(if text.is_empty() { ": " } else { ", " });
        text.push_str(part);
    }
    text
}

fn is_code(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

/// The first code of Entra ID's in a text, `AADSTS` and all.
fn aadsts(text: &str) -> Option<&str> {
    const NAME: &str = "AADSTS";
    let code = &text[text.find(NAME)?..];
    let digits = code[NAME.len()..].bytes();
    let digits = digits.take(9).take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| &code[..NAME.len() + digits])
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn of_an_error_its_codes_are_said_and_none_of_its_prose() {
        for (body, expected) in [
            (
                r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
                ": invalid_request",
            ),
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid secret hint-1"}"#,
                ": invalid_client, AADSTS7000215",
            ),
            (r#"{"error":"two words","message":"AADSTS"}"#, ""),
            (
                r#"{"error":{"code":"Conflict","message":"prose"}}"#,
                ": Conflict",
            ),
            (
                r#"{"message":"see AADSTS700016123456789 there"}"#,
                ": AADSTS700016123",
            ),
            ("<html>", ""),
        ] {
            assert_eq!(said(body.as_bytes()), expected, "{body}");
        }
    }
}
