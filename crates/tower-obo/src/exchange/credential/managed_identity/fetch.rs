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
    let text = format!("{settings}: status {status}{}", said(&answer.body));
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

/// What the service says of its error, as far as it fits into a line of a log.
fn said(body: &[u8]) -> String {
    const MAX: usize = 300;
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = ["error_description", "message", "error"]
        .iter()
        .find_map(|name| body[name].as_str());
    let text = text.unwrap_or_default().chars().filter(|c| !c.is_control());
    let text: String = text.take(MAX).collect();
    if text.is_empty() {
        text
    } else {
        format!(": {text}")
    }
}
