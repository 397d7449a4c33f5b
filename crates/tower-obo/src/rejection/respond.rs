//! Refusals as responses.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::Rejection;

/// Makes the response of a refusal.
///
/// Closures implement it, for bodies that are not made from [`Bytes`] or for answers of another
/// form:
///
/// ```
/// use tower_obo::{Rejection, RespondWith};
///
/// fn check(_: impl RespondWith<&'static str>) {}
///
/// check(|rejection: &Rejection| {
///     let mut response = http::Response::new("no");
///     *response.status_mut() = rejection.status();
///     response
/// });
/// ```
pub trait RespondWith<B> {
    /// The response to send. The layer puts the rejection into its extensions afterwards.
    fn respond(&self, rejection: &Rejection) -> Response<B>;
}

impl<B, F> RespondWith<B> for F
where
    F: Fn(&Rejection) -> Response<B>,
{
    fn respond(&self, rejection: &Rejection) -> Response<B> {
        self(rejection)
    }
}

/// Answers with problem+json (RFC 9457), and gRPC calls in the form of gRPC: what the layer does
/// unless told otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProblemResponse;

impl<B: From<Bytes>> RespondWith<B> for ProblemResponse {
    fn respond(&self, rejection: &Rejection) -> Response<B> {
        rejection.to_response()
    }
}

impl Rejection {
    /// The response: status, `WWW-Authenticate`, `Retry-After`, `Cache-Control: no-store` and the
    /// problem document, or trailers-only gRPC for a gRPC call.
    #[must_use]
    pub fn to_response<B: From<Bytes>>(&self) -> Response<B> {
        let body = if self.0.grpc {
            Bytes::new()
        } else {
            Bytes::from(self.to_problem_json())
        };
        let mut response = Response::new(B::from(body));
        *response.headers_mut() = self.headers();
        if !self.0.grpc {
            *response.status_mut() = self.status();
        }
        response.extensions_mut().insert(self.clone());
        response
    }

    /// The headers of the response, for answers with a body of one's own.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.www_authenticate() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.retry_after() {
            // Whole seconds (RFC 9110 §10.2.3), and never sooner than asked.
            let seconds = wait.as_nanos().div_ceil(1_000_000_000);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.grpc {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from(self.grpc_status()));
            headers.insert("grpc-message", HeaderValue::from_static(self.detail()));
        } else {
            let problem = HeaderValue::from_static("application/problem+json");
            headers.insert(CONTENT_TYPE, problem);
        }
        headers
    }

    /// `UNAUTHENTICATED`, `PERMISSION_DENIED`, `DEADLINE_EXCEEDED` or `UNAVAILABLE`.
    fn grpc_status(&self) -> u16 {
        match self.status().as_u16() {
            400 | 401 => 16,
            403 => 7,
            504 => 4,
            _ => 14,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RejectionKind as K;

    #[test]
    fn nobody_is_told_to_come_sooner_than_was_asked() {
        use crate::{ExchangeError, ExchangeErrorKind};
        for (micros, seconds) in [
            (0, "0"),
            (1, "1"),
            (500_000, "1"),
            (1_000_000, "1"),
            (1_000_001, "2"),
        ] {
            let wait = std::time::Duration::from_micros(micros);
            let error = ExchangeError::new(ExchangeErrorKind::Throttled, "").with_retry_after(wait);
            let rejection = Rejection::exchange(error, &std::sync::Arc::default());
            assert_eq!(rejection.headers()[RETRY_AFTER], seconds, "{micros} µs");
        }
    }

    #[test]
    fn a_grpc_caller_can_tell_what_passes_by_itself_from_what_was_too_late() {
        for (kind, status) in [
            (K::IdentityProviderTimeout, "4"),
            (K::IdentityProviderUnavailable, "14"),
            (K::Throttled, "14"),
            (K::ConsentRequired, "7"),
            (K::MissingToken, "16"),
        ] {
            let rejection = Rejection::new(kind, "why", &std::sync::Arc::default());
            let headers = rejection.for_grpc(true).headers();
            assert_eq!(headers["grpc-status"], status, "{kind:?}");
        }
    }
}
