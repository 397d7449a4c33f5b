//! The browser at the other end: its session cookie, and one request of it.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::error_page;
use super::flow::{self, Flow, Step};
use super::sign_in;
use super::{consent_page, redirect};
use crate::aadsts;
use crate::encoding::{base64url, guid_of};
use crate::error::{AadError, RequestIds};
use crate::event::Event;
use crate::form::Form;
use crate::grant::store::{Code, Grant};
use crate::state::State;

/// A request of a browser, with its session.
#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) state: Arc<State>,
    /// Id of the session; changes when somebody signs in.
    pub(crate) session: String,
    pub(crate) ids: RequestIds,
}

impl Browser {
    pub(crate) fn new(state: Arc<State>, headers: &HeaderMap) -> Self {
        let cookie = cookie(headers, &cookie_name(&state.url));
        let now = state.now();
        Self {
            session: state.sessions.open(cookie.as_deref(), now),
            ids: RequestIds::new(now, headers, None),
            state,
        }
    }

    /// The flow that a posted form belongs to.
    pub(crate) fn flow(&self, form: &Form) -> Result<(String, Flow), AadError> {
        let name = form.get("flow").ok_or_else(aadsts::flow_lost)?;
        self.state
            .sessions
            .flow(&self.session, name, self.state.now())
            .map(|flow| (name.to_owned(), flow))
            .ok_or_else(aadsts::flow_lost)
    }

    /// The page, or the answer to the client, that is due next.
    pub(crate) fn advance(&self, name: &str) -> Response {
        let state = &self.state;
        let Some(flow) = state.sessions.flow(&self.session, name, state.now()) else {
            return self.finish(error_page::show(
                StatusCode::BAD_REQUEST,
                &aadsts::flow_lost(),
                &self.ids,
            ));
        };
        let directory = state.directory();
        let signed_in = state.sessions.user(&self.session);
        let response = match flow::next(&directory, &flow, signed_in.as_ref()) {
            Step::SignIn { problem } => {
                sign_in::page(&directory, name, &flow, None, problem.as_ref())
            }
            Step::SelectAccount { user } => sign_in::account_page(name, &flow, user),
            Step::SecondFactor { user } => self.second_factor(name, &flow, user, false),
            Step::Consent { user, groups } => {
                consent_page::page(&directory, name, &flow, user, &groups)
            }
            Step::Refuse(error) => {
                state.sessions.end_flow(&self.session, name);
                redirect::failure(state, &self.ids, &(&flow.request).into(), &error)
            }
            Step::Done {
                user,
                tenant,
                oid,
                mfa,
            } => {
                state.sessions.end_flow(&self.session, name);
                let request = &flow.request;
                let code = state.grants.new_code(Code::new(
                    Grant {
                        client_id: request.client_id.clone(),
                        tenant: tenant.to_owned(),
                        oid: oid.to_owned(),
                        revocations: user.revocations,
                        mfa,
                        scope: request.scope.clone(),
                        claims: request.claims.clone(),
                        issued: state.now(),
                    },
                    request.redirect_uri.clone(),
                    request.code_challenge.clone(),
                    request.nonce.clone(),
                ));
                let mut parameters = vec![
                    ("code", code),
                    ("session_state", guid_of(&format!("session {oid}"))),
                ];
                if request.client_info {
                    let info = serde_json::json!({"uid": user.oid, "utid": user.tenant});
                    parameters.push(("client_info", base64url(info.to_string())));
                }
                redirect::success(request, parameters)
            }
        };
        self.finish(response)
    }

    /// Shows the second-factor page with a fresh code.
    pub(crate) fn second_factor(
        &self,
        name: &str,
        flow: &Flow,
        user: &crate::directory::User,
        wrong: bool,
    ) -> Response {
        let code = sign_in::new_second_factor();
        let response = sign_in::second_factor_page(name, flow, user, &code, wrong);
        self.state
            .sessions
            .update_flow(&self.session, name, |flow| flow.second_factor = Some(code));
        response
    }

    /// Ends a flow with an error for the client.
    pub(crate) fn refuse(&self, name: &str, flow: &Flow, error: &AadError) -> Response {
        self.state.sessions.end_flow(&self.session, name);
        let response = redirect::failure(&self.state, &self.ids, &(&flow.request).into(), error);
        self.finish(response)
    }

    /// Ends a flow that the user does not want to go on with.
    pub(crate) fn cancel(&self, name: &str, flow: &Flow) -> Response {
        self.state.sessions.end_flow(&self.session, name);
        self.finish(redirect::cancelled(&(&flow.request).into()))
    }

    /// A page that says what is wrong, where no client can be told.
    pub(crate) fn error(&self, error: &AadError) -> Response {
        self.finish(error_page::show(StatusCode::BAD_REQUEST, error, &self.ids))
    }

    /// Adds the session cookie and the request's ids.
    pub(crate) fn finish(&self, mut response: Response) -> Response {
        self.set_cookie(&mut response, &self.session, "");
        self.ids.stamp(&mut response);
        response
    }

    /// Ends the session, and forgets its cookie.
    pub(crate) fn sign_out(&self, mut response: Response) -> Response {
        if let Some(user) = self.state.sessions.end(&self.session) {
            let directory = self.state.directory();
            if let Some(user) = directory.user(&user.oid) {
                self.state.record(Event::SignedOut {
                    username: user.username.clone(),
                });
            }
        }
        self.set_cookie(&mut response, "", "; Max-Age=0");
        self.ids.stamp(&mut response);
        response
    }

    fn set_cookie(&self, response: &mut Response, value: &str, more: &str) {
        let url = &self.state.url;
        let secure = if url.starts_with("https:") {
            "; Secure"
        } else {
            ""
        };
        let name = cookie_name(url);
        let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{more}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

/// Cookies don't keep ports apart: two emulators on one machine would take each other's.
fn cookie_name(url: &str) -> String {
    let port = url::Url::parse(url)
        .ok()
        .and_then(|url| url.port_or_known_default())
        .unwrap_or_default();
    format!("entra-emulator-{port}")
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}
