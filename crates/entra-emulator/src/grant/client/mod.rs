//! Which application asks, and whether it is that application (RFC 6749 §2.3).

mod assertion;
mod basic;
mod certificate;
mod federated;

use axum::http::HeaderMap;

use self::assertion::Assertion;
use crate::aadsts;
use crate::directory::{Application, Directory};
use crate::encoding::secrets_match;
use crate::error::AadError;
use crate::form::Form;
use crate::state::State;
use crate::tenant::Authority;
use crate::token::claims::Authentication;

/// Takes one credential: a secret from the form or from HTTP Basic, or a client assertion.
pub(super) async fn authenticate<'a>(
    state: &State,
    authority: &Authority,
    directory: &'a Directory,
    headers: &HeaderMap,
    form: &Form,
) -> Result<(&'a Application, Authentication), AadError> {
    let basic = basic::credentials(headers)?;
    let client_id = match (&basic, form.get("client_id")) {
        (Some((id, _)), Some(other)) if !id.eq_ignore_ascii_case(other) => {
            return Err(aadsts::invalid_value("client_id"));
        }
        (Some((id, _)), _) => id,
        (None, Some(id)) => id,
        (None, None) => return Err(aadsts::missing_body_parameter("client_id")),
    };
    let client = authority.client(directory, client_id)?;
    let secret = match (&basic, form.get("client_secret")) {
        (Some(_), Some(_)) => return Err(aadsts::invalid_value("client_secret")),
        (Some((_, secret)), None) => Some(secret.as_str()),
        (None, secret) => secret,
    };
    let assertion = assertion::of_form(form)?;
    if client.is_public() {
        return match (secret, assertion) {
            (None, None) => Ok((client, Authentication::None)),
            _ => Err(aadsts::public_client_with_secret()),
        };
    }
    match (secret, assertion) {
        (Some(_), Some(_)) => Err(aadsts::invalid_value("client_assertion")),
        (Some(secret), None) => {
            let mut all = client.secrets.iter();
            let Some(own) = all.find(|own| secrets_match(own, secret)) else {
                return Err(aadsts::wrong_secret(client_id));
            };
            let known = client.registration.password(own);
            if known.is_some_and(|known| known.end <= state.now()) {
                return Err(aadsts::expired_secret(client_id));
            }
            // No page says what Entra ID answers to one that is not good yet. It is none so far.
            if known.is_some_and(|known| known.start > state.now()) {
                return Err(aadsts::wrong_secret(client_id));
            }
            Ok((client, Authentication::Secret))
        }
        (None, Some(assertion)) => {
            let assertion = Assertion::parse(assertion)?;
            if assertion.is_of_another_issuer() {
                federated::check(state, client, &assertion).await?;
            } else {
                certificate::check(state, authority, client, &assertion)?;
            }
            Ok((client, Authentication::Assertion))
        }
        (None, None) => Err(aadsts::missing_credential()),
    }
}
