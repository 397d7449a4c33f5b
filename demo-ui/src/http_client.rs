//! Calls of Entra ID and of the API: bounded in time and size, and no redirect is followed, as it
//! would take a code, a secret or a token to wherever it points.

use std::fmt;

use anyhow::Context as _;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::redirect::Policy;

use crate::config::{Settings, is_loopback};

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum HttpError {
    /// The connection was refused or broke off.
    Unreachable,
    /// Nothing came in time.
    Silent,
    /// The answer is longer than is read.
    TooLong,
    /// 429 or 5xx: not now.
    Busy(StatusCode, Option<HeaderValue>),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("unreachable"),
            Self::Silent => f.write_str("timeout"),
            Self::TooLong => f.write_str("answer too long"),
            Self::Busy(status, _) => write!(f, "status {status}"),
        }
    }
}

impl std::error::Error for HttpError {}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A client for these settings.
pub(crate) fn client(settings: &Settings) -> anyhow::Result<reqwest::Client> {
    let mut client = reqwest::Client::builder()
        .redirect(Policy::none())
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout);
    if is_loopback(&settings.authority) && is_loopback(&settings.api_url) {
        client = client.no_proxy();
    }
    client.build().context("cannot set up the HTTP client")
}

/// Sends a request and reads the answer, up to `limit` bytes of body.
pub(crate) async fn send(
    client: &reqwest::Client,
    request: reqwest::Request,
    limit: usize,
) -> Result<Answer, HttpError> {
    let mut response = client.execute(request).await.map_err(|e| kind(&e))?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| kind(&e))? {
        if body.len() + chunk.len() > limit {
            return Err(HttpError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body,
    })
}

impl Answer {
    /// The error that a status of 429 or 5xx is, where nothing else is to be learned from it.
    pub(crate) fn not_busy(self) -> Result<Self, HttpError> {
        if self.status == StatusCode::TOO_MANY_REQUESTS || self.status.is_server_error() {
            let retry_after = self.headers.get(header::RETRY_AFTER).cloned();
            return Err(HttpError::Busy(self.status, retry_after));
        }
        Ok(self)
    }
}

fn kind(error: &reqwest::Error) -> HttpError {
    if error.is_timeout() {
        HttpError::Silent
    } else {
        HttpError::Unreachable
    }
}
