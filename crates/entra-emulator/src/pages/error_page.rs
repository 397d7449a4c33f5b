//! The page for what can't be told to a client.

use askama::Template;
use axum::extract::RawQuery;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::html::{Permit, page};
use crate::aadsts::Aadsts;
use crate::error::{AadError, RequestIds};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    message: &'a str,
    code: u32,
    known: Option<&'static Aadsts>,
    ids: Option<&'a RequestIds>,
    /// Codes to choose from.
    all: &'static [Aadsts],
}

impl<'a> ErrorPage<'a> {
    fn saying(title: &'a str, message: &'a str) -> Self {
        Self {
            title,
            message,
            code: 0,
            known: None,
            ids: None,
            all: &[],
        }
    }

    fn about(title: &'a str, message: &'a str, code: u32) -> Self {
        Self {
            code,
            known: Aadsts::find(code),
            ..Self::saying(title, message)
        }
    }
}

pub(crate) fn show(status: StatusCode, error: &AadError, ids: &RequestIds) -> Response {
    let template = ErrorPage {
        ids: Some(ids),
        ..ErrorPage::about("Sorry, that did not work", &error.message, error.code)
    };
    page(status, &template, Permit::default())
}

/// `GET /error?code=50013`, which every error names as its `error_uri`.
pub(crate) async fn explain(RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let asked = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "code")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    let number = asked.trim().trim_start_matches("AADSTS");
    let message;
    let template = match number.parse() {
        Ok(code) if Aadsts::find(code).is_some() => ErrorPage::about("About a code", "", code),
        Ok(code) => ErrorPage {
            all: Aadsts::all(),
            ..ErrorPage::about(
                "About a code",
                "The emulator never says this code, and knows nothing about it.",
                code,
            )
        },
        Err(_) => {
            message = if asked.is_empty() {
                "What Entra ID says when it refuses: the codes that the emulator knows.".to_owned()
            } else {
                format!("{asked:?} is no code: 65001 is one, and AADSTS65001.")
            };
            ErrorPage {
                all: Aadsts::all(),
                ..ErrorPage::saying("AADSTS codes", &message)
            }
        }
    };
    page(StatusCode::OK, &template, Permit::default())
}

/// Text with `code` in it, as pieces that are code or are not.
fn pieces(text: &str) -> impl Iterator<Item = (bool, &str)> {
    (text.split('`').enumerate()).map(|(at, piece)| (at % 2 == 1, piece))
}

/// A page that says one thing.
pub(super) fn plain(status: StatusCode, message: &str) -> Response {
    let template = ErrorPage::saying("Sorry, that did not work", message);
    page(status, &template, Permit::default())
}

/// Everything that isn't emulated.
pub(crate) async fn unknown(uri: Uri) -> Response {
    let message = format!(
        "The emulator has nothing at {}. Its endpoints are on the home page.",
        uri.path()
    );
    let template = ErrorPage::saying("Not emulated", &message);
    page(StatusCode::NOT_FOUND, &template, Permit::default())
}
