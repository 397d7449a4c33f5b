//! What the backend says when Azure Resource Manager says nothing (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Why there is no answer to pass on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Problem {
    /// The connection was refused or broke off.
    Unreachable,
    /// Nothing came in time.
    Silent,
    /// The answer is longer than is passed on.
    TooLong,
}

impl Problem {
    /// A fixed word for logs.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Silent => "timeout",
            Self::TooLong => "too-long",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Unreachable | Self::TooLong => StatusCode::BAD_GATEWAY,
            Self::Silent => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Unreachable => "Azure Resource Manager could not be reached.",
            Self::Silent => "Azure Resource Manager did not answer in time.",
            Self::TooLong => "The answer of Azure Resource Manager is too long to pass on.",
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.detail(),
        });
        let headers = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/problem+json"),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (status, headers, body.to_string()).into_response()
    }
}
