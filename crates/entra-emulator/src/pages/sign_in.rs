//! The pages where a user says who they are: password, account choice, second factor.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::browser::Browser;
use super::flow::Flow;
use super::html::{self, Permit};
use super::session::SignedIn;
use crate::aadsts;
use crate::directory::{Directory, Mfa, User};
use crate::encoding::secrets_match;
use crate::error::AadError;
use crate::event::Event;
use crate::form::Form;
use crate::state::State;

/// Users that the page lists; a test's directory may have thousands.
const LISTED: usize = 12;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    flow: &'a str,
    app: &'a str,
    tenant: &'a str,
    username: &'a str,
    problem: Option<String>,
    users: Vec<&'a User>,
    more: usize,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    flow: &'a str,
    user: &'a User,
}

#[derive(Template)]
#[template(path = "second_factor.html")]
struct SecondFactorPage<'a> {
    flow: &'a str,
    user: &'a User,
    code: &'a str,
    enroll: bool,
    wrong: bool,
}

pub(super) fn page(
    directory: &Directory,
    name: &str,
    flow: &Flow,
    username: Option<&str>,
    problem: Option<&AadError>,
) -> Response {
    let request = &flow.request;
    let tenant = request.authority.id().and_then(|id| directory.tenant(id));
    let all: Vec<&User> = directory
        .users
        .iter()
        .filter(|user| tenant.is_none_or(|tenant| user.oid_in(&tenant.id).is_some()))
        .collect();
    let template = SignInPage {
        flow: name,
        app: app_name(directory, flow),
        tenant: tenant.map_or("any organization", |tenant| &tenant.display_name),
        username: username
            .or(request.login_hint.as_deref())
            .unwrap_or_default(),
        problem: problem.map(|error| format!("{} (AADSTS{})", error.message, error.code)),
        more: all.len().saturating_sub(LISTED),
        users: all.into_iter().take(LISTED).collect(),
    };
    html::page(StatusCode::OK, &template, permit(flow))
}

pub(super) fn account_page(name: &str, flow: &Flow, user: &User) -> Response {
    html::page(
        StatusCode::OK,
        &AccountPage { flow: name, user },
        permit(flow),
    )
}

pub(super) fn second_factor_page(
    name: &str,
    flow: &Flow,
    user: &User,
    code: &str,
    wrong: bool,
) -> Response {
    let template = SecondFactorPage {
        flow: name,
        user,
        code,
        enroll: user.mfa == Mfa::NotEnrolled,
        wrong,
    };
    html::page(StatusCode::OK, &template, permit(flow))
}

pub(super) fn app_name<'a>(directory: &'a Directory, flow: &Flow) -> &'a str {
    directory
        .application(&flow.request.client_id)
        .map_or("an application", |app| &app.display_name)
}

pub(super) fn permit(flow: &Flow) -> Permit<'_> {
    Permit {
        form_target: Some(&flow.request.redirect_uri),
        script: None,
    }
}

/// Six digits.
pub(super) fn new_second_factor() -> String {
    format!("{:06}", uuid::Uuid::new_v4().as_u128() % 1_000_000)
}

/// `POST /sign-in`: name and password, or one of the listed users by a button.
pub(crate) async fn submit(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::parse(&body);
    let mut browser = Browser::new(state.clone(), &headers);
    let (name, flow) = match browser.flow(&form) {
        Ok(found) => found,
        Err(error) => return browser.error(&error),
    };
    if form.get("cancel").is_some() {
        return browser.cancel(&name, &flow);
    }
    let directory = state.directory();
    let username = form.get("username").unwrap_or_default().trim();
    match check(&directory, &form, username) {
        Ok(user) => {
            sign_in(&mut browser, user, false);
            state
                .sessions
                .update_flow(&browser.session, &name, |flow| flow.chosen = true);
            browser.advance(&name)
        }
        Err(error) => {
            tracing::debug!(code = error.code, "sign-in refused");
            browser.finish(page(&directory, &name, &flow, Some(username), Some(&error)))
        }
    }
}

/// `POST /account`: goes on as who is signed in, or as somebody else.
pub(crate) async fn choose_account(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::parse(&body);
    let browser = Browser::new(state.clone(), &headers);
    let (name, flow) = match browser.flow(&form) {
        Ok(found) => found,
        Err(error) => return browser.error(&error),
    };
    if form.get("account") == Some("other") {
        return browser.finish(page(&state.directory(), &name, &flow, Some(""), None));
    }
    state
        .sessions
        .update_flow(&browser.session, &name, |flow| flow.chosen = true);
    browser.advance(&name)
}

/// `POST /second-factor`
pub(crate) async fn submit_second_factor(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::parse(&body);
    let mut browser = Browser::new(state.clone(), &headers);
    let (name, flow) = match browser.flow(&form) {
        Ok(found) => found,
        Err(error) => return browser.error(&error),
    };
    if form.get("cancel").is_some() {
        return browser.cancel(&name, &flow);
    }
    let directory = state.directory();
    let signed_in = state.sessions.user(&browser.session);
    let Some(user) = signed_in.and_then(|session| directory.user(&session.oid)) else {
        return browser.advance(&name);
    };
    let typed = form.get("code").unwrap_or_default().replace(' ', "");
    let right = flow
        .second_factor
        .as_deref()
        .is_some_and(|code| secrets_match(code, &typed));
    if !right {
        let again = browser.second_factor(&name, &flow, user, true);
        return browser.finish(again);
    }
    if user.mfa == Mfa::NotEnrolled {
        // They have set it up now.
        state.update(|directory| {
            if let Some(user) = directory.user_mut(&user.oid) {
                user.mfa = Mfa::Required;
            }
        });
    }
    sign_in(&mut browser, user, true);
    browser.advance(&name)
}

fn check<'a>(directory: &'a Directory, form: &Form, username: &str) -> Result<&'a User, AadError> {
    let user = match form.get("as") {
        Some(oid) => directory.user(oid).ok_or_else(aadsts::wrong_password)?,
        None => {
            let user = directory
                .user(username)
                .ok_or_else(aadsts::wrong_password)?;
            if !secrets_match(&user.password, form.get("password").unwrap_or_default()) {
                return Err(aadsts::wrong_password());
            }
            user
        }
    };
    if user.disabled {
        return Err(aadsts::user_disabled());
    }
    Ok(user)
}

fn sign_in(browser: &mut Browser, user: &User, mfa: bool) {
    let signed_in = SignedIn {
        oid: user.oid.clone(),
        revocations: user.revocations,
        mfa,
    };
    browser.session = browser.state.sessions.sign_in(&browser.session, signed_in);
    browser.state.record(Event::SignedIn {
        username: user.username.clone(),
        mfa,
    });
}
