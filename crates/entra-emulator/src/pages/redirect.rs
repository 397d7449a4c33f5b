//! The answer to the client: a redirect, or for `form_post` a page that posts itself.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use url::Url;
use url::form_urlencoded::Serializer;

use super::flow::{AuthRequest, ResponseMode};
use super::html::{Permit, page};
use crate::encoding::random;
use crate::error::{AadError, RequestIds};
use crate::state::State;

#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPost<'a> {
    action: &'a str,
    parameters: &'a [(&'a str, String)],
    nonce: &'a str,
}

/// A successful answer.
pub(crate) fn success(request: &AuthRequest, mut parameters: Vec<(&str, String)>) -> Response {
    if let Some(state) = &request.state {
        parameters.push(("state", state.clone()));
    }
    send(&request.redirect_uri, request.response_mode, &parameters)
}

/// An error that the client is told.
pub(crate) fn failure(
    state: &State,
    ids: &RequestIds,
    target: &Target<'_>,
    error: &AadError,
) -> Response {
    let mut parameters = vec![
        ("error", error.error.to_owned()),
        ("error_description", error.description(ids)),
        (
            "error_uri",
            format!("{}/error?code={}", state.url, error.code),
        ),
    ];
    if error.code == 65_004 {
        parameters.push(("error_subcode", "cancel".to_owned()));
    }
    if let Some(claims) = &error.claims {
        parameters.push(("claims", claims.to_string()));
    }
    if let Some(state) = target.state {
        parameters.push(("state", state.to_owned()));
    }
    send(target.redirect_uri, target.response_mode, &parameters)
}

/// The user pressed Cancel. It has no code: MSAL tells it by the `error_subcode`.
pub(crate) fn cancelled(target: &Target<'_>) -> Response {
    let mut parameters = vec![
        ("error", "access_denied".to_owned()),
        ("error_subcode", "cancel".to_owned()),
    ];
    if let Some(state) = target.state {
        parameters.push(("state", state.to_owned()));
    }
    send(target.redirect_uri, target.response_mode, &parameters)
}

/// Where an error goes: known before the rest of the request is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// Registered for the client.
    pub(crate) redirect_uri: &'a str,
    pub(crate) response_mode: ResponseMode,
    pub(crate) state: Option<&'a str>,
}

impl<'a> From<&'a AuthRequest> for Target<'a> {
    fn from(request: &'a AuthRequest) -> Self {
        Self {
            redirect_uri: &request.redirect_uri,
            response_mode: request.response_mode,
            state: request.state.as_deref(),
        }
    }
}

/// 303: a browser that posted a form goes on with GET.
pub(crate) fn see_other(location: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn send(redirect_uri: &str, mode: ResponseMode, parameters: &[(&str, String)]) -> Response {
    let Ok(mut target) = Url::parse(redirect_uri) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    match mode {
        ResponseMode::Query => {
            target.query_pairs_mut().extend_pairs(parameters);
            see_other(target.as_str())
        }
        ResponseMode::Fragment => {
            let mut fragment = Serializer::new(String::new());
            fragment.extend_pairs(parameters);
            target.set_fragment(Some(&fragment.finish()));
            see_other(target.as_str())
        }
        ResponseMode::FormPost => {
            let nonce = random(18);
            let template = FormPost {
                action: redirect_uri,
                parameters,
                nonce: &nonce,
            };
            let permit = Permit {
                form_target: Some(redirect_uri),
                script: Some(&nonce),
            };
            page(StatusCode::OK, &template, permit)
        }
    }
}
