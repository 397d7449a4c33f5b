//! Client credentials: a token for the application itself.

use super::{Form, Grant};
use crate::exchange::ExchangeRequest;

/// RFC 6749 §4.4. Nothing of a caller is in it, even if the request should hold something.
pub(super) struct ClientCredentials;

impl Grant for ClientCredentials {
    fn write(&self, request: &ExchangeRequest, form: &mut Form) -> Result<(), &'static str> {
        form.push("grant_type", "client_credentials");
        form.push("scope", &request.scopes.join(" "));
        if let Some(claims) = &request.claims {
            form.push("claims", claims);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GrantType, Secret};

    #[test]
    fn nothing_of_a_caller_goes_into_a_request_for_the_application() {
        let request = ExchangeRequest {
            grant: GrantType::ClientCredentials,
            tenant: "t".into(),
            assertion: Some(Secret::from("alices-token")),
            scopes: ["api://jobs/.default".into()].into(),
            audiences: [].into(),
            resources: [].into(),
            claims: None,
            correlation_id: "c".into(),
        };
        let mut form = Form::default();
        ClientCredentials.write(&request, &mut form).unwrap();
        assert_eq!(
            *form.into_body(),
            "grant_type=client_credentials&scope=api%3A%2F%2Fjobs%2F.default"
        );
    }
}
