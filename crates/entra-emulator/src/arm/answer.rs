//! ARM's errors and the headers of everything it says.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::clock::{compact_time, us_time};
use crate::encoding::{guid, is_guid};

const AUDIENCES: &str = "https://management.core.windows.net/','https://management.core.windows.net','https://management.azure.com/','https://management.azure.com";

/// A CloudError: status, code, message, and a challenge where the token is at fault.
#[derive(Clone, Debug)]
pub(super) struct ArmError {
    status: StatusCode,
    code: &'static str,
    message: String,
    challenge: Option<String>,
    /// Seconds.
    retry_after: Option<u32>,
}

/// What a read is counted as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reads {
    Tenant,
    Subscription,
}

impl Reads {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Subscription => "subscription",
        }
    }

    const fn header(self) -> &'static str {
        match self {
            Self::Tenant => "x-ms-ratelimit-remaining-tenant-reads",
            Self::Subscription => "x-ms-ratelimit-remaining-subscription-reads",
        }
    }
}

impl ArmError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            challenge: None,
            retry_after: None,
        }
    }

    /// 401 with `WWW-Authenticate`.
    fn unauthorized(
        authority: &str,
        code: &'static str,
        message: impl Into<String>,
        description: &str,
    ) -> Self {
        Self {
            challenge: Some(format!(
                "Bearer authorization_uri=\"{authority}\", error=\"invalid_token\", error_description=\"{description}\""
            )),
            ..Self::new(StatusCode::UNAUTHORIZED, code, message)
        }
    }

    pub(super) fn missing_authorization(authority: &str) -> Self {
        Self::unauthorized(
            authority,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
            "The authentication failed because of missing 'Authorization' header.",
        )
    }

    pub(super) fn bad_scheme(authority: &str) -> Self {
        Self::unauthorized(
            authority,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is provided in an invalid format.",
            "The authentication failed because of an invalid 'Authorization' header.",
        )
    }

    pub(super) fn invalid_token(authority: &str) -> Self {
        Self::unauthorized(
            authority,
            "InvalidAuthenticationToken",
            "The access token is invalid.",
            "The access token is invalid.",
        )
    }

    pub(super) fn expired(authority: &str, expired: i64, now: i64) -> Self {
        Self::unauthorized(
            authority,
            "ExpiredAuthenticationToken",
            format!(
                "The access token expiry UTC time '{}' is earlier than current UTC time '{}'.",
                us_time(expired),
                us_time(now)
            ),
            "The access token expired.",
        )
    }

    pub(super) fn wrong_audience(authority: &str, audience: &str) -> Self {
        Self::unauthorized(
            authority,
            "InvalidAuthenticationTokenAudience",
            format!(
                "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match with one of the allowed audiences '{AUDIENCES}'."
            ),
            "The access token has been obtained from wrong audience or resource.",
        )
    }

    pub(super) fn wrong_tenant(authority: &str, issuer: &str) -> Self {
        Self::unauthorized(
            authority,
            "InvalidAuthenticationTokenTenant",
            format!(
                "The access token is from the wrong issuer '{issuer}'. It must match the tenant associated with this subscription. Please use the authority (URL) '{authority}' to get the token."
            ),
            "The access token is from the wrong issuer.",
        )
    }

    /// Continuous access evaluation: the sign-in behind the token was revoked. `claims` is base64.
    pub(super) fn revoked(authority: &str, claims: &str) -> Self {
        Self {
            challenge: Some(format!(
                "Bearer realm=\"\", authorization_uri=\"{authority}/oauth2/authorize\", error=\"insufficient_claims\", claims=\"{claims}\""
            )),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "AuthenticationFailed",
                "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp",
            )
        }
    }

    pub(super) fn missing_api_version() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    }

    pub(super) fn invalid_api_version(version: &str, known: &[&str]) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidApiVersionParameter",
            format!(
                "The api-version '{version}' is invalid. The supported versions are '{}'.",
                known.join(",")
            ),
        )
    }

    pub(super) fn invalid_skip_token() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidSkipToken",
            "The skip token is invalid.",
        )
    }

    pub(super) fn no_subscription(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "SubscriptionNotFound",
            format!("The subscription '{id}' could not be found."),
        )
    }

    pub(super) fn no_resource_group(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ResourceGroupNotFound",
            format!("Resource group '{name}' could not be found."),
        )
    }

    pub(super) fn throttled(reads: Reads, seconds: u32) -> Self {
        let code = match reads {
            Reads::Tenant => "TooManyRequests",
            Reads::Subscription => "SubscriptionRequestsThrottled",
        };
        let message = format!(
            "Number of {} read requests exceeded the limit. Please try again after '{seconds}' seconds.",
            reads.word()
        );
        Self {
            retry_after: Some(seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, message)
        }
    }

    pub(super) fn not_emulated(method: &Method, path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!(
                "entra-emulator does not emulate {method} {path}. It has GET /subscriptions, /subscriptions/{{id}}, /subscriptions/{{id}}/resourcegroups[/{{name}}] and /tenants."
            ),
        )
    }

    fn body(&self) -> Value {
        json!({"error": {"code": self.code, "message": self.message}})
    }
}

/// Identifiers of one request to ARM.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    request: String,
    correlation: String,
    routing: String,
    client: Option<String>,
}

impl Ids {
    pub(super) fn new(now: i64, headers: &HeaderMap) -> Self {
        let given = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .filter(|id| is_guid(id))
                .map(str::to_owned)
        };
        let request = guid();
        let echo = headers
            .get("x-ms-return-client-request-id")
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        Self {
            correlation: given("x-ms-correlation-request-id").unwrap_or_else(|| request.clone()),
            routing: format!("EMULATOR:{}:{}", compact_time(now), guid()),
            client: given("x-ms-client-request-id").filter(|_| echo),
            request,
        }
    }

    pub(super) fn success(&self, body: &Value, reads: Reads, left: u32) -> Response {
        let mut response = Json(body).into_response();
        self.stamp(&mut response);
        let left = HeaderValue::from(left);
        response.headers_mut().insert(reads.header(), left);
        response
    }

    pub(super) fn failure(&self, error: &ArmError) -> Response {
        tracing::debug!(code = error.code, "ARM refused");
        let mut response = (error.status, Json(error.body())).into_response();
        self.stamp(&mut response);
        let headers = response.headers_mut();
        headers.insert("x-ms-failure-cause", HeaderValue::from_static("gateway"));
        let challenge = error
            .challenge
            .as_ref()
            .and_then(|challenge| HeaderValue::from_str(challenge).ok());
        if let Some(seconds) = error.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    fn stamp(&self, response: &mut Response) {
        let headers = response.headers_mut();
        for (name, value) in [
            ("cache-control", "no-cache"),
            ("pragma", "no-cache"),
            ("expires", "-1"),
            (
                "strict-transport-security",
                "max-age=31536000; includeSubDomains",
            ),
            ("x-content-type-options", "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let ids = [
            ("x-ms-request-id", Some(&self.request)),
            ("x-ms-correlation-request-id", Some(&self.correlation)),
            ("x-ms-routing-request-id", Some(&self.routing)),
            ("x-ms-client-request-id", self.client.as_ref()),
        ];
        for (name, id) in ids {
            if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
                headers.insert(name, id);
            }
        }
    }
}
