//! On-Behalf-Of: a token for the user whose token the caller has shown.

use super::{Form, Grant};
use crate::exchange::ExchangeRequest;

/// OAuth 2.0 On-Behalf-Of as Entra ID has it: RFC 7523 with `requested_token_use`.
///
/// Only the scopes of the resource are asked for, never `offline_access`: without it no refresh
/// token is issued that could leak.
pub(super) struct OnBehalfOf;

impl Grant for OnBehalfOf {
    fn write(&self, request: &ExchangeRequest, form: &mut Form) -> Result<(), &'static str> {
        let assertion = request.assertion.as_ref();
        let assertion = assertion.ok_or("there is no caller to exchange a token for")?;
        form.push("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
        form.push("requested_token_use", "on_behalf_of");
        form.push("assertion", assertion.expose());
        form.push("scope", &request.scopes.join(" "));
        if let Some(claims) = &request.claims {
            form.push("claims", claims);
        }
        Ok(())
    }
}
