//! Failures as pages: what happened, whose doing it is, and the way on.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::entra::{Entra, EntraError};
use crate::facts::{Fact, IDS, capital, label, open};
use crate::http_client::HttpError;
use crate::problem::Problem;
use crate::return_path::login_for;
use crate::views::{FailurePage, Visitor, page};

/// A failure that is about to be shown.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    title: String,
    text: String,
    facts: Vec<Fact>,
    /// Those that are folded.
    more: Vec<Fact>,
    actions: Vec<Action>,
    retry_after: Option<HeaderValue>,
}

/// Where to go from here.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) label: &'static str,
    pub(crate) href: Cow<'static, str>,
}

/// To the list, or to the page that offers a sign-in.
pub(crate) const HOME: Action = Action {
    label: "Go to the start page",
    href: Cow::Borrowed("/"),
};
/// To where the button is that signs out.
pub(crate) const BACK_TO_SIGN_OUT: Action = Action {
    label: "Go back to sign out",
    href: Cow::Borrowed("/"),
};
/// The same page of ours again.
pub(crate) const fn retry(page: &'static str) -> Action {
    Action {
        label: "Try again",
        href: Cow::Borrowed(page),
    }
}

/// The same sign-in again.
pub(crate) fn retry_login(page: &str) -> Action {
    Action {
        label: "Try again",
        href: Cow::Borrowed(login_for(page)),
    }
}

/// A sign-in, and on to a page of ours.
pub(crate) fn sign_in(page: &str) -> Action {
    Action {
        label: "Sign in again",
        href: Cow::Borrowed(login_for(page)),
    }
}

/// A sign-in that begins with the choice of an account.
pub(crate) const OTHER_ACCOUNT: Action = Action {
    label: "Use another account",
    href: Cow::Borrowed("/account/login?prompt=select_account"),
};
/// The stronger sign-in once more that the user turned away from.
pub(crate) const STEP_UP: Action = Action {
    label: "Try again",
    href: Cow::Borrowed("/account/login?step-up"),
};

impl Failure {
    pub(crate) fn new(
        status: StatusCode,
        title: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            status,
            title: title.into(),
            text: text.into(),
            facts: Vec::new(),
            more: Vec::new(),
            actions: Vec::new(),
            retry_after: None,
        }
    }

    /// Adds a way on; the first is the one that stands out.
    pub(crate) fn action(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    pub(crate) fn fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push(Fact {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Adds what the API said. Its title goes before our own text, as it knows more; a detail that
    /// repeats the title takes its place.
    pub(crate) fn problem(mut self, problem: Problem) -> Self {
        let (lead, more) = match (problem.title, problem.detail) {
            (Some(title), Some(detail)) => {
                let (short, long) = (bare(&title), bare(&detail));
                if long.starts_with(&short) {
                    (Some(detail), None)
                } else if short.contains(&long) {
                    (Some(title), None)
                } else {
                    (Some(title), Some(detail))
                }
            }
            (title, detail) => (title.or(detail), None),
        };
        if let Some(lead) = lead {
            self.text = sentence(&lead);
        }
        if let Some(more) = more {
            self = self.fact("The API says", more);
        }
        self.details(Problem {
            title: None,
            detail: None,
            ..problem
        })
    }

    /// Adds what the API said as details only: our own text knows better.
    pub(crate) fn details(self, problem: Problem) -> Self {
        let title = problem.title;
        let again = |detail: &String| {
            title
                .as_ref()
                .is_some_and(|title| bare(title) == bare(detail))
        };
        let detail = problem.detail.filter(|detail| !again(detail));
        let said = title.clone().into_iter().chain(detail);
        let failure = said.fold(self, |failure, text| failure.fact("The API says", text));
        let open = open(&problem.facts);
        let (mut shown, folded): (Vec<_>, Vec<_>) = problem
            .facts
            .into_iter()
            .partition(|(name, _)| open.contains(&name.as_str()));
        shown.sort_by_key(|(name, _)| IDS.iter().position(|id| id == name));
        let mut failure = shown.into_iter().fold(failure, |failure, (name, value)| {
            failure.fact(label(&name), value)
        });
        failure
            .more
            .extend(folded.into_iter().map(|(name, value)| Fact {
                name: label(&name),
                value,
            }));
        failure
    }

    /// Says something first that matters more; what it said itself is a detail.
    pub(crate) fn but_first(mut self, title: impl Into<String>, text: impl Into<String>) -> Self {
        let cause = std::mem::replace(&mut self.title, title.into());
        self.text = text.into();
        let cause = Fact {
            name: "Cause".to_owned(),
            value: cause,
        };
        self.facts.insert(0, cause);
        self
    }

    /// Says when to come back, and tells it to programs as well.
    pub(crate) fn retry_after(mut self, value: Option<HeaderValue>) -> Self {
        if let Some(when) = value.as_ref().and_then(|value| value.to_str().ok()) {
            let when = match when.parse::<u32>() {
                Ok(1) => "in 1 second".to_owned(),
                Ok(seconds) if seconds < 120 => format!("in {seconds} seconds"),
                Ok(seconds) => format!("in {} minutes", seconds.div_ceil(60)),
                Err(_) => format!("after {when}"),
            };
            self.text = format!("{} Try again {when}.", self.text);
        }
        self.retry_after = value;
        self
    }

    /// The page.
    pub(crate) fn respond(self, visitor: Option<Visitor>) -> Response {
        tracing::info!(
            status = self.status.as_u16(),
            reason = %self.title,
            "a failure is shown"
        );
        let mut response = page(
            self.status,
            &FailurePage {
                visitor,
                status: self.status.as_u16(),
                title: self.title,
                text: self.text,
                facts: self.facts,
                more: self.more,
                actions: self.actions,
            },
        );
        if let Some(retry_after) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after);
        }
        response
    }

    /// The store of sessions can't be read.
    pub(crate) fn no_sessions(page: &'static str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Sessions can't be read right now",
            "The store that this app keeps them in does not answer. Nothing of yours is lost.",
        )
        .retry_after(Some(HeaderValue::from_static("5")))
        .action(retry(page))
    }

    /// The store of sessions did not take one.
    pub(crate) fn session_not_kept(page: &'static str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Something went wrong here",
            "Your session could not be kept.",
        )
        .retry_after(Some(HeaderValue::from_static("5")))
        .action(retry(page))
    }

    /// The failure that no answer of somebody is.
    /// `again` is the way on.
    pub(crate) fn no_answer(who: &str, address: &str, error: &HttpError, again: Action) -> Self {
        let (status, title, text) = match error {
            HttpError::Unreachable => (
                StatusCode::BAD_GATEWAY,
                format!("{who} can't be reached"),
                "The connection was refused or broke off. Is it running? The address that this app asks is below.",
            ),
            HttpError::Silent => (
                StatusCode::GATEWAY_TIMEOUT,
                format!("{who} does not answer"),
                "No answer came in time. It may be overloaded, or something on the way holds it back.",
            ),
            HttpError::TooLong => (
                StatusCode::BAD_GATEWAY,
                format!("{who} gave too long an answer"),
                "It is longer than this app reads.",
            ),
            HttpError::Busy(..) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{who} is too busy"),
                "It takes no more requests for the moment.",
            ),
        };
        let retry_after = match error {
            HttpError::Busy(_, retry_after) => retry_after.clone(),
            _ => None,
        };
        Self::new(status, title, text)
            .retry_after(retry_after)
            .fact("Address", address)
            .action(again)
    }

    /// The failure that an error of Entra ID is, where a new sign-in would not help.
    pub(crate) fn entra(entra: &Entra, error: &EntraError, again: Action) -> Self {
        let who = entra.name();
        match error {
            EntraError::Http(error) => Self::no_answer(who, &entra.host(), error, again),
            EntraError::Refused(refused) => Self::new(
                StatusCode::BAD_GATEWAY,
                format!("{who} refused this app"),
                "The settings of this app and of its registration do not fit. Its operator has to look into it.",
            )
            .fact("Error", refused.to_string())
            .action(again),
            EntraError::Unusable(what) => Self::new(
                StatusCode::BAD_GATEWAY,
                format!("{who} gave an answer that can't be used"),
                "The sign-in was not accepted.",
            )
            .fact("Cause", *what)
            .action(again),
        }
    }
}

/// A text as far as it matters for being said twice.
fn bare(text: &str) -> String {
    text.trim().trim_end_matches('.').to_lowercase()
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let stop = if text.ends_with(['.', '!', '?', '…']) {
        ""
    } else {
        "."
    };
    format!("{}{stop}", capital(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text and the details of a failure of which the API says this.
    fn said(title: Option<&str>, detail: Option<&str>) -> (String, Vec<String>) {
        let problem = Problem {
            title: title.map(str::to_owned),
            detail: detail.map(str::to_owned),
            facts: Vec::new(),
        };
        let failure = Failure::new(StatusCode::BAD_GATEWAY, "The API failed", "Ours.");
        let failure = failure.problem(problem);
        let facts = failure.facts.into_iter().map(|fact| fact.value);
        (failure.text, facts.collect())
    }

    #[test]
    fn what_the_api_says_is_said_first_and_once() {
        let title = "This service is not set up correctly";
        let detail = "this service is not set up correctly at the identity provider";
        let whole = "This service is not set up correctly at the identity provider.";
        let nothing = Vec::<String>::new();
        assert_eq!(
            said(Some(title), Some(detail)),
            (whole.to_owned(), nothing.clone())
        );
        assert_eq!(said(Some(title), Some(title)).1, nothing);
        assert_eq!(
            said(Some("Consent is missing"), Some("Ask an administrator.")),
            (
                "Consent is missing.".to_owned(),
                vec!["Ask an administrator.".to_owned()]
            )
        );
        assert_eq!(
            said(None, Some("busy")),
            ("Busy.".to_owned(), nothing.clone())
        );
        assert_eq!(said(None, None), ("Ours.".to_owned(), nothing));
    }

    #[test]
    fn two_ids_are_shown_at_once_and_the_rest_is_folded() {
        let shown = |facts: &[(&str, &str)]| {
            let facts = facts
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let problem = Problem {
                facts: facts.collect(),
                ..Problem::default()
            };
            let failure = Failure::new(StatusCode::FORBIDDEN, "Title", "Text").problem(problem);
            let names =
                |facts: Vec<Fact>| facts.into_iter().map(|fact| fact.name).collect::<Vec<_>>();
            (names(failure.facts), names(failure.more))
        };
        assert_eq!(
            shown(&[
                ("type", "urn:x"),
                ("correlation_id", "c"),
                ("trace_id", "t"),
                ("error", "invalid_grant"),
                ("request_id", "r"),
                ("aadsts", "AADSTS50057"),
                ("actor", "caller"),
                ("needed_scopes", "a"),
            ]),
            (
                vec!["Error code".to_owned(), "Request ID".to_owned()],
                [
                    "Kind of problem",
                    "Correlation ID",
                    "Trace ID",
                    "OAuth error",
                    "Who has to act",
                    "Needed scopes"
                ]
                .map(str::to_owned)
                .to_vec()
            )
        );
        assert_eq!(shown(&[("correlation_id", "c")]).0, ["Correlation ID"]);
        assert_eq!(shown(&[("code", "TooMany")]).0, ["Code"]);
    }
}
