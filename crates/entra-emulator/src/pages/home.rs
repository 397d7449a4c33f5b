//! The home pages of both halves, and the style sheet.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::actions::{BUTTONS, Button};
use super::html::{Permit, page};
use super::requests::{self, RequestView};
use crate::directory::{Application, Consent, Directory, Mfa, Tenant, User};
use crate::state::State;

/// Users on the page.
const LISTED: usize = 50;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    url: &'a str,
    arm_url: &'a str,
    /// Both addresses over https, where this page is not.
    https: Option<(&'a str, &'a str)>,
    /// Whether there is a certificate to trust.
    ca: bool,
    /// What prints a token.
    command: Option<String>,
    /// Id of the key that signs.
    kid: String,
    /// What the buttons carry.
    token: &'a str,
    requests: Vec<RequestView>,
    faults: &'static [Button],
    /// Names of endpoints, and how many of their requests are to fail.
    pending: Vec<(&'static str, usize)>,
    tenants: Vec<TenantView<'a>>,
    applications: &'a [Application],
    more: usize,
}

struct TenantView<'a> {
    tenant: &'a Tenant,
    users: Vec<UserView<'a>>,
    /// What an administrator consented to.
    granted: Vec<String>,
}

struct UserView<'a> {
    user: &'a User,
    consents: Vec<String>,
}

impl UserView<'_> {
    fn needs_mfa(&self) -> bool {
        self.user.mfa != Mfa::NotRequired
    }
}

#[derive(Template)]
#[template(path = "arm.html")]
struct ArmPage<'a> {
    url: &'a str,
    arm_url: &'a str,
}

/// `GET /` of the Entra half.
pub(crate) async fn entra(Shared(state): Shared<Arc<State>>) -> Response {
    let directory = state.directory();
    let template = HomePage {
        url: &state.url,
        arm_url: &state.arm_url,
        https: (state.https.as_ref()).map(|https| (&*https.url, &*https.arm_url)),
        ca: state.ca_pem.is_some(),
        command: directory.token_command(&state.url),
        kid: state.keys.current().kid.clone(),
        token: &state.page_token,
        requests: requests::shown(&state.decisions.all()),
        faults: &BUTTONS,
        pending: state.taps.pending(),
        tenants: tenants(&directory),
        applications: &directory.applications,
        more: directory.users.len().saturating_sub(LISTED),
    };
    page(StatusCode::OK, &template, Permit::default())
}

/// `GET /` of the ARM half.
pub(crate) async fn arm(Shared(state): Shared<Arc<State>>) -> Response {
    let template = ArmPage {
        url: &state.url,
        arm_url: &state.arm_url,
    };
    page(StatusCode::OK, &template, Permit::default())
}

/// `GET /style.css`
pub(crate) async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=300"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, include_str!("../../templates/style.css")).into_response()
}

fn tenants(directory: &Directory) -> Vec<TenantView<'_>> {
    directory
        .tenants
        .iter()
        .map(|tenant| TenantView {
            tenant,
            users: directory
                .users
                .iter()
                .take(LISTED)
                .filter(|user| user.tenant == tenant.id)
                .map(|user| UserView {
                    user,
                    consents: consents(directory, &user.tenant, Some(&user.oid)),
                })
                .collect(),
            granted: consents(directory, &tenant.id, None),
        })
        .collect()
}

/// A user's own consents, or those that hold for everybody of a tenant.
fn consents(directory: &Directory, tenant: &str, user: Option<&str>) -> Vec<String> {
    let name = |id: &str| match directory.application(id) {
        Some(app) => app.display_name.clone(),
        None => id.to_owned(),
    };
    let of = |consent: &&Consent| match user {
        Some(_) => consent.user.as_deref() == user,
        None => consent.user.is_none() && consent.tenant.eq_ignore_ascii_case(tenant),
    };
    let line = |consent: &Consent| {
        let scopes: Vec<&str> = consent.scopes.iter().map(String::as_str).collect();
        format!(
            "{} → {}: {}",
            name(&consent.client_id),
            name(&consent.resource),
            scopes.join(" ")
        )
    };
    (directory.consents.iter().filter(of).map(line)).collect()
}

/// `GET /ca.pem`: who trusts this certificate can use https.
pub(crate) async fn ca(Shared(state): Shared<Arc<State>>) -> Response {
    let Some(pem) = state.ca_pem.clone() else {
        return super::error_page::plain(
            StatusCode::NOT_FOUND,
            "The emulator was started without https, and so has no certificate authority.",
        );
    };
    let headers = [
        (header::CONTENT_TYPE, "application/x-pem-file"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, pem).into_response()
}
