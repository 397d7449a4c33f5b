//! `GET /{tenant}/oauth2/v2.0/authorize`

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::HeaderMap;
use axum::response::Response;

use super::browser::Browser;
use super::flow::{AuthRequest, Flow, Prompt, ResponseMode};
use super::redirect::{self, Target};
use crate::aadsts;
use crate::claims_request::ClaimsRequest;
use crate::directory::Directory;
use crate::error::AadError;
use crate::form::Form;
use crate::scope::Scopes;
use crate::state::State;
use crate::tenant::Authority;

/// base64url of a SHA-256.
const CHALLENGE_LENGTH: usize = 43;

pub(crate) async fn authorize(
    Shared(state): Shared<Arc<State>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Form::parse(query.unwrap_or_default().as_bytes());
    let browser = Browser::new(state.clone(), &headers);
    let directory = state.directory();
    match parse(&directory, &tenant, &query) {
        Ok(request) => {
            let flow = Flow::new(request, state.now());
            let name = state.sessions.start_flow(&browser.session, flow);
            browser.advance(&name)
        }
        // Until the redirect URI is known to be the client's, nothing goes there.
        Err(Problem::Page(error)) => browser.error(&error),
        Err(Problem::Redirect(error, mode)) => {
            let target = Target {
                redirect_uri: query.get("redirect_uri").unwrap_or_default(),
                response_mode: mode,
                state: query.get("state"),
            };
            browser.finish(redirect::failure(&state, &browser.ids, &target, &error))
        }
    }
}

enum Problem {
    Page(Box<AadError>),
    Redirect(Box<AadError>, ResponseMode),
}

fn parse(directory: &Directory, tenant: &str, query: &Form) -> Result<AuthRequest, Problem> {
    let page = |error| Problem::Page(Box::new(error));
    query.check_duplicates().map_err(page)?;
    let authority = Authority::parse(tenant, directory).map_err(page)?;
    let client_id = query
        .get("client_id")
        .ok_or_else(|| page(aadsts::missing_query_parameter("client_id")))?;
    let client = authority.client(directory, client_id).map_err(page)?;
    let redirect_uri = query
        .get("redirect_uri")
        .ok_or_else(|| page(aadsts::missing_query_parameter("redirect_uri")))?;
    if !client.redirect_uris.iter().any(|uri| uri == redirect_uri) {
        return Err(page(aadsts::unregistered_redirect(
            redirect_uri,
            &client.client_id,
        )));
    }

    let mode = response_mode(query).map_err(|error| redirected(error, ResponseMode::Query))?;
    let told = |error| redirected(error, mode);
    match query.get("response_type") {
        Some("code") => {}
        Some(other) => return Err(told(aadsts::unsupported_response_type(other))),
        None => return Err(told(aadsts::missing_query_parameter("response_type"))),
    }
    let scope = query
        .get("scope")
        .ok_or_else(|| told(aadsts::missing_query_parameter("scope")))?;
    let home = authority.id().unwrap_or(&client.tenant);
    Scopes::parse(scope, directory, home).map_err(told)?;
    let text = |name| query.get(name).map(str::to_owned);
    Ok(AuthRequest {
        client_id: client.client_id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        response_mode: mode,
        state: text("state"),
        scope: scope.to_owned(),
        nonce: text("nonce"),
        code_challenge: code_challenge(query).map_err(told)?,
        prompt: prompt(query).map_err(told)?,
        login_hint: text("login_hint"),
        claims: ClaimsRequest::parse(query.get("claims")).map_err(told)?,
        client_info: query.get("client_info") == Some("1"),
        authority,
    })
}

fn redirected(error: AadError, mode: ResponseMode) -> Problem {
    Problem::Redirect(Box::new(error), mode)
}

fn response_mode(query: &Form) -> Result<ResponseMode, AadError> {
    match query.get("response_mode") {
        None | Some("query") => Ok(ResponseMode::Query),
        Some("fragment") => Ok(ResponseMode::Fragment),
        Some("form_post") => Ok(ResponseMode::FormPost),
        Some(_) => Err(aadsts::invalid_value("response_mode")),
    }
}

fn prompt(query: &Form) -> Result<Prompt, AadError> {
    match query.get("prompt") {
        None => Ok(Prompt::Any),
        Some("none") => Ok(Prompt::None),
        Some("login") => Ok(Prompt::Login),
        Some("select_account") => Ok(Prompt::SelectAccount),
        Some("consent") => Ok(Prompt::Consent),
        Some(_) => Err(aadsts::invalid_value("prompt")),
    }
}

/// Without a method PKCE means `plain` (RFC 7636 §4.3), which protects nothing and isn't accepted.
fn code_challenge(query: &Form) -> Result<Option<String>, AadError> {
    match (
        query.get("code_challenge"),
        query.get("code_challenge_method"),
    ) {
        (None, None) => Ok(None),
        (Some(challenge), Some("S256")) if challenge.len() == CHALLENGE_LENGTH => {
            Ok(Some(challenge.to_owned()))
        }
        _ => Err(aadsts::invalid_code_challenge()),
    }
}
