//! The answers that the gateway gives itself: problem+json (RFC 9457) that says who has to act.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};

use super::{body::ResponseBody, grpc};
use crate::metrics::Refusal;

/// The header that joins an answer, the log and the upstream's log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One answer, apart from the request it is for. All texts are fixed: nothing of the request is
/// repeated.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    detail: Option<&'static str>,
    actor: &'static str,
    close: bool,
    allow: Option<HeaderValue>,
    retry_after: Option<u32>,
    grpc: bool,
}

const CALLER: &str = "caller";
const GATEWAY: &str = "gateway";
const UPSTREAM: &str = "upstream";

impl Answer {
    const fn new(
        status: StatusCode,
        name: &'static str,
        title: &'static str,
        actor: &'static str,
    ) -> Self {
        Self {
            status,
            name,
            title,
            detail: None,
            actor,
            close: false,
            allow: None,
            retry_after: None,
            grpc: false,
        }
    }

    /// The connection's framing can't be trusted, or not any more: 400 and the end of it.
    pub(crate) const fn bad_framing(detail: &'static str) -> Self {
        Self::bad_request(detail).closing()
    }

    pub(crate) const fn bad_request(detail: &'static str) -> Self {
        let title = "The request is not well-formed";
        Self::new(StatusCode::BAD_REQUEST, "bad-request", title, CALLER).because(detail)
    }

    pub(crate) const fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", CALLER)
    }

    pub(crate) fn method_not_allowed(allow: HeaderValue) -> Self {
        let title = "The method is not allowed here";
        let mut answer = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            title,
            CALLER,
        );
        answer.allow = Some(allow);
        answer
    }

    pub(crate) const fn head_too_large() -> Self {
        let title = "The request's headers are too large";
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head-too-large",
            title,
            CALLER,
        )
        .closing()
    }

    pub(crate) const fn target_too_long() -> Self {
        let title = "The path and query are too long";
        Self::new(StatusCode::URI_TOO_LONG, "target-too-long", title, CALLER)
    }

    pub(crate) const fn misdirected() -> Self {
        let title = "This host is not served here";
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected-request",
            title,
            CALLER,
        )
    }

    pub(crate) const fn unknown_expectation() -> Self {
        let title = "Only `Expect: 100-continue` is understood";
        Self::new(
            StatusCode::EXPECTATION_FAILED,
            "unknown-expectation",
            title,
            CALLER,
        )
    }

    pub(crate) const fn unknown_coding() -> Self {
        let title = "Only the transfer coding `chunked` is understood";
        Self::new(StatusCode::NOT_IMPLEMENTED, "unknown-coding", title, CALLER).closing()
    }

    pub(crate) const fn body_too_slow() -> Self {
        let title = "The request's body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", title, CALLER).closing()
    }

    pub(crate) const fn body_too_large() -> Self {
        let title = "The request's body is too large";
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            title,
            CALLER,
        )
        .closing()
    }

    pub(crate) const fn too_many_requests() -> Self {
        let title = "Too many requests at once";
        let mut answer = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-requests",
            title,
            GATEWAY,
        );
        answer.retry_after = Some(1);
        answer
    }

    pub(crate) const fn panicked() -> Self {
        let title = "The gateway failed";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal-error",
            title,
            GATEWAY,
        )
        .closing()
    }

    /// The upstream can't be reached, breaks off, or answers with what is no HTTP.
    pub(crate) const fn bad_upstream(detail: &'static str) -> Self {
        let title = "The service behind the gateway failed";
        Self::new(StatusCode::BAD_GATEWAY, "upstream-failed", title, UPSTREAM).because(detail)
    }

    pub(crate) const fn silent_upstream(detail: &'static str) -> Self {
        let title = "The service behind the gateway did not answer in time";
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "upstream-timeout",
            title,
            UPSTREAM,
        )
        .because(detail)
    }

    /// The request's own time is over, whoever took it.
    pub(crate) const fn out_of_time() -> Self {
        let title = "The whole request took too long";
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "request-timeout",
            title,
            GATEWAY,
        )
    }

    const fn because(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The same, and the end of the connection.
    pub(crate) const fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The same in the form of gRPC, if the request is a gRPC call.
    pub(crate) const fn for_grpc(mut self, grpc: bool) -> Self {
        self.grpc = grpc;
        self
    }

    /// What it tells, for who counts and logs.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) const fn refusal(&self) -> Refusal {
        Refusal {
            problem: self.name,
            actor: self.actor,
        }
    }

    /// The response, for the request with that id.
    pub(crate) fn into_response(self, id: &HeaderValue) -> Response<ResponseBody> {
        let id_text = id.to_str().unwrap_or_default();
        self.log(id_text);
        let refusal = self.refusal();
        let mut response = Response::new(ResponseBody::whole(Bytes::new()));
        if self.grpc {
            grpc::say(
                response.headers_mut(),
                self.status,
                self.detail.unwrap_or(self.title),
            );
        } else {
            *response.status_mut() = self.status;
            *response.body_mut() = ResponseBody::whole(self.document(id_text));
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static("application/problem+json"),
            );
        }
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, allow);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(refusal);
        response
    }

    /// The document alone, for the request with that id, whose answer is written elsewhere.
    pub(crate) fn document_for(&self, id: &str) -> Bytes {
        self.log(id);
        self.document(id)
    }

    fn log(&self, id: &str) {
        tracing::debug!(
            reason = self.name,
            detail = self.detail,
            status = self.status.as_u16(),
            request_id = id,
            "request refused"
        );
    }

    fn document(&self, id: &str) -> Bytes {
        let mut document = serde_json::json!({
            "type": format!("urn:tower-obo:problem:{}", self.name),
            "title": self.title,
            "status": self.status.as_u16(),
            "actor": self.actor,
            "correlation_id": id,
        });
        if let (Some(detail), Some(object)) = (self.detail, document.as_object_mut()) {
            object.insert("detail".to_owned(), detail.into());
        }
        Bytes::from(document.to_string())
    }
}
