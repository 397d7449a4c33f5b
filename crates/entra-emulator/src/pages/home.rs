//! The home pages of both halves, and the style sheet.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::actions::{BUTTONS, Button};
use super::html::{Permit, page};
use super::requests::{self, RequestView};
use crate::directory::{Application, Directory, Mfa, Tenant, User};
use crate::state::State;

/// Users on the page.
const LISTED: usize = 50;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    url: &'a str,
    arm_url: &'a str,
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
}

struct UserView<'a> {
    user: &'a User,
    consents: usize,
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
                    consents: consents(directory, user),
                })
                .collect(),
        })
        .collect()
}

/// How many of a user's own consents there are.
fn consents(directory: &Directory, user: &User) -> usize {
    let consents = directory.consents.iter();
    consents
        .filter(|consent| consent.user.as_deref() == Some(&*user.oid))
        .count()
}
