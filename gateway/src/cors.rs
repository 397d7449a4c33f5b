//! Which web pages may use a route: the Fetch standard's CORS protocol, the server's part of it.
//!
//! CORS is kept by browsers: a page of another origin is answered like anybody, but its script sees
//! the answer only if the headers set here say so. What the upstream says of it is replaced, since
//! two of a kind are none to a browser, and since the configuration is what holds.

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, RETRY_AFTER,
        VARY, WWW_AUTHENTICATE,
    },
};

use crate::{
    config::{self, CorsOrigins},
    headers,
    message::answer::REQUEST_ID,
};

/// The CORS of one route, its headers ready made.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: CorsOrigins,
    credentials: bool,
    methods: HeaderValue,
    /// `None`: pages may set no header.
    headers: Option<HeaderValue>,
    expose: HeaderValue,
    max_age: Option<HeaderValue>,
}

/// What the page that sent a request may do with the answer.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    /// Read it, as `Access-Control-Allow-Origin` says.
    Allowed(HeaderValue),
    /// Nothing; or no page sent it.
    Other,
}

/// The methods of a route that takes all.
const ALL: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

impl Cors {
    /// Of a route that takes these methods, or all where there is none.
    pub(crate) fn new(config: &config::Cors, of_route: &[Method]) -> Self {
        let methods = match (config.methods.as_slice(), of_route) {
            ([], []) => &ALL,
            ([], of_route) => of_route,
            (own, _) => own,
        };
        // Without them a page cannot know what to bring, or when to come back.
        let challenge = [WWW_AUTHENTICATE, RETRY_AFTER, REQUEST_ID];
        let expose = challenge.iter().chain(&config.expose);
        Self {
            origins: config.origins.clone(),
            credentials: config.credentials,
            methods: list(methods.iter().map(Method::as_str)),
            headers: (!config.headers.is_empty())
                .then(|| list(config.headers.iter().map(HeaderName::as_str))),
            expose: list(expose.map(HeaderName::as_str)),
            max_age: config.max_age.map(|age| HeaderValue::from(age.as_secs())),
        }
    }

    /// The page that sent a request with these headers.
    pub(crate) fn page(&self, headers: &HeaderMap) -> Page {
        let mut origins = headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return Page::Other;
        };
        match &self.origins {
            CorsOrigins::Any => Page::Allowed(HeaderValue::from_static("*")),
            CorsOrigins::Listed(listed) if listed.contains(origin) => Page::Allowed(origin.clone()),
            CorsOrigins::Listed(_) => Page::Other,
        }
    }

    /// Makes the headers of an answer say what `page` may do with it.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, page: &Page) {
        headers::remove_where(headers, |name| name.as_str().starts_with("access-control-"));
        self.allow(headers, page);
        if matches!(page, Page::Allowed(_)) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.clone());
        }
    }

    /// The answer to a preflight.
    pub(crate) fn preflight(&self, page: &Page) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        self.allow(&mut headers, page);
        vary(&mut headers, ACCESS_CONTROL_REQUEST_METHOD);
        if matches!(page, Page::Allowed(_)) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            if let Some(allowed) = &self.headers {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
            }
            if let Some(age) = &self.max_age {
                headers.insert(ACCESS_CONTROL_MAX_AGE, age.clone());
            }
        }
        (StatusCode::NO_CONTENT, headers)
    }

    fn allow(&self, headers: &mut HeaderMap, page: &Page) {
        if matches!(self.origins, CorsOrigins::Listed(_)) {
            // Also where no page asks: a cache must not keep that answer for one that does.
            vary(headers, ORIGIN);
        }
        if let Page::Allowed(origin) = page {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.credentials {
                let yes = HeaderValue::from_static("true");
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
    }
}

/// The method that a preflight asks for; `None`: the request is none.
pub(crate) fn asked_for(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if *method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    let asked = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(asked.as_bytes()).ok()
}

/// Adds a name to `Vary`, unless it is there.
fn vary(headers: &mut HeaderMap, name: HeaderName) {
    let said = headers
        .get_all(VARY)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|item| {
            let item = item.trim_ascii();
            item == b"*" || item.eq_ignore_ascii_case(name.as_str().as_bytes())
        });
    if !said {
        headers.append(VARY, HeaderValue::from(name));
    }
}

/// Names of methods and headers, which may all stand in a header.
fn list<'a>(items: impl Iterator<Item = &'a str>) -> HeaderValue {
    let text = items.collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_names_the_origin_once() {
        for (said, then) in [
            (vec![], vec!["origin"]),
            (vec!["accept"], vec!["accept", "origin"]),
            (vec!["accept, Origin"], vec!["accept, Origin"]),
            (vec!["accept", "ORIGIN"], vec!["accept", "ORIGIN"]),
            (vec!["*"], vec!["*"]),
        ] {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(VARY, HeaderValue::from_static(value));
            }
            vary(&mut headers, ORIGIN);
            let values: Vec<_> = headers.get_all(VARY).iter().collect();
            assert_eq!(values, then);
        }
    }

    #[test]
    fn a_preflight_has_a_method_and_an_origin_and_asks_for_a_method() {
        let headers = |names: &[&'static str]| -> HeaderMap {
            let line = |name: &&'static str| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static("PUT"),
                )
            };
            names.iter().map(line).collect()
        };
        let both = headers(&["origin", "access-control-request-method"]);
        assert_eq!(asked_for(&Method::OPTIONS, &both), Some(Method::PUT));
        assert_eq!(asked_for(&Method::GET, &both), None);
        for one in ["origin", "access-control-request-method"] {
            assert_eq!(asked_for(&Method::OPTIONS, &headers(&[one])), None, "{one}");
        }
    }
}
