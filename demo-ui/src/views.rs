//! Pages. askama escapes every value that is put into them.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};

use crate::account::Account;
use crate::api::{Rest, Subscription};
use crate::changes::Changes;
use crate::facts::Fact;
use crate::failure::Action;
use crate::happened::{Alone, Shown};
use crate::notice::Note;

/// Who is looking at a page, if somebody is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) name: String,
    pub(crate) username: String,
    /// Token for the sign-out form.
    pub(crate) csrf: String,
}

impl Visitor {
    pub(crate) fn new(account: &Account) -> Self {
        Self {
            name: account.user.name.clone(),
            username: account.user.username.clone().unwrap_or_default(),
            csrf: account.csrf.secret().clone(),
        }
    }
}

/// The page for those who are not signed in.
#[derive(Template)]
#[template(path = "landing.html")]
pub(crate) struct LandingPage {
    pub(crate) visitor: Option<Visitor>,
    /// Whether, and how far, they have signed out just now.
    pub(crate) signed_out: Option<Note>,
    pub(crate) emulated: bool,
}

/// The table.
#[derive(Template)]
#[template(path = "subscriptions.html")]
pub(crate) struct SubscriptionsPage<'a> {
    pub(crate) visitor: Option<Visitor>,
    pub(crate) rows: Vec<&'a Subscription>,
    pub(crate) tenant: &'a str,
    pub(crate) username: &'a str,
    pub(crate) rest: Rest,
}

/// The API's answers as they came.
#[derive(Template)]
#[template(path = "raw.html")]
pub(crate) struct RawPage {
    pub(crate) visitor: Option<Visitor>,
    pub(crate) answers: Vec<RawAnswer>,
    pub(crate) rest: Rest,
}

/// One of them.
pub(crate) struct RawAnswer {
    pub(crate) url: String,
    pub(crate) json: String,
}

/// The way that a request took.
#[derive(Template)]
#[template(path = "happened.html")]
pub(crate) struct HappenedPage {
    pub(crate) visitor: Option<Visitor>,
    /// This one, and the one before that needed an exchange.
    pub(crate) calls: Vec<Shown>,
    /// What the exchange changed, where both tokens are known.
    pub(crate) changes: Option<Changes>,
    /// The claims of one token, where only that is known.
    pub(crate) alone: Option<Alone>,
    /// Nothing is known of what the API did.
    pub(crate) unexplained: bool,
}

/// A failure and the way on.
#[derive(Template)]
#[template(path = "failure.html")]
pub(crate) struct FailurePage {
    pub(crate) visitor: Option<Visitor>,
    pub(crate) status: u16,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) facts: Vec<Fact>,
    /// Those that are folded.
    pub(crate) more: Vec<Fact>,
    pub(crate) actions: Vec<Action>,
}

impl Subscription {
    /// Which of the style sheet's colours goes with the state. The word itself is always shown.
    pub(crate) fn tone(&self) -> &'static str {
        match self.state.as_str() {
            "Enabled" => "good",
            "Warned" | "PastDue" => "warning",
            "" => "none",
            _ => "bad",
        }
    }
}

/// A page as a response.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The page at the end of a sign-in, which goes on to `path` by itself.
#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedInPage {
    visitor: Option<Visitor>,
    path: &'static str,
}

/// Goes on from a sign-in to a page of ours, by way of a page that is there for a moment only.
///
/// A browser keeps the page that a chain of redirects ended on whole (in its back/forward cache), and
/// after a sign-out its Back button would show it again, `no-store` or not. A page that was come to
/// from another page of ours is let go of with its cookie.
pub(crate) fn signed_in(path: &'static str) -> Response {
    let visitor = None;
    let mut response = page(StatusCode::OK, &SignedInPage { visitor, path });
    if let Ok(refresh) = HeaderValue::try_from(format!("0; url={path}")) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

/// A redirect that a GET follows. `location` is of our own making.
pub(crate) fn see_other(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
