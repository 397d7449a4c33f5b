//! Calls of the API.

use std::collections::HashSet;
use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use oauth2::AccessToken;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::call::Call;
use crate::challenge;
use crate::http_client::{self, HttpError};
use crate::problem::{Problem, shorten};

/// Pages that are followed at most.
const MAX_PAGES: usize = 20;
/// Subscriptions that are kept of one page.
const MAX_ROWS: usize = 1000;
/// Tags that are kept of one subscription: as many as Azure allows.
const MAX_TAGS: usize = 50;
/// Bytes that are read at most, all pages together.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The list of subscriptions at one API.
#[derive(Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    url: Url,
}

/// The list, as far as it was read.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) pages: Vec<Page>,
    pub(crate) rest: Rest,
    /// What became of the call of the first page.
    pub(crate) call: Call,
}

/// One answer of the API.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) body: String,
    pub(crate) subscriptions: Vec<Subscription>,
}

/// What is shown of a subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Subscription {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) tenant: String,
    /// `name: value` of each tag.
    pub(crate) tags: Vec<String>,
}

/// Whether there is more than was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rest {
    /// That is all.
    Nothing,
    /// More than is shown.
    More,
    /// The API named a next page on another host, where the token must not go.
    Elsewhere,
}

/// Why there is no list.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// No answer.
    Http(HttpError),
    /// 401 with claims: the user has to sign in again and bring these (JSON).
    Challenge(String),
    /// Another status than 200.
    Status {
        status: StatusCode,
        retry_after: Option<HeaderValue>,
        problem: Problem,
    },
    /// 200 with something else than a list.
    Unreadable,
}

impl From<HttpError> for ApiError {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

#[derive(Deserialize)]
struct List {
    value: Rows,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
}

impl List {
    /// Resource Manager's form, or the list alone, as APIs have it that hand out no more than that.
    fn read(body: &str) -> serde_json::Result<Self> {
        if !body.trim_start().starts_with('[') {
            return serde_json::from_str(body);
        }
        Ok(Self {
            value: serde_json::from_str(body)?,
            next_link: None,
        })
    }
}

impl Api {
    pub(crate) fn new(http: reqwest::Client, url: Url) -> Self {
        Self { http, url }
    }

    /// The address, for pages that say who could not be reached.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The user's subscriptions, page after page.
    pub(crate) async fn subscriptions(&self, token: &AccessToken) -> Result<Listing, ApiError> {
        let mut pages = Vec::new();
        let mut first = None;
        let mut seen = HashSet::from([self.url.clone()]);
        let mut url = self.url.clone();
        let mut left = MAX_BYTES;
        loop {
            let (page, next, call) = match (self.page(url, token, left).await, first.take()) {
                // The bound is on the whole list: what was read so far is good.
                (Err(ApiError::Http(HttpError::TooLong)), Some(call)) => {
                    let rest = Rest::More;
                    return Ok(Listing { pages, rest, call });
                }
                (Ok((page, next, call)), first) => (page, next, first.unwrap_or(call)),
                (Err(error), _) => return Err(error),
            };
            left = left.saturating_sub(page.body.len());
            pages.push(page);
            let rest = match next {
                None => Rest::Nothing,
                Some(next) => match self.next(&next) {
                    None => Rest::Elsewhere,
                    Some(next) if pages.len() < MAX_PAGES && seen.insert(next.clone()) => {
                        url = next;
                        first = Some(call);
                        continue;
                    }
                    Some(_) => Rest::More,
                },
            };
            return Ok(Listing { pages, rest, call });
        }
    }

    /// The next page, if it is at the API itself.
    fn next(&self, link: &str) -> Option<Url> {
        let mut next = self.url.join(link).ok()?;
        next.set_fragment(None);
        let ours = next.origin() == self.url.origin()
            && next.username().is_empty()
            && next.password().is_none();
        ours.then_some(next)
    }

    async fn page(
        &self,
        url: Url,
        token: &AccessToken,
        limit: usize,
    ) -> Result<(Page, Option<String>, Call), ApiError> {
        let request = self
            .http
            .get(url.clone())
            .bearer_auth(token.secret())
            .header(header::ACCEPT, "application/json")
            .build()
            // A token that is no header value can't be sent anywhere.
            .map_err(|_malformed| ApiError::Unreadable)?;
        let begun = Instant::now();
        let answer = http_client::send(&self.http, request, limit).await?;
        let call = Call::new(token, &answer.headers, begun.elapsed());
        if answer.status != StatusCode::OK {
            let status = answer.status;
            if status == StatusCode::UNAUTHORIZED
                && let Some(claims) = challenge::claims(&answer.headers)
            {
                return Err(ApiError::Challenge(claims));
            }
            return Err(ApiError::Status {
                status,
                retry_after: answer.headers.get(header::RETRY_AFTER).cloned(),
                problem: Problem::parse(&answer.body).of_request(call.request_id),
            });
        }
        let body = String::from_utf8(answer.body).map_err(|_not_text| ApiError::Unreadable)?;
        let list = List::read(&body).map_err(|_no_list| ApiError::Unreadable)?;
        let page = Page {
            url,
            body,
            subscriptions: list.value.0,
        };
        let next = list.next_link.filter(|link| !link.is_empty());
        Ok((page, next, call))
    }
}

impl Subscription {
    fn read(value: &Value) -> Self {
        let text = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_str)
                .map(shorten)
                .unwrap_or_default()
        };
        Self {
            name: text("displayName"),
            id: text("subscriptionId"),
            state: text("state"),
            tenant: text("tenantId"),
            tags: tags(value.get("tags")),
        }
    }
}

fn tags(tags: Option<&Value>) -> Vec<String> {
    let tags = tags.and_then(Value::as_object).into_iter().flatten();
    tags.take(MAX_TAGS)
        .map(|(name, value)| match value.as_str() {
            Some("") | None => shorten(name),
            Some(value) => format!("{}: {}", shorten(name), shorten(value)),
        })
        .collect()
}

/// The first [`MAX_ROWS`] of a list. The others are stepped over: a list of millions of empty
/// objects is short as text and long in memory.
struct Rows(Vec<Subscription>);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of subscriptions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rows, A::Error> {
        let mut rows = Vec::new();
        while rows.len() < MAX_ROWS {
            match list.next_element::<Value>()? {
                Some(value) => rows.push(Subscription::read(&value)),
                None => return Ok(Rows(rows)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Rows(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ui_08_of_an_endless_list_the_beginning_is_kept() {
        let list = format!("[{}{{}}]", "{},".repeat(MAX_ROWS + 5));
        let rows: Rows = serde_json::from_str(&list).unwrap();
        assert_eq!(rows.0.len(), MAX_ROWS);
    }

    #[test]
    fn ui_08_only_links_to_the_api_itself_are_followed() {
        let url = Url::parse("http://127.0.0.1:8080/subscriptions").unwrap();
        let api = Api::new(reqwest::Client::new(), url);
        assert_eq!(
            api.next("/subscriptions?%24skiptoken=a%2Fb")
                .unwrap()
                .as_str(),
            "http://127.0.0.1:8080/subscriptions?%24skiptoken=a%2Fb"
        );
        assert!(api.next("http://127.0.0.1:8080/subscriptions?a").is_some());
        for link in [
            "//evil.example/x",
            "\\\\evil.example/x",
            "/\t/evil.example",
            "https://127.0.0.1:8080/subscriptions",
            "http://127.0.0.1:8081/subscriptions",
            "http://localhost:8080/subscriptions",
            "http://127.0.0.1:8080@evil.example/",
            "http://user@127.0.0.1:8080/",
            "http:///evil.example",
            "javascript:alert(1)",
            "data:,x",
        ] {
            assert_eq!(api.next(link), None, "{link}");
        }
    }
}
