//! What came back, and whether it is what a case demands.

use http::{
    HeaderMap, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::BodyExt;
use tower_obo::{Rejection, RejectionKind, TokenDefect};

use crate::{challenge::Challenge, fixture::Body};

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) rejection: Option<Rejection>,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
            rejection: parts.extensions.get().cloned(),
        }
    }

    pub(crate) fn problem(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }

    pub(crate) fn challenge(&self) -> Option<Challenge> {
        Challenge::of(&self.headers)
    }

    /// The last part of the problem type.
    pub(crate) fn problem_type(&self) -> String {
        let problem = self.problem();
        let kind = problem["type"].as_str().unwrap();
        kind.rsplit(':').next().unwrap().to_owned()
    }

    /// What every refusal has.
    pub(crate) fn is_a_refusal(&self, case: &str) {
        let problem = self.problem();
        let header = |name| self.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header(CACHE_CONTROL), Some("no-store"), "{case}");
        let kind = header(CONTENT_TYPE);
        assert_eq!(kind, Some("application/problem+json"), "{case}");
        assert_eq!(problem["status"], self.status.as_u16(), "{case}");
        assert!(!problem["correlation_id"].as_str().unwrap().is_empty());
        assert!(!problem["actor"].as_str().unwrap().is_empty());
        let rejection = self.rejection.as_ref().unwrap();
        assert_eq!(rejection.status(), self.status, "{case}");
    }

    pub(crate) fn does_not_hold(&self, needle: &str, case: &str) {
        let needle = needle.to_ascii_lowercase();
        assert!(
            !self.body.to_ascii_lowercase().contains(&needle),
            "{case}: the body repeats {needle:?}"
        );
        for (name, value) in &self.headers {
            let value = value.to_str().unwrap().to_ascii_lowercase();
            assert!(
                !value.contains(&needle),
                "{case}: {name} repeats {needle:?}"
            );
        }
    }

    /// A challenge with exactly these parameters besides the realm.
    pub(crate) fn challenges(&self, case: &str, status: u16, params: &[&str]) -> Challenge {
        assert_eq!(self.status.as_u16(), status, "{case}: {}", self.body);
        let challenge = self.challenge().unwrap();
        assert_eq!(challenge.scheme, "Bearer", "{case}");
        let mut expected = [params, &["realm"]].concat();
        expected.sort_unstable();
        assert_eq!(challenge.names(), expected, "{case}");
        challenge
    }

    /// C0: 401 without an error.
    pub(crate) fn asks_for_a_token(&self, case: &str) {
        self.challenges(case, 401, &[]);
    }

    /// C1: 401 with `invalid_token` and a fixed description.
    pub(crate) fn is_invalid_token(&self, case: &str) {
        let challenge = self.challenges(case, 401, &["error", "error_description"]);
        assert_eq!(challenge.get("error"), Some("invalid_token"), "{case}");
        let detail = self.rejection.as_ref().unwrap().detail();
        assert_eq!(challenge.get("error_description"), Some(detail), "{case}");
    }

    /// C1, for this reason.
    pub(crate) fn has_defect(&self, case: &str, defect: TokenDefect) {
        self.is_invalid_token(case);
        let kind = self.rejection.as_ref().unwrap().kind();
        assert_eq!(kind, RejectionKind::InvalidToken(defect), "{case}");
        let challenge = self.challenge().unwrap();
        let description = challenge.get("error_description");
        assert_eq!(description, Some(defect.description()), "{case}");
    }

    /// C2: 400 with `invalid_request`.
    pub(crate) fn is_invalid_request(&self, case: &str) {
        let challenge = self.challenges(case, 400, &["error", "error_description"]);
        assert_eq!(challenge.get("error"), Some("invalid_request"), "{case}");
    }

    /// C3: 403 with `insufficient_scope` that names what was needed.
    pub(crate) fn lacks_scope(&self, case: &str, scope: &str) {
        let challenge = self.challenges(case, 403, &["error", "scope"]);
        assert_eq!(challenge.get("error"), Some("insufficient_scope"), "{case}");
        assert_eq!(challenge.get("scope"), Some(scope), "{case}");
    }
}
