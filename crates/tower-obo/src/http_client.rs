//! Calls of the identity provider: bounded in time and size, never redirected.

use std::{error::Error as StdError, fmt, path::Path, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use zeroize::Zeroizing;

use crate::Provider;

/// Why a call got no answer that could be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CallError {
    /// No answer in time.
    Timeout,
    /// Refused, reset, no address.
    Unreachable,
    /// The certificate of the other side cannot be trusted.
    Tls,
    /// The answer is larger than the limit, or broke off.
    BadBody,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "no answer in time",
            Self::Unreachable => "the connection failed",
            Self::Tls => "the TLS certificate cannot be trusted",
            Self::BadBody => "the answer is too large or broke off",
        })
    }
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// The one HTTP client of a core. It honours `HTTPS_PROXY` and `NO_PROXY`, verifies certificates
/// always, and does not follow redirects: what it sends must not leave the pinned host.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
    max_body: usize,
}

impl HttpClient {
    /// A client for that authority, whose calls take at most `timeout`. A proxy of the environment is
    /// not asked for plain `http`, which is on this machine.
    pub(crate) fn new(timeout: Duration, provider: &Provider) -> Result<Self, String> {
        let mut client = reqwest::Client::builder();
        if let Some(path) = provider.ca_file() {
            let certificates =
                authorities(path).map_err(|problem| format!("{} {problem}", path.display()))?;
            client = client.tls_certs_merge(certificates);
        }
        if provider.is_local() {
            client = client.no_proxy();
        }
        Self::build(client, timeout)
    }

    /// A client that asks nobody on the way, whatever the environment says, and keeps no connection.
    pub(crate) fn without_proxy(timeout: Duration) -> Result<Self, String> {
        let client = reqwest::Client::builder().no_proxy();
        Self::build(client.pool_max_idle_per_host(0), timeout)
    }

    fn build(client: reqwest::ClientBuilder, timeout: Duration) -> Result<Self, String> {
        let client = client
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .user_agent(concat!("tower-obo/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("the HTTP client cannot be built: {error}"))?;
        Ok(Self {
            client,
            max_body: 1024 * 1024,
        })
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Answer, CallError> {
        self.read(self.client.get(url)).await
    }

    pub(crate) async fn get_with(
        &self,
        url: &str,
        headers: HeaderMap,
    ) -> Result<Answer, CallError> {
        self.read(self.client.get(url).headers(headers)).await
    }

    /// Posts a form that is already encoded, and wipes it. (What the connection has copied of it is not
    /// ours to wipe.)
    pub(crate) async fn post_form(
        &self,
        url: &str,
        headers: HeaderMap,
        form: Zeroizing<String>,
    ) -> Result<Answer, CallError> {
        let request = self
            .client
            .post(url)
            .headers(headers)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from_owner(form));
        self.read(request).await
    }

    async fn read(&self, request: reqwest::RequestBuilder) -> Result<Answer, CallError> {
        let mut response = request.send().await.map_err(|error| classify(&error))?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        loop {
            let ends = match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > self.max_body => CallError::BadBody,
                Ok(Some(chunk)) => {
                    body.extend_from_slice(&chunk);
                    continue;
                }
                Ok(None) => break,
                Err(error) => match classify(&error) {
                    CallError::Timeout => CallError::Timeout,
                    _ => CallError::BadBody,
                },
            };
            // Of those the status and `Retry-After` are what counts, and both have arrived: a throttle
            // that cannot finish its sentence is a throttle all the same.
            if asks_to_wait(status) {
                break;
            }
            return Err(ends);
        }
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}

/// Whether the answer says that it is not the request's fault: come again later.
fn asks_to_wait(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
    ) || status.is_server_error()
}

/// The certificates of a file, which must have one at least.
fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem)
        .map_err(|_| "has a certificate that cannot be read".to_owned())?;
    if certificates.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    Ok(certificates)
}

fn classify(error: &reqwest::Error) -> CallError {
    if error.is_timeout() {
        CallError::Timeout
    } else if is_tls(error) {
        CallError::Tls
    } else {
        CallError::Unreachable
    }
}

/// Whether the cause is a TLS error. It sits inside an `io::Error`, whose `source` skips it.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(inner) = io.get_ref()
        {
            if inner.is::<rustls::Error>() {
                return true;
            }
            cause = Some(inner);
            continue;
        }
        cause = error.source();
    }
    false
}
