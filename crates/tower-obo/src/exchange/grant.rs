//! The grants: what a token request has to say. One grant, one implementation of [`Grant`].

use super::ExchangeRequest;

/// A token request body in the making (RFC 6749, appendix B).
#[derive(Default)]
pub(super) struct Form(String);

impl Form {
    pub(super) fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                    self.0.push(char::from(byte));
                }
                b' ' => self.0.push('+'),
                _ => {
                    const HEX: &[u8; 16] = b"0123456789ABCDEF";
                    self.0.push('%');
                    self.0.push(char::from(HEX[usize::from(byte >> 4)]));
                    self.0.push(char::from(HEX[usize::from(byte & 15)]));
                }
            }
        }
    }

    pub(super) fn into_body(self) -> String {
        self.0
    }
}

/// A way to ask for a token.
pub(super) trait Grant {
    fn write(&self, request: &ExchangeRequest, form: &mut Form);
}

/// OAuth 2.0 On-Behalf-Of as Entra ID has it: RFC 7523 with `requested_token_use`.
///
/// Only the scopes of the resource are asked for, never `offline_access`: without it no refresh
/// token is issued that could leak.
pub(super) struct OnBehalfOf;

impl Grant for OnBehalfOf {
    fn write(&self, request: &ExchangeRequest, form: &mut Form) {
        form.push("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
        form.push("requested_token_use", "on_behalf_of");
        form.push("assertion", request.assertion.expose());
        form.push("scope", &request.scopes.join(" "));
        if let Some(claims) = &request.claims {
            form.push("claims", claims);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded_so_that_no_value_becomes_a_parameter() {
        let mut form = Form::default();
        form.push("a", "x&b=y z");
        form.push("c", "ä~");
        assert_eq!(form.into_body(), "a=x%26b%3Dy+z&c=%C3%A4%7E");
    }
}
