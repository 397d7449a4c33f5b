//! WebSocket, the one protocol that a request may change to (RFC 6455 §4).

use http::{
    HeaderMap, HeaderValue, Method, Version,
    header::{CONNECTION, UPGRADE},
};

use super::exchange::Exchange;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Whether a request asks for it, in the form that RFC 6455 §4.1 wants, on a route that allows it.
/// Any other wish for another protocol is left unheard, which RFC 9110 §7.8 allows.
pub(crate) fn is_asked_for(exchange: &Exchange) -> bool {
    let request = &exchange.request;
    exchange.route.as_ref().is_some_and(|route| route.upgrade)
        && *request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && exchange.has_no_body()
        && is_named(request.headers())
}

/// Whether a head says that its sender changes, or wants to change, to WebSocket.
pub(crate) fn is_named(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let only = protocols.next().filter(|_| protocols.next().is_none());
    let changes = headers.get_all(CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    changes && only.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Says so, where what belongs to the connection has been removed.
pub(crate) fn name(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(lines: &[(&'static str, &'static str)]) -> bool {
        let headers = lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        is_named(&headers)
    }

    #[test]
    fn up_03_only_websocket_alone_is_one() {
        let upgrade = ("connection", "keep-alive, Upgrade");
        assert!(named(&[upgrade, ("upgrade", "WebSocket")]));
        for other in ["h2c", "websocket, h2c", "websocket/13", "foo", ""] {
            assert!(!named(&[upgrade, ("upgrade", other)]), "{other}");
        }
        assert!(!named(&[
            upgrade,
            ("upgrade", "websocket"),
            ("upgrade", "h2c")
        ]));
        assert!(!named(&[("upgrade", "websocket")]));
        assert!(!named(&[
            ("connection", "x-upgrade"),
            ("upgrade", "websocket")
        ]));
    }
}
