//! The page for what can't be told to a client.

use askama::Template;
use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;

use super::html::{Permit, page};
use crate::error::{AadError, RequestIds};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    message: &'a str,
    code: u32,
    ids: Option<&'a RequestIds>,
}

pub(crate) fn show(status: StatusCode, error: &AadError, ids: &RequestIds) -> Response {
    let template = ErrorPage {
        title: "Sorry, that did not work",
        message: &error.message,
        code: error.code,
        ids: Some(ids),
    };
    page(status, &template, Permit::default())
}

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    code: Option<u32>,
}

/// `GET /error?code=50013`, which every error names as its `error_uri`.
pub(crate) async fn explain(Query(asked): Query<Asked>) -> Response {
    let template = ErrorPage {
        title: "About an error",
        message: "Microsoft's own page says what the code means.",
        code: asked.code.unwrap_or_default(),
        ids: None,
    };
    page(StatusCode::OK, &template, Permit::default())
}

/// A page that says one thing.
pub(super) fn plain(status: StatusCode, message: &str) -> Response {
    let template = ErrorPage {
        title: "Sorry, that did not work",
        message,
        code: 0,
        ids: None,
    };
    page(status, &template, Permit::default())
}

/// Everything that isn't emulated.
pub(crate) async fn unknown(uri: Uri) -> Response {
    let message = format!(
        "The emulator has nothing at {}. Its endpoints are on the home page.",
        uri.path()
    );
    let template = ErrorPage {
        title: "Not emulated",
        message: &message,
        code: 0,
        ids: None,
    };
    page(StatusCode::NOT_FOUND, &template, Permit::default())
}
