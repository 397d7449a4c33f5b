//! Refusals of gRPC calls: trailers only, `200` with the outcome in `grpc-status`.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Says in the headers of an answer what `status` says to others.
pub(super) fn say(headers: &mut HeaderMap, status: StatusCode, message: &str) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from(code(status)));
    if let Ok(message) = HeaderValue::try_from(encode(message)) {
        headers.insert(MESSAGE, message);
    }
}

/// The status code of gRPC. What a client makes of an HTTP status where a server does not speak gRPC
/// is coarser, and wrong for what can be said here.
fn code(status: StatusCode) -> u16 {
    const UNKNOWN: u16 = 2;
    const INVALID_ARGUMENT: u16 = 3;
    const DEADLINE_EXCEEDED: u16 = 4;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match status.as_u16() {
        400 | 417 => INVALID_ARGUMENT,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        // No such service, or not with that method: gRPC has only POST.
        404 | 405 | 501 => UNIMPLEMENTED,
        408 | 504 => DEADLINE_EXCEEDED,
        413 | 414 | 429 | 431 => RESOURCE_EXHAUSTED,
        // 421: another connection may do better.
        421 | 502 | 503 => UNAVAILABLE,
        500 => INTERNAL,
        _ => UNKNOWN,
    }
}

/// Percent-encoded, as gRPC over HTTP/2 has it: all but printable ASCII, and the percent sign.
fn encode(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | 0..=0x1f | 0x7f..=0xff => {
                // A String takes everything.
                let _ = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(encode("a `%` or ü\r\n"), "a `%25` or %C3%BC%0D%0A");
    }

    #[test]
    fn every_status_that_the_gateway_gives_has_a_code_that_says_the_same() {
        for (status, wanted) in [
            (400, 3),
            (401, 16),
            (403, 7),
            (404, 12),
            (405, 12),
            (408, 4),
            (413, 8),
            (429, 8),
            (500, 13),
            (502, 14),
            (503, 14),
            (504, 4),
            (418, 2),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(code(status), wanted, "{status}");
        }
    }
}
