//! The `claims` parameter (OpenID Connect Core §5.5): capabilities, and what a challenge asked for.

use serde_json::Value;

use crate::aadsts;
use crate::error::AadError;

/// What a request's `claims` asks of the access token.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ClaimsRequest {
    /// Client capabilities, `cp1` being the one there is.
    pub(crate) capabilities: Vec<String>,
    /// Authentication contexts.
    pub(crate) acrs: Vec<String>,
    /// A policy or an authentication context is to be satisfied.
    pub(crate) step_up: bool,
}

impl ClaimsRequest {
    pub(crate) fn parse(claims: Option<&str>) -> Result<Self, AadError> {
        let Some(claims) = claims else {
            return Ok(Self::default());
        };
        let claims: Value =
            serde_json::from_str(claims).map_err(|_| aadsts::invalid_value("claims"))?;
        if !claims.is_object() {
            return Err(aadsts::invalid_value("claims"));
        }
        let token = &claims["access_token"];
        let acrs = values(&token["acrs"]);
        Ok(Self {
            capabilities: values(&token["xms_cc"]),
            step_up: !acrs.is_empty()
                || ["polids", "capolids"]
                    .iter()
                    .any(|name| !values(&token[*name]).is_empty()),
            acrs,
        })
    }
}

/// `{"values": […]}` or `{"value": …}`.
fn values(request: &Value) -> Vec<String> {
    let several = request["values"].as_array().into_iter().flatten();
    several
        .chain([&request["value"]])
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_and_challenges_are_told_apart() {
        let capable =
            ClaimsRequest::parse(Some(r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#))
                .unwrap();
        assert_eq!(capable.capabilities, ["cp1"]);
        assert!(!capable.step_up);

        let challenged = ClaimsRequest::parse(Some(
            r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#,
        ))
        .unwrap();
        assert_eq!(challenged.acrs, ["c1"]);
        assert!(challenged.step_up);

        assert!(ClaimsRequest::parse(Some("[]")).is_err());
        assert!(ClaimsRequest::parse(Some("{")).is_err());
    }
}
