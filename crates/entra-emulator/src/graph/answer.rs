//! Graph's errors and the headers of everything it says.
//!
//! <https://learn.microsoft.com/graph/errors>

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::clock::graph_time;
use crate::directory::demo;
use crate::encoding::{guid, is_guid};
use crate::state::State;

/// Status, code, message, and what the challenge of a 401 says besides where to sign in.
#[derive(Clone, Debug)]
pub(super) struct GraphError {
    status: StatusCode,
    code: &'static str,
    message: String,
    challenge: Option<String>,
}

impl GraphError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            challenge: None,
        }
    }

    /// 401.
    pub(super) fn token(message: &str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "InvalidAuthenticationToken",
            message,
        )
    }

    /// Continuous access evaluation: the sign-in behind the token was revoked. `claims` is base64.
    pub(super) fn revoked(claims: &str) -> Self {
        Self {
            challenge: Some(format!(
                ", error=\"insufficient_claims\", claims=\"{claims}\""
            )),
            ..Self::token(
                "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp",
            )
        }
    }

    /// 403.
    pub(super) fn denied() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        )
    }

    pub(super) fn only_delegated() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "/me request is only valid with delegated authentication flow.",
        )
    }

    pub(super) fn not_emulated(method: &Method, path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!(
                "entra-emulator does not emulate {method} {path}. It has GET /v1.0/me, applications, servicePrincipals and oauth2PermissionGrants."
            ),
        )
    }

    /// 400: what was written can't be.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Request_BadRequest", message)
    }

    pub(super) fn bad_as(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn no_json() -> Self {
        Self::bad_as(
            "BadRequest",
            "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.",
        )
    }

    pub(super) fn unknown_property(path: &str) -> Self {
        Self::bad(format!("Invalid property '{path}'."))
    }

    pub(super) fn read_only(name: &str) -> Self {
        Self::bad(format!("Property '{name}' is read-only and cannot be set."))
    }

    pub(super) fn wrong_type(path: &str) -> Self {
        Self::bad(format!(
            "Invalid value specified for property '{path}': it is of another type."
        ))
    }

    pub(super) fn invalid(path: &str, why: &str) -> Self {
        Self::bad(format!(
            "Invalid value specified for property '{path}': {why}"
        ))
    }

    pub(super) fn missing(name: &str) -> Self {
        Self::bad(format!(
            "A value is required for property '{name}' of resource."
        ))
    }

    pub(super) fn filter(text: &str) -> Self {
        Self::bad_as(
            "BadRequest",
            format!(
                "Invalid filter clause: {text:?} is no filter that entra-emulator knows (eq, startswith and any, joined by and)."
            ),
        )
    }

    pub(super) fn filter_property(property: &str, kind: &str) -> Self {
        Self::bad_as(
            "Request_UnsupportedQuery",
            format!(
                "Unsupported or invalid query filter clause specified for property '{property}' of resource '{kind}'."
            ),
        )
    }

    pub(super) fn query_option(name: &str) -> Self {
        Self::bad_as(
            "Request_UnsupportedQuery",
            format!(
                "entra-emulator does not know the query option {name:?}; it has $filter and $select."
            ),
        )
    }

    pub(super) fn not_found(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Request_ResourceNotFound",
            format!(
                "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
            ),
        )
    }

    /// The same thing is there already. Graph says so with 400 or with 409, as it happens.
    pub(super) fn there_already(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "Request_MultipleObjectsWithSameKeyValue", message)
    }
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Done {
    Read(Value),
    Made(Value),
    /// Changed or removed; there is nothing to say.
    Changed,
}

/// Identifiers of one request to Graph.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    request: String,
    client: String,
    date: String,
}

impl Ids {
    pub(super) fn new(now: i64, headers: &HeaderMap) -> Self {
        let request = guid();
        let client = headers
            .get("client-request-id")
            .and_then(|value| value.to_str().ok())
            .filter(|id| is_guid(id))
            .map_or_else(|| request.clone(), str::to_owned);
        Self {
            request,
            client,
            date: graph_time(now),
        }
    }

    pub(super) fn success(&self, body: &Value) -> Response {
        let mut response = Json(body).into_response();
        self.stamp(&mut response);
        response
    }

    pub(super) fn done(&self, done: &Done) -> Response {
        let mut response = match done {
            Done::Read(body) => Json(body).into_response(),
            Done::Made(body) => (StatusCode::CREATED, Json(body)).into_response(),
            Done::Changed => StatusCode::NO_CONTENT.into_response(),
        };
        self.stamp(&mut response);
        response
    }

    pub(super) fn failure(&self, state: &State, error: &GraphError) -> Response {
        tracing::debug!(code = error.code, "Graph refused");
        let body = json!({"error": {
            "code": error.code,
            "message": error.message,
            "innerError": {
                "date": self.date,
                "request-id": self.request,
                "client-request-id": self.client,
            },
        }});
        let mut response = (error.status, Json(body)).into_response();
        self.stamp(&mut response);
        if error.status == StatusCode::UNAUTHORIZED {
            let challenge = format!(
                "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/authorize\", client_id=\"{}\"{}",
                state.url,
                demo::GRAPH_CLIENT_ID,
                error.challenge.as_deref().unwrap_or_default()
            );
            if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, challenge);
            }
        }
        response
    }

    fn stamp(&self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        for (name, id) in [
            ("request-id", &self.request),
            ("client-request-id", &self.client),
        ] {
            if let Ok(id) = HeaderValue::from_str(id) {
                headers.insert(name, id);
            }
        }
    }
}
