//! An error of the token and authorization endpoints, and how it looks on the wire.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::clock::entra_time;
use crate::encoding::{guid, is_guid};

/// What Entra says when it refuses: the OAuth error, the AADSTS code and the text.
#[derive(Clone, Debug)]
pub(crate) struct AadError {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) code: u32,
    pub(crate) message: String,
    pub(crate) suberror: Option<&'static str>,
    /// Boxed, as few errors have it and all are carried in `Result`s.
    pub(crate) claims: Option<Box<Value>>,
}

impl AadError {
    pub(crate) fn new(error: &'static str, code: u32, message: impl Into<String>) -> Self {
        let status = if error == "invalid_client" {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::BAD_REQUEST
        };
        Self {
            status,
            error,
            code,
            message: message.into(),
            suberror: None,
            claims: None,
        }
    }

    pub(crate) fn suberror(mut self, suberror: &'static str) -> Self {
        self.suberror = Some(suberror);
        self
    }

    pub(crate) fn claims(mut self, claims: Value) -> Self {
        self.claims = Some(Box::new(claims));
        self
    }

    /// `AADSTS50013: …` with the three identifying lines that follow it on the wire.
    pub(crate) fn description(&self, ids: &RequestIds) -> String {
        format!(
            "AADSTS{}: {}\r\nTrace ID: {}\r\nCorrelation ID: {}\r\nTimestamp: {}",
            self.code, self.message, ids.trace, ids.correlation, ids.timestamp
        )
    }

    pub(crate) fn body(&self, ids: &RequestIds, base: &str) -> Value {
        let mut body = json!({
            "error": self.error,
            "error_description": self.description(ids),
            "error_codes": [self.code],
            "timestamp": ids.timestamp,
            "trace_id": ids.trace,
            "correlation_id": ids.correlation,
            "error_uri": format!("{base}/error?code={}", self.code),
        });
        if let Some(suberror) = self.suberror {
            body["suberror"] = suberror.into();
        }
        if let Some(claims) = &self.claims {
            body["claims"] = claims.to_string().into();
        }
        body
    }

    pub(crate) fn response(&self, ids: &RequestIds, base: &str) -> Response {
        (self.status, Json(self.body(ids, base))).into_response()
    }
}

/// The identifiers of one request, as they appear in errors and response headers.
#[derive(Clone, Debug)]
pub(crate) struct RequestIds {
    pub(crate) trace: String,
    pub(crate) correlation: String,
    pub(crate) timestamp: String,
    echo: bool,
}

impl RequestIds {
    /// Takes the caller's `client-request-id` (a header, or as msal-node does a parameter) when it
    /// is a GUID: it goes into pages and headers, so nothing else is accepted.
    pub(crate) fn new(now: i64, headers: &HeaderMap, parameter: Option<&str>) -> Self {
        let given = headers
            .get("client-request-id")
            .and_then(|value| value.to_str().ok())
            .or(parameter)
            .filter(|id| is_guid(id));
        Self {
            trace: guid(),
            correlation: given.map_or_else(guid, str::to_owned),
            timestamp: entra_time(now),
            echo: given.is_some(),
        }
    }

    /// Adds the headers that every answer of the token endpoint carries.
    pub(crate) fn stamp(&self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(
            "x-ms-ests-server",
            HeaderValue::from_static("entra-emulator"),
        );
        if let Ok(trace) = HeaderValue::from_str(&self.trace) {
            headers.insert("x-ms-request-id", trace);
        }
        if self.echo
            && let Ok(id) = HeaderValue::from_str(&self.correlation)
        {
            headers.insert("client-request-id", id);
        }
    }
}
