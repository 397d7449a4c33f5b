//! The page that asks for consent: every scope of the whole chain, by name.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::browser::Browser;
use super::consent::{self, Group};
use super::flow::{self, Flow, Step};
use super::html;
use super::sign_in::{app_name, permit};
use crate::aadsts;
use crate::directory::{Directory, User};
use crate::event::Event;
use crate::form::Form;
use crate::state::State;

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    flow: &'a str,
    app: &'a str,
    client_id: &'a str,
    redirect_host: String,
    user: &'a User,
    parties: Vec<Party<'a>>,
}

/// One application and all it asks for.
struct Party<'a> {
    name: &'a str,
    /// It is the one the user is signing in to, not an API behind it.
    first: bool,
    groups: Vec<&'a Group<'a>>,
}

pub(super) fn page(
    directory: &Directory,
    name: &str,
    flow: &Flow,
    user: &User,
    groups: &[Group<'_>],
) -> Response {
    let mut parties: Vec<Party<'_>> = Vec::new();
    for group in groups {
        match parties
            .iter_mut()
            .find(|party| party.name == group.client.display_name)
        {
            Some(party) => party.groups.push(group),
            None => parties.push(Party {
                name: &group.client.display_name,
                first: group.client.client_id == flow.request.client_id,
                groups: vec![group],
            }),
        }
    }
    let template = ConsentPage {
        flow: name,
        app: app_name(directory, flow),
        client_id: &flow.request.client_id,
        redirect_host: host(&flow.request.redirect_uri),
        user,
        parties,
    };
    html::page(StatusCode::OK, &template, permit(flow))
}

/// `POST /consent`
pub(crate) async fn submit(
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
    let directory = state.directory();
    let signed_in = state.sessions.user(&browser.session);
    // What is granted is worked out again, never taken from the form: and only if the page is due.
    let Step::Consent { user, groups } = flow::next(&directory, &flow, signed_in.as_ref()) else {
        return browser.advance(&name);
    };
    let (username, client_id) = (user.username.clone(), flow.request.client_id.clone());
    if form.get("decision") != Some("accept") {
        state.record(Event::ConsentDeclined {
            username,
            client_id,
        });
        return browser.refuse(&name, &flow, &aadsts::consent_declined());
    }
    let tenant = flow.request.authority.id().unwrap_or(&user.tenant);
    let consents = user
        .oid_in(tenant)
        .map(|oid| consent::granted(tenant, oid, &groups))
        .unwrap_or_default();
    state.update(|directory| {
        for consent in consents {
            directory.grant(consent);
        }
    });
    state.record(Event::Consented {
        username,
        client_id,
    });
    state
        .sessions
        .update_flow(&browser.session, &name, |flow| flow.accepted = true);
    browser.advance(&name)
}

fn host(uri: &str) -> String {
    url::Url::parse(uri)
        .map(|uri| uri[url::Position::BeforeScheme..url::Position::BeforePath].to_owned())
        .unwrap_or_default()
}
