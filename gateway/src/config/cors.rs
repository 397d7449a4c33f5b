//! Which web pages may use a route, and how: `route.cors`.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use url::Url;

use super::{
    resolve::Resolver,
    settings::{Given, RouteTable},
    value,
};

/// Which web pages may use a route, and how (the Fetch standard's CORS protocol).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cors {
    /// Pages of which origins.
    pub origins: CorsOrigins,
    /// Methods that pages may use; empty: those of the route.
    pub methods: Vec<Method>,
    /// Request headers that pages may set.
    pub headers: Vec<HeaderName>,
    /// Headers of answers that pages may read, besides those that challenges need.
    pub expose: Vec<HeaderName>,
    /// How long a browser may remember the answer to a preflight.
    pub max_age: Option<Duration>,
    /// Whether pages may send cookies.
    pub credentials: bool,
}

/// Pages of which origins may use a route.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorsOrigins {
    /// Of any; never together with credentials.
    Any,
    /// Of these, each as a browser writes it.
    Listed(Vec<HeaderValue>),
}

const ORIGINS: &str = "route.cors.origins";

impl Resolver<'_> {
    /// `None` where the route has no CORS, or where something is wrong with it.
    pub(super) fn cors(&mut self, table: &RouteTable) -> Option<Cors> {
        let any = table.values.0.keys().any(|key| key.starts_with("cors."));
        let said = |key: &str| table.has_been_said(key);
        let Some(given) = table.values.list("cors.origins") else {
            if any && !said(ORIGINS) {
                let message = "missing: pages of which origins may use the route";
                self.problems.push(table.origin.clone(), ORIGINS, message);
            }
            return None;
        };
        let credentials = table.values.switch("cors.credentials");
        let origins = self.origins(&given, credentials)?;
        let methods = match table.values.list("cors.methods") {
            Some(given) => self.methods("route.cors.methods", &given),
            None => Vec::new(),
        };
        let headers = match table.values.list("cors.headers") {
            Some(given) => self.header_names("route.cors.headers", &given),
            None => vec![http::header::AUTHORIZATION, http::header::CONTENT_TYPE],
        };
        let expose = match table.values.list("cors.expose") {
            Some(given) => self.header_names("route.cors.expose", &given),
            None => Vec::new(),
        };
        let max_age = table.values.text("cors.max_age").and_then(|given| {
            value::duration(given.value)
                .map_err(|message| {
                    self.problems
                        .push(given.origin, "route.cors.max_age", message);
                })
                .ok()
        });
        Some(Cors {
            origins,
            methods,
            headers,
            expose,
            max_age,
            credentials,
        })
    }

    fn origins(&mut self, given: &Given<&[String]>, credentials: bool) -> Option<CorsOrigins> {
        let before = self.problems.iter().count();
        let mut wrong = |message: String| {
            self.problems.push(given.origin.clone(), ORIGINS, message);
        };
        if given.value.is_empty() {
            wrong("an empty list lets no page in; leave `cors` out".to_owned());
        }
        if given.value.iter().any(|origin| origin == "*") {
            if credentials {
                wrong("`*` and `credentials` together would let every page of the web act as its visitor; name the origins".to_owned());
            } else if given.value.len() > 1 {
                wrong("`*` stands alone".to_owned());
            }
            let right = self.problems.iter().count() == before;
            return right.then_some(CorsOrigins::Any);
        }
        let mut origins = Vec::with_capacity(given.value.len());
        for text in given.value {
            match origin(text) {
                Ok(origin) => origins.push(origin),
                Err(message) => wrong(message),
            }
        }
        let right = self.problems.iter().count() == before;
        right.then_some(CorsOrigins::Listed(origins))
    }

    fn header_names(&mut self, key: &str, given: &Given<&[String]>) -> Vec<HeaderName> {
        let mut names = Vec::with_capacity(given.value.len());
        for text in given.value {
            match HeaderName::from_bytes(text.as_bytes()) {
                // A name to HTTP, and to browsers everything but Authorization.
                Ok(_) if text == "*" => {
                    let message = "`*` does not stand for Authorization; name the headers";
                    self.problems.push(given.origin.clone(), key, message);
                }
                Ok(name) => names.push(name),
                Err(_) => {
                    let message = format!("{text:?} is no header name");
                    self.problems.push(given.origin.clone(), key, message);
                }
            }
        }
        names
    }
}

/// An origin as browsers write it, since they are compared byte by byte.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let no_origin = || {
        format!(
            "{text:?} is no origin such as https://app.example.com: scheme, host, and the port where it is not the scheme's own"
        )
    };
    // `null` is what every sandboxed page says.
    let url = Url::parse(text).map_err(|_| no_origin())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(no_origin());
    }
    let written = url.origin().ascii_serialization();
    if written != text {
        return Err(format!("{}; {written:?} is meant?", no_origin()));
    }
    HeaderValue::try_from(written).map_err(|_| no_origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        for good in [
            "https://app.example.com",
            "http://localhost:3000",
            "https://[::1]:8443",
        ] {
            assert_eq!(origin(good).unwrap(), good);
        }
        for bad in [
            "null",
            "*",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/x",
            "https://APP.example.com",
            "https://app.example.com:443",
            "file:///x",
            "https://u@app",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
