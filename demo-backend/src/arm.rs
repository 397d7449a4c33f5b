//! The call of Azure Resource Manager.

use anyhow::Context as _;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;
use tokio::time::Instant;
use url::{Host, Url};

use crate::Config;
use crate::explain;
use crate::next_link;
use crate::problem::Problem;

/// What of an answer's head is passed on, next to `x-ms-*`. What belongs to the connection, and what
/// Resource Manager says about its own host, is not.
const PASSED_ON: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CACHE_CONTROL,
    header::PRAGMA,
    header::EXPIRES,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
];

/// The subscriptions endpoint of one Resource Manager.
#[derive(Debug)]
pub(crate) struct Arm {
    client: reqwest::Client,
    endpoint: Url,
    api_version: String,
    max_body: usize,
    explain: bool,
}

impl Arm {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let url = &config.arm_url;
        let mut client = reqwest::Client::builder()
            // A redirect would take the token to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout);
        if is_loopback(url) {
            client = client.no_proxy();
        }
        let api_version = url
            .query_pairs()
            .find(|(name, _)| name == "api-version")
            .map_or_else(
                || config.api_version.clone(),
                |(_, value)| value.into_owned(),
            );
        Ok(Self {
            client: client.build().context("cannot set up the HTTP client")?,
            endpoint: endpoint(url),
            api_version,
            max_body: config.max_body,
            explain: config.explain,
        })
    }

    /// Asks for the subscriptions with the caller's query and `Authorization`, and gives the answer
    /// as it came.
    pub(crate) async fn subscriptions(
        &self,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let mut request = self.client.get(self.url(query));
        // All of them, as they are: what to think of two is for Resource Manager to say.
        for value in headers.get_all(header::AUTHORIZATION) {
            let mut value = value.clone();
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let begun = Instant::now();
        let mut answer = request.send().await.map_err(|error| problem(&error))?;

        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| problem(&error))? {
            if body.len() + chunk.len() > self.max_body {
                return Err(Problem::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let took = begun.elapsed();
        if let Some(rewritten) = next_link::rewrite(&body, &self.endpoint) {
            body = rewritten;
        }

        let mut response = Response::new(Body::from(body));
        *response.status_mut() = answer.status();
        for (name, value) in answer.headers() {
            if PASSED_ON.contains(name) || name.as_str().starts_with("x-ms-") {
                response.headers_mut().append(name.clone(), value.clone());
            }
        }
        if self.explain {
            explain::add(response.headers_mut(), headers, took);
        }
        Ok(response)
    }

    /// The endpoint with the caller's query as it is, and our `api-version` if it names none.
    fn url(&self, query: Option<&str>) -> Url {
        let mut url = self.endpoint.clone();
        url.set_query(query.filter(|query| !query.is_empty()));
        if !url.query_pairs().any(|(name, _)| name == "api-version") {
            url.query_pairs_mut()
                .append_pair("api-version", &self.api_version);
        }
        url
    }
}

fn endpoint(url: &Url) -> Url {
    let mut endpoint = url.clone();
    endpoint.set_query(None);
    endpoint.set_fragment(None);
    let path = url.path().trim_end_matches('/');
    if path.ends_with("/subscriptions") {
        endpoint.set_path(path);
    } else {
        endpoint.set_path(&format!("{path}/subscriptions"));
    }
    endpoint
}

fn problem(error: &reqwest::Error) -> Problem {
    if error.is_timeout() {
        Problem::Silent
    } else {
        Problem::Unreachable
    }
}

/// Whether tokens may travel to this address: https, or plain http that does not leave the machine.
pub(crate) fn is_secure(url: &Url) -> bool {
    url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for (url, secure) in [
            ("https://management.azure.com", true),
            ("http://127.0.0.1:9401", true),
            ("http://[::1]:9401", true),
            ("http://localhost:9401", true),
            ("http://example.com", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
            ("ftp://127.0.0.1", false),
        ] {
            let config = Config::new(Url::parse(url).unwrap());
            assert_eq!(config.check().is_ok(), secure, "{url}");
        }
    }

    fn asked_for(arm_url: &str, query: Option<&str>) -> String {
        let config = Config::new(Url::parse(arm_url).unwrap());
        Arm::new(&config).unwrap().url(query).to_string()
    }

    #[test]
    fn the_endpoint_may_be_named_by_its_host_or_in_full() {
        let expected = "https://management.azure.com/subscriptions?api-version=2022-12-01";
        assert_eq!(asked_for("https://management.azure.com", None), expected);
        assert_eq!(asked_for("https://management.azure.com/", None), expected);
        assert_eq!(
            asked_for("https://management.azure.com/subscriptions", None),
            expected
        );
        assert_eq!(
            asked_for(
                "https://management.azure.com/subscriptions?api-version=2020-01-01",
                Some("")
            ),
            "https://management.azure.com/subscriptions?api-version=2020-01-01"
        );
    }

    #[test]
    fn the_callers_query_is_passed_on_as_it_is() {
        assert_eq!(
            asked_for(
                "https://management.azure.com",
                Some("%24skiptoken=a%2Fb&api-version=2021-01-01")
            ),
            "https://management.azure.com/subscriptions?%24skiptoken=a%2Fb&api-version=2021-01-01"
        );
        assert_eq!(
            asked_for("https://management.azure.com", Some("$skiptoken=x")),
            "https://management.azure.com/subscriptions?$skiptoken=x&api-version=2022-12-01"
        );
    }
}
