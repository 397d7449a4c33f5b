//! The body of a refusal: problem+json (RFC 9457).

use serde::Serialize;

use super::Rejection;

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'static str,
    /// Who has to act.
    actor: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suberror: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aadsts: Option<String>,
    correlation_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

impl Rejection {
    /// The problem document (RFC 9457): what is wrong and who has to act, with the AADSTS code and
    /// the ids that Entra ID's logs know; never a token, a secret, or Entra ID's own prose.
    #[must_use]
    pub fn to_problem_json(&self) -> Vec<u8> {
        let kind = self.kind();
        let exchange = self.exchange_error();
        let problem = Problem {
            r#type: format!("urn:tower-obo:problem:{}", kind.name()),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: self.detail(),
            actor: kind.actor().as_str(),
            scope: self.0.scope.as_deref(),
            error: exchange.and_then(|error| error.oauth_error()),
            suberror: exchange.and_then(|error| error.suberror()),
            aadsts: self.aadsts().map(|code| format!("AADSTS{code}")),
            correlation_id: self.correlation_id(),
            request_id: self.request_id(),
            trace_id: exchange.and_then(|error| error.trace_id()),
        };
        // Strings and numbers always serialise; an empty body is the honest rest.
        serde_json::to_vec(&problem).unwrap_or_default()
    }
}
