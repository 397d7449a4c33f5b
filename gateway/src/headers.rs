//! Header names that do not pass the gateway: those of one connection, and reserved ones.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;

/// Whether a header belongs to one connection and is never forwarded (RFC 9110 §7.6.1), whatever
/// `Connection` says.
///
/// `Proxy-Authorization` and `Proxy-Authenticate` count too: the credentials were meant for us.
pub(crate) fn belongs_to_the_connection(name: &HeaderName) -> bool {
    const CONNECTION: [HeaderName; 7] = [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let text = name.as_str();
    match text.as_bytes().first() {
        Some(b'c' | b't' | b'u') => CONNECTION.contains(name) || is_alias(text.as_bytes()),
        Some(b'p') => {
            CONNECTION.contains(name)
                // `Proxy` is no header at all, but CGI makes HTTP_PROXY of it (httpoxy).
                || matches!(text, "proxy" | "proxy-connection" | "proxy-authentication-info")
                || is_alias(text.as_bytes())
        }
        Some(b'k') => text == "keep-alive" || is_alias(text.as_bytes()),
        Some(b'h') => text == "http2-settings" || is_alias(text.as_bytes()),
        _ => false,
    }
}

/// Whether a name is none of those that frame a message or belong to a connection, but becomes one where
/// bytes that are no letters or digits are folded into one (CGI, WSGI, PHP): `Transfer_Encoding` is
/// then read as the real one, and the body ends elsewhere.
fn is_alias(name: &[u8]) -> bool {
    let real: &[u8] = match (name.first(), name.len()) {
        (Some(b'c'), 14) => b"content-length",
        (Some(b'h'), 14) => b"http2-settings",
        (Some(b'k'), 10) => b"keep-alive",
        (Some(b'p'), 16) => b"proxy-connection",
        (Some(b'p'), 18) => b"proxy-authenticate",
        (Some(b'p'), 19) => b"proxy-authorization",
        (Some(b'p'), 25) => b"proxy-authentication-info",
        (Some(b't'), 17) => b"transfer-encoding",
        _ => return false,
    };
    name != real
        && (name.iter().zip(real))
            .all(|(byte, real)| byte == real || *real == b'-' && !byte.is_ascii_alphanumeric())
}

/// Removes every header that belongs to the connection, those that `Connection` names first.
///
/// `Authorization` and `Host` are left alone, even where `Connection` names them: the one is judged and
/// removed by the step that injects, and the upstream is told of the other.
pub(crate) fn strip_connection(headers: &mut HeaderMap) {
    strip_connection_and(headers, |_| false);
}

/// The same, and every header that fits, in one pass.
pub(crate) fn strip_connection_and(headers: &mut HeaderMap, fits: impl Fn(&HeaderName) -> bool) {
    let mut found: SmallVec<[HeaderName; 8]> = SmallVec::new();
    for (name, value) in &*headers {
        if *name == header::CONNECTION {
            push_named(&mut found, value);
        }
        if belongs_to_the_connection(name) || fits(name) {
            found.push(name.clone());
        }
    }
    for name in &found {
        headers.remove(name);
    }
}

/// Removes every header whose name fits; names are collected first, since a map cannot be changed
/// while it is walked.
pub(crate) fn remove_where(headers: &mut HeaderMap, fits: impl Fn(&HeaderName) -> bool) {
    let mut found: SmallVec<[HeaderName; 8]> = SmallVec::new();
    for name in headers.keys() {
        if fits(name) {
            found.push(name.clone());
        }
    }
    for name in &found {
        headers.remove(name);
    }
}

/// What a line of `Connection` names.
fn push_named(found: &mut SmallVec<[HeaderName; 8]>, value: &HeaderValue) {
    for token in value.as_bytes().split(|byte| *byte == b',') {
        match HeaderName::from_bytes(token.trim_ascii()) {
            Ok(name) if name != header::AUTHORIZATION && name != header::HOST => found.push(name),
            _ => {}
        }
    }
}

/// Removes every header whose value is the token that was injected (`Bearer <token>`) or repeats it.
fn remove_echo(headers: &mut HeaderMap, injected: &HeaderValue) {
    // What can't hold the token is told by its length: with many callers the text of the token has left
    // the processor's caches while the upstream answered.
    let least = injected.len().saturating_sub(BEARER.len());
    if !headers.values().any(|value| value.len() >= least) {
        return;
    }
    let injected = injected.as_bytes();
    let token = injected.strip_prefix(BEARER).unwrap_or(injected);
    if token.is_empty() {
        return;
    }
    let echoes: Vec<HeaderName> = headers
        .iter()
        .filter(|(_, value)| contains(value.as_bytes(), token))
        .map(|(name, _)| name.clone())
        .collect();
    for name in echoes {
        headers.remove(name);
    }
}

fn contains(value: &[u8], token: &[u8]) -> bool {
    value.len() >= token.len() && value.windows(token.len()).any(|window| window == token)
}

const BEARER: &[u8] = b"Bearer ";

/// The tokens that an upstream was given, and that its answer must not repeat.
pub(crate) struct Injected(SmallVec<[HeaderValue; 1]>);

impl Injected {
    /// `Authorization`, whatever it is, and the headers that tokens go into besides.
    pub(crate) fn of(headers: &HeaderMap, token_headers: &[HeaderName]) -> Self {
        let mut injected = SmallVec::new();
        if let Some(authorization) = headers.get(header::AUTHORIZATION) {
            injected.push(authorization.clone());
        }
        for name in token_headers {
            injected.extend(headers.get(name).cloned());
        }
        Self(injected)
    }

    #[cfg(test)]
    pub(crate) fn one(value: &'static str) -> Self {
        Self([HeaderValue::from_static(value)].into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes every header that repeats one of them.
    pub(crate) fn remove_echo(&self, headers: &mut HeaderMap) {
        for injected in &self.0 {
            remove_echo(headers, injected);
        }
    }
}

/// Header names that only the gateway may set.
///
/// Names are compared after every byte that is no letter or digit is read as `-`, since CGI, WSGI,
/// PHP and others fold such bytes into one and would take `X_Forwarded_For` for the real one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reserved {
    /// Folded; those of the configuration.
    configured: BTreeSet<String>,
}

/// Folded names and, where they end in `*`, prefixes, all with `x-`.
const X_NAMES: [&[u8]; 10] = [
    b"x-arr-clientcert",
    b"x-arr-ssl",
    b"x-azure-clientip",
    b"x-azure-socketip",
    b"x-client-cert",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-real-ip",
    b"x-request-id",
    b"x-rewrite-url",
];
const X_PREFIXES: [&[u8]; 5] = [
    b"x-forwarded-",
    b"x-ms-client-principal",
    b"x-ms-token-",
    b"x-original-",
    b"x-ssl-client-",
];

impl Reserved {
    /// Adds a name of the configuration.
    pub(crate) fn add(&mut self, name: &HeaderName) {
        // As long as there is no other, no name of a request has to be folded to be looked up.
        if !is_built_in(name.as_str()) {
            self.configured
                .insert(fold(name.as_str()).into_iter().map(char::from).collect());
        }
    }

    /// Whether `name` or what it may be folded into is reserved.
    pub(crate) fn contains(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        is_built_in(text) || self.is_configured(text)
    }

    fn is_configured(&self, text: &str) -> bool {
        if self.configured.is_empty() {
            return false;
        }
        let folded = fold(text);
        std::str::from_utf8(&folded).is_ok_and(|folded| self.configured.contains(folded))
    }
}

/// What a name becomes where bytes that are no letters or digits are folded into one; `None` where that
/// is the name itself.
pub(crate) fn folded(name: &HeaderName) -> Option<HeaderName> {
    let folded = fold(name.as_str());
    if folded.as_slice() == name.as_str().as_bytes() {
        return None;
    }
    HeaderName::from_bytes(&folded).ok()
}

/// Whether the name is reserved whatever is configured.
fn is_built_in(text: &str) -> bool {
    match text.as_bytes() {
        [b'x', _, ..] => {
            let folded = fold(text);
            X_NAMES.contains(&folded.as_slice())
                || X_PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
        }
        b"authorization" | b"forwarded" => true,
        // RFC 9440: what a TLS terminator says of the client's certificate.
        [b'c', b'l', ..] => {
            matches!(fold(text).as_slice(), b"client-cert" | b"client-cert-chain")
        }
        // Where content delivery networks say who the client is.
        [b'c', b'f', ..] => fold(text).as_slice() == b"cf-connecting-ip",
        [b'f', b'a', ..] => fold(text).as_slice() == b"fastly-client-ip",
        // What some terminators call it.
        [b's', b's', ..] => fold(text).starts_with(b"ssl-client-"),
        [b't', b'r', ..] => fold(text).as_slice() == b"true-client-ip",
        _ => false,
    }
}

fn fold(name: &str) -> SmallVec<[u8; 40]> {
    name.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                byte.to_ascii_lowercase()
            } else {
                b'-'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn what_connection_names_goes_in_any_case_and_on_several_lines() {
        let mut headers = map(&[
            ("connection", "close, X-A"),
            ("connection", "x-B ,, authorization,HOST"),
            ("x-a", "1"),
            ("x-b", "1"),
            ("x-c", "1"),
            ("authorization", "Bearer x"),
            ("host", "gw"),
        ]);
        strip_connection(&mut headers);
        let mut left = names(&headers);
        left.sort_unstable();
        assert_eq!(left, ["authorization", "host", "x-c"]);
    }

    #[test]
    fn headers_of_the_connection_go_without_being_named() {
        let mut headers = map(&[
            ("keep-alive", "1"),
            ("proxy-connection", "1"),
            ("proxy", "http://evil.example"),
            ("te", "gzip"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("proxy-authorization", "Basic x"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
            ("trailers-like", "1"),
        ]);
        strip_connection(&mut headers);
        let mut left = names(&headers);
        left.sort_unstable();
        assert_eq!(left, ["accept", "trailers-like"]);
    }

    #[test]
    fn hd_05_what_folds_into_a_header_of_the_connection_or_of_the_framing_is_one() {
        for name in [
            "transfer_encoding",
            "transfer.encoding",
            "content_length",
            "content~length",
            "keep_alive",
            "http2!settings",
            "proxy_connection",
            "proxy_authenticate",
            "proxy_authorization",
            "proxy_authentication_info",
            "proxy.authentication-info",
        ] {
            assert!(belongs_to_the_connection(&name.parse().unwrap()), "{name}");
        }
        for name in [
            "content-length",
            "content_lengths",
            "contentxlength",
            "content_type",
            "transfer-encodings",
            "te_",
            "cookie",
        ] {
            assert!(!belongs_to_the_connection(&name.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn aliases_of_reserved_names_are_reserved() {
        let mut reserved = Reserved::default();
        reserved.add(&HeaderName::from_static("x-obo-oid"));
        for name in [
            "Authorization",
            "Forwarded",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "x.forwarded.anything",
            "X-Real-IP",
            "x_real-ip",
            "X-Original-URL",
            "X_Rewrite_URL",
            "X-MS-CLIENT-PRINCIPAL",
            "X_MS_CLIENT_PRINCIPAL_ID",
            "X-MS-TOKEN-AAD-ACCESS-TOKEN",
            "X-Forwarded-Client-Cert",
            "Client-Cert",
            "Client_Cert_Chain",
            "X-Client-Cert",
            "True-Client-IP",
            "True_Client_IP",
            "CF-Connecting-IP",
            "Fastly-Client-IP",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "X-Azure-ClientIP",
            "X-Azure-SocketIP",
            "X-Obo-Oid",
            "x_obo.oid",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            assert!(reserved.contains(&name), "{name}");
        }
        for name in [
            "x_other",
            "x-forward",
            "accept",
            "x-ms-date",
            "cookie",
            "x-obo-oidx",
            "host",
            "x",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            assert!(!reserved.contains(&name), "{name}");
        }
    }

    #[test]
    fn what_is_reserved_anyway_makes_no_request_dearer() {
        let mut reserved = Reserved::default();
        for name in ["authorization", "x-forwarded-for", "x-ms-token-graph"] {
            let name = HeaderName::from_static(name);
            reserved.add(&name);
            assert!(reserved.contains(&name));
        }
        assert!(reserved.configured.is_empty());
    }

    #[test]
    fn an_echo_of_the_injected_token_goes() {
        let injected = HeaderValue::from_static("Bearer secret-token");
        let mut headers = map(&[
            ("a", "Bearer secret-token"),
            ("b", "secret-token"),
            ("c", "got: secret-token!"),
            ("d", "secret"),
        ]);
        remove_echo(&mut headers, &injected);
        assert_eq!(names(&headers), ["d"]);

        // Nothing in the map is longer than the token.
        let mut headers = map(&[("a", "secret-token"), ("b", "another-word")]);
        remove_echo(&mut headers, &injected);
        assert_eq!(names(&headers), ["b"]);
    }
}
