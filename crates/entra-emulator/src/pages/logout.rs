//! `GET /{tenant}/oauth2/v2.0/logout` (OpenID Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;
use url::Url;

use super::browser::Browser;
use super::html::{Permit, page};
use super::redirect::see_other;
use crate::directory::Directory;
use crate::encoding::from_base64url;
use crate::form::Form;
use crate::state::State;

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage {
    /// A redirect was asked for and not followed.
    unregistered: bool,
}

pub(crate) async fn logout(
    Shared(state): Shared<Arc<State>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Form::parse(query.unwrap_or_default().as_bytes());
    let browser = Browser::new(state.clone(), &headers);
    let asked = query.get("post_logout_redirect_uri");
    let target = asked.and_then(|uri| {
        let client = query.get("id_token_hint").and_then(audience);
        target(
            &state.directory(),
            uri,
            client.as_deref(),
            query.get("state"),
        )
    });
    let response = match target {
        Some(target) => see_other(&target),
        None => {
            let template = SignedOutPage {
                unregistered: asked.is_some(),
            };
            page(StatusCode::OK, &template, Permit::default())
        }
    };
    browser.sign_out(response)
}

/// The address to go to, if it is registered for the client (for any, when none is named).
fn target(
    directory: &Directory,
    uri: &str,
    client_id: Option<&str>,
    state: Option<&str>,
) -> Option<String> {
    directory
        .applications
        .iter()
        .filter(|app| client_id.is_none_or(|id| app.client_id.eq_ignore_ascii_case(id)))
        .flat_map(|app| &app.post_logout_redirect_uris)
        .find(|registered| *registered == uri)?;
    let mut target = Url::parse(uri).ok()?;
    if let Some(state) = state {
        target.query_pairs_mut().append_pair("state", state);
    }
    Some(target.into())
}

/// Whom an ID token was for. Unchecked, since it only narrows down where a redirect may go.
fn audience(id_token: &str) -> Option<String> {
    let payload = from_base64url(id_token.split('.').nth(1)?)?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    claims["aud"].as_str().map(str::to_owned)
}
