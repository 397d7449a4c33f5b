//! What a request must be like before anything is decided by it: framing (RFC 9112 §6),
//! `Host` (§3.2), the form of the target (§3.2), the method, and the limits of the target and the head.
//!
//! hyper refuses what it cannot parse, two lengths that differ and chunked messages of HTTP/1.0
//! before this is reached. What it lets pass and others read otherwise is refused here.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{
        CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
    uri::{Parts, PathAndQuery},
};
use tower_obo::Head;

use super::{forwarded::CLIENT_REQUEST_ID, route::Pages, step::Step};
use crate::{
    message::{
        answer::Answer,
        exchange::{Exchange, Has, Reply},
    },
    trace::context::{TRACEPARENT, TRACESTATE},
};

/// The step.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) head_bytes: usize,
    pub(crate) target_bytes: usize,
    /// Over HTTP/2; hyper keeps this limit for HTTP/1.
    pub(crate) head_fields: usize,
    pub(crate) pages: Pages,
}

impl Step for Check {
    fn step(&self, exchange: &mut Exchange) -> Result<(), Answer> {
        let request = &mut exchange.request;
        exchange.has = size(
            request.uri(),
            request.headers(),
            self.target_bytes,
            self.head_bytes,
        )?;
        let is_http2 = request.version() == Version::HTTP_2;
        exchange.has.grpc = exchange.has.grpc && is_http2 && Head::from(&*request).is_grpc();
        if exchange.has.transfer_encoding {
            framing(request.headers())?;
        }
        if exchange.has.expect {
            expectation(request.headers())?;
        }
        method(request.method())?;
        exchange.has.version = request.version();
        if request.version() == Version::HTTP_2 {
            return http2(exchange, self.head_fields);
        }
        let host = host(request.version(), request.headers())?;
        if let Some(origin) = target(request.uri(), host, exchange.client.secure)? {
            *request.uri_mut() = origin;
        }
        Ok(())
    }

    fn refuse(&self, exchange: &Exchange, answer: Answer) -> Reply {
        self.pages.refuse(exchange, answer)
    }
}

/// What HTTP/2 says in its own way becomes what HTTP/1 says: the steps below and the upstream read
/// `Host`, a path and one `Cookie`. `h2` has refused headers of a connection and pseudo-headers that
/// are wrong (RFC 9113 §8.2, §8.3).
fn http2(exchange: &mut Exchange, most_fields: usize) -> Result<(), Answer> {
    let has_body = !exchange.has_no_body();
    let request = &mut exchange.request;
    // A browser says each cookie in a field of its own (RFC 9113 §8.2.3), which were one over HTTP/1.
    let crumbs = request.headers().get_all(COOKIE).iter().count();
    if request.headers().len() - crumbs.saturating_sub(1) > most_fields {
        return Err(Answer::head_too_large());
    }
    http2_fields(request.headers())?;
    let uri = request.uri();
    let host = authority(uri, request.headers())?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let path = (uri.path_and_query()).filter(|path| known && path.as_str().starts_with('/'));
    let Some(origin) = path.and_then(origin_form) else {
        return Err(Answer::bad_request("the target is no path"));
    };
    *request.uri_mut() = origin;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    join_cookies(headers);
    if !headers.contains_key(CONTENT_LENGTH) {
        exchange.has.transfer_encoding = has_body;
        // Over HTTP/1 an upstream may ask for one (411) where a body is usual (RFC 9110 §8.6).
        if !has_body
            && matches!(
                *request.method(),
                Method::POST | Method::PUT | Method::PATCH
            )
        {
            let none = HeaderValue::from_static("0");
            request.headers_mut().insert(CONTENT_LENGTH, none);
        }
    }
    Ok(())
}

/// What `h2` lets pass and HTTP/1 reads otherwise: spaces around a value, which would not be of it any
/// more (RFC 9113 §8.2.1), and two lengths.
fn http2_fields(headers: &HeaderMap) -> Result<(), Answer> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_padded = |value: &HeaderValue| {
        is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
    };
    if headers.values().any(is_padded) {
        return Err(Answer::bad_request("a field has spaces around its value"));
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Answer::bad_request("there are two lengths"));
    }
    Ok(())
}

/// `:authority`, or else the one `Host`; where both are there they are the same (RFC 9113 §8.3.1).
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<HeaderValue, Answer> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let said = match (uri.authority(), host, more) {
        (_, _, Some(_)) => None,
        (Some(authority), host, None) => {
            HeaderValue::from_str(authority.as_str())
                .ok()
                .filter(|said| {
                    host.is_none_or(|host| host.as_bytes().eq_ignore_ascii_case(said.as_bytes()))
                })
        }
        (None, host, None) => host.cloned(),
    };
    said.filter(|said| is_host(said.as_bytes()))
        .ok_or(Answer::bad_request(
            ":authority and Host do not name one host",
        ))
}

/// Several `cookie` fields are one line in HTTP/1 (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    let (Some(_), Some(_)) = (cookies.next(), cookies.next()) else {
        return;
    };
    let all: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(b"; ".as_slice())) {
        headers.insert(COOKIE, joined);
    }
}

/// hyper reads a head of twice the limit before it gives up, so that a target that is too long can
/// be told from headers that are too large.
fn size(
    uri: &Uri,
    headers: &HeaderMap,
    most_target: usize,
    most_head: usize,
) -> Result<Has, Answer> {
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if target > most_target {
        return Err(Answer::target_too_long());
    }
    let mut head = target;
    let mut has = Has::default();
    for (name, value) in headers {
        // `: ` and the line's end.
        head += name.as_str().len() + value.len() + 4;
        has.expect |= *name == EXPECT;
        has.transfer_encoding |= *name == TRANSFER_ENCODING;
        has.te |= *name == TE;
        has.trailer |= *name == TRAILER;
        has.upgrade |= *name == UPGRADE;
        has.ids |= is_id(name);
        // For now: that there is a type at all.
        has.grpc |= *name == CONTENT_TYPE;
    }
    if head > most_head {
        return Err(Answer::head_too_large());
    }
    Ok(has)
}

/// Whether the header says where the request belongs. By length first, since hardly one does.
fn is_id(name: &HeaderName) -> bool {
    match name.as_str().len() {
        10 => *name == TRACESTATE,
        11 => *name == TRACEPARENT,
        17 => *name == CLIENT_REQUEST_ID,
        _ => false,
    }
}

fn framing(headers: &HeaderMap) -> Result<(), Answer> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(first) = codings.next() else {
        return Ok(());
    };
    if codings.next().is_some() {
        return Err(Answer::bad_framing("more than one Transfer-Encoding"));
    }
    if first.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    Err(Answer::unknown_coding())
}

fn expectation(headers: &HeaderMap) -> Result<(), Answer> {
    let known = headers
        .get_all(EXPECT)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if known {
        Ok(())
    } else {
        Err(Answer::unknown_expectation())
    }
}

/// TRACE would echo the injected token to whoever sends it; CONNECT is a forward proxy's.
fn method(method: &Method) -> Result<(), Answer> {
    if *method != Method::TRACE && *method != Method::CONNECT {
        return Ok(());
    }
    let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    let answer = Answer::method_not_allowed(allow);
    Err(if *method == Method::CONNECT {
        answer.closing()
    } else {
        answer
    })
}

fn host(version: Version, headers: &HeaderMap) -> Result<Option<&HeaderValue>, Answer> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => Ok(None),
        (None, _) => Err(Answer::bad_framing("the Host header is missing")),
        (Some(_), Some(_)) => Err(Answer::bad_framing("more than one Host header")),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(Some(host)),
        (Some(_), None) => Err(Answer::bad_framing("the Host header is no host")),
    }
}

/// `host [ ":" port ]`. Of what RFC 3986 §3.2.2 allows in a name, only what DNS names and IP
/// addresses are made of: no comma, no quote, no percent sign.
pub(super) fn is_host(text: &[u8]) -> bool {
    let (host, port) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else {
                return false;
            };
            let (inside, after) = rest.split_at(end);
            let address = !inside.is_empty()
                && inside
                    .iter()
                    .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
            if !address {
                return false;
            }
            (inside, after.get(1..).unwrap_or_default())
        }
        _ => {
            // In one pass, since every request takes it: what ends the name is a port or is wrong.
            let end = text
                .iter()
                .position(|byte| !OF_A_NAME[usize::from(*byte)])
                .unwrap_or(text.len());
            text.split_at(end)
        }
    };
    let port_is_number = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    // No name of DNS is longer (RFC 1035 §2.3.4), and the upstream is told of it several times.
    (1..=255).contains(&host.len()) && port_is_number
}

/// Letters, digits and `.-_~`.
static OF_A_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// Makes sure that the target is a path; gives back what to forward where it came as a whole URL.
fn target(uri: &Uri, host: Option<&HeaderValue>, secure: bool) -> Result<Option<Uri>, Answer> {
    let (own, port) = if secure {
        ("https", ":443")
    } else {
        ("http", ":80")
    };
    let Some(path) = uri.path_and_query() else {
        return Err(Answer::bad_request("the target is no path"));
    };
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if path.as_str().starts_with('/') => Ok(None),
        (Some(scheme), Some(authority)) if scheme.eq_ignore_ascii_case(own) => {
            let same = host.is_none_or(|host| {
                let authority = without_default_port(authority.as_str().as_bytes(), port);
                without_default_port(host.as_bytes(), port).eq_ignore_ascii_case(authority)
            });
            if !same || !is_host(authority.as_str().as_bytes()) {
                return Err(Answer::bad_request(
                    "the target and Host name different servers",
                ));
            }
            origin_form(path)
                .map(Some)
                .ok_or(Answer::bad_request("the target is no path"))
        }
        // `*`, `host:port`, and other schemes.
        _ => Err(Answer::bad_request("the target is no path")),
    }
}

/// `gw`, `gw:` and, for `http`, `gw:80` are the same server (RFC 9110 §4.2.3).
fn without_default_port<'a>(authority: &'a [u8], port: &str) -> &'a [u8] {
    authority
        .strip_suffix(port.as_bytes())
        .or_else(|| authority.strip_suffix(b":"))
        .unwrap_or(authority)
}

fn origin_form(path: &PathAndQuery) -> Option<Uri> {
    let mut parts = Parts::default();
    // `http://gw?x` has no path, and `http` shows none where HTTP/2 asks for the text.
    parts.path_and_query = Some(if path.as_str().starts_with('/') {
        path.clone()
    } else {
        path.to_string().try_into().ok()?
    });
    let uri = Uri::from_parts(parts).ok()?;
    uri.path().starts_with('/').then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in [
            "gw",
            "gw.",
            "gw:",
            "gw:80",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "a-b_c.d",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "a, b",
            "a b",
            "a/b",
            "u@h",
            "a,b",
            ":80",
            "gw:x",
            "gw:80:80",
            "[::1",
            "[]",
            "[::1]x",
            "a?b",
            "a#b",
            "a%41",
            "gw:123456",
            "a\\b",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    fn judged(text: &str, host: &str) -> Result<Option<String>, ()> {
        judged_by(text, host, false)
    }

    fn judged_by(text: &str, host: &str, secure: bool) -> Result<Option<String>, ()> {
        let host = HeaderValue::from_str(host).unwrap();
        target(&text.parse().unwrap(), Some(&host), secure)
            .map(|uri| uri.map(|uri| uri.to_string()))
            .map_err(drop)
    }

    #[test]
    fn pa_11_pa_13_only_paths_and_urls_of_this_host_are_targets() {
        assert_eq!(judged("/x?y", "gw"), Ok(None));
        assert_eq!(judged("//127.0.0.1:1/x", "gw"), Ok(None));
        assert_eq!(judged("http://gw/x?y", "gw"), Ok(Some("/x?y".to_owned())));
        assert_eq!(judged("http://GW/x", "gw"), Ok(Some("/x".to_owned())));
        for (target, path) in [("http://gw?x=1", "/?x=1"), ("http://gw", "/")] {
            let origin = super::target(&target.parse().unwrap(), None, false).unwrap();
            let origin = origin.unwrap();
            assert_eq!(origin.path_and_query().unwrap().as_str(), path, "{target}");
        }
        for same in ["gw", "gw:", "gw:80", "GW:80"] {
            for target in ["http://gw/x", "http://gw:80/x"] {
                assert_eq!(
                    judged(target, same),
                    Ok(Some("/x".to_owned())),
                    "{target} {same}"
                );
            }
            assert_eq!(judged("http://gw:8080/x", same), Err(()), "{same}");
            assert_eq!(judged("http://[::80]/x", same), Err(()), "{same}");
        }
        assert_eq!(judged("http://[::1]:80/x", "[::1]"), Ok(Some("/x".into())));
        assert_eq!(judged("http://[::]/x", "[::80]"), Err(()));
        for bad in [
            "http://evil.example/x",
            "http://gw:81/x",
            "https://gw/x",
            "http://u@gw/x",
            "http://u@gw?x",
            "gw:443",
            "*",
        ] {
            assert_eq!(judged(bad, "gw"), Err(()), "{bad}");
        }
        for same in ["gw", "gw:443"] {
            let path = judged_by("https://gw:443/x", same, true);
            assert_eq!(path, Ok(Some("/x".to_owned())), "{same}");
        }
        for bad in ["http://gw/x", "https://gw:80/x"] {
            assert_eq!(judged_by(bad, "gw", true), Err(()), "{bad}");
        }
    }
}
