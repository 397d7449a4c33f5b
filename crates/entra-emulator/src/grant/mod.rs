//! `POST /{tenant}/oauth2/v2.0/token`: who asks, with what grant, and the answer.

mod authorization_code;
mod client;
mod client_credentials;
mod issue;
mod on_behalf_of;
mod refresh_token;
pub(crate) mod store;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use crate::aadsts;
use crate::decision::{Checks, Refused};
use crate::directory::{Application, Directory};
use crate::error::{AadError, RequestIds};
use crate::form::Form;
use crate::keys::KeyError;
use crate::state::State;
use crate::tenant::Authority;
use crate::token::claims::Authentication;

/// One authenticated request to the token endpoint.
#[derive(Clone, Copy, Debug)]
struct TokenRequest<'a> {
    state: &'a State,
    directory: &'a Directory,
    authority: &'a Authority,
    client: &'a Application,
    authentication: Authentication,
    form: &'a Form,
    checks: &'a Checks,
}

/// Why there are no tokens.
#[derive(Debug)]
enum Refusal {
    Aad(Box<AadError>),
    Key(KeyError),
}

impl From<AadError> for Refusal {
    fn from(error: AadError) -> Self {
        Self::Aad(Box::new(error))
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

/// The endpoint.
pub(crate) async fn token(
    Shared(state): Shared<Arc<State>>,
    Path(tenant): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
    // What is no form has no parameters: the answer names the first one missing, as Entra's does.
    let form = if is_form {
        Form::parse(&body)
    } else {
        Form::default()
    };
    let ids = RequestIds::new(state.now(), &headers, form.get("client-request-id"));
    let checks = Checks::new(state.now(), &tenant);
    checks.asked(
        form.get("grant_type").unwrap_or_default(),
        form.get("client_id").unwrap_or_default(),
        form.get("scope").unwrap_or_default(),
    );
    let mut response = match answer(&state, &tenant, &method, &headers, &form, &checks).await {
        Ok(tokens) => Json(tokens).into_response(),
        Err(Refusal::Aad(error)) => {
            tracing::debug!(code = error.code, error = error.error, "token refused");
            checks.refused(Refused {
                status: error.status.as_u16(),
                error: error.error.to_owned(),
                code: error.code,
                message: error.message.clone(),
                challenge: error.claims.is_some(),
            });
            error.response(&ids, &state.url)
        }
        Err(Refusal::Key(error)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    };
    state.decisions.push(checks.finish());
    ids.stamp(&mut response);
    response
}

async fn answer(
    state: &State,
    tenant: &str,
    method: &Method,
    headers: &HeaderMap,
    form: &Form,
    checks: &Checks,
) -> Result<Value, Refusal> {
    if method != Method::POST {
        return Err(aadsts::only_post(method.as_str()).into());
    }
    let directory = state.directory();
    let authority = Authority::parse(tenant, &directory)?;
    form.check_duplicates()?;
    let redeem: fn(TokenRequest<'_>) -> Result<Value, Refusal> =
        match form.required("grant_type")? {
            "authorization_code" => authorization_code::redeem,
            "client_credentials" => client_credentials::issue,
            "refresh_token" => refresh_token::redeem,
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => on_behalf_of::exchange,
            other => return Err(aadsts::unsupported_grant(other).into()),
        };
    let (client, authentication) =
        client::authenticate(state, &authority, &directory, headers, form).await?;
    checks.client(&client.display_name);
    checks.passed(match authentication {
        Authentication::None => "It is a public client, which has nothing to prove itself with",
        Authentication::Secret => "The client proved itself by its secret",
        Authentication::Assertion => "The client proved itself by a signed assertion",
    });
    redeem(TokenRequest {
        state,
        directory: &directory,
        authority: &authority,
        client,
        authentication,
        form,
        checks,
    })
}
