//! The bearer token of a request to a resource.

use axum::http::{HeaderMap, header};

/// What the `Authorization` header holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bearer<'a> {
    Missing,
    /// Another scheme, no text, or more than one header.
    Malformed,
    Token(&'a str),
}

impl<'a> Bearer<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut lines = headers.get_all(header::AUTHORIZATION).iter();
        let Some(line) = lines.next() else {
            return Self::Missing;
        };
        line.to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .filter(|_| lines.next().is_none())
            .map_or(Self::Malformed, |(_, token)| Self::Token(token.trim()))
    }
}
