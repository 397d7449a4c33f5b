//! What an answer says of how it came about, for people who want to see On-Behalf-Of happen.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const CLAIMS: HeaderName = HeaderName::from_static("x-demo-token-claims");

/// Longest payload of a token that is shown, in base64url: answers' heads are bounded everywhere.
const MAX_CLAIMS: usize = 8 * 1024;

/// Adds how long Resource Manager took, and the claims of the token that it was asked with.
pub(crate) fn add(answer: &mut HeaderMap, request: &HeaderMap, took: Duration) {
    let ms = took.as_secs_f64() * 1000.;
    if let Ok(timing) = HeaderValue::try_from(format!("arm;dur={ms:.3}")) {
        answer.append(SERVER_TIMING, timing);
    }
    if let Some(claims) = request.get(header::AUTHORIZATION).and_then(claims) {
        answer.insert(CLAIMS, claims);
    }
}

/// What the payload of a signed JWT says (RFC 7519 §3). Neither header nor signature: nothing can be done
/// with it. It is encoded anew, behind a space, so that no part of the token itself stands in an answer.
fn claims(authorization: &HeaderValue) -> Option<HeaderValue> {
    let mut words = authorization.to_str().ok()?.split(' ');
    let (scheme, token) = (words.next()?, words.next_back()?);
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let fits = scheme.eq_ignore_ascii_case("bearer")
        && parts.next().is_none()
        && payload.len() <= MAX_CLAIMS;
    let json = URL_SAFE_NO_PAD.decode(payload).ok().filter(|_| fits)?;
    serde_json::from_slice::<serde_json::Map<_, _>>(&json).ok()?;
    let claims = [b" ", &*json].concat();
    HeaderValue::try_from(URL_SAFE_NO_PAD.encode(claims)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(authorization: &str) -> Option<String> {
        let value = HeaderValue::from_str(authorization).unwrap();
        claims(&value).map(|claims| claims.to_str().unwrap().to_owned())
    }

    #[test]
    fn of_a_token_the_payload_is_shown_and_nothing_else() {
        let shown = |token: &str| URL_SAFE_NO_PAD.decode(of(token).unwrap()).unwrap();
        assert_eq!(shown("Bearer e30.e30.c2ln"), b" {}");
        assert_eq!(shown("bearer e30.eyJhIjoxfQ.c2ln"), b" {\"a\":1}");
        let shown = of("bearer e30.eyJhIjoxfQ.c2ln").unwrap();
        assert!(
            !shown.contains("eyJhIjoxfQ"),
            "not as it stands in the token"
        );
    }

    #[test]
    fn what_is_no_signed_token_is_not_shown() {
        let long = format!("Bearer e30.{}.c2ln", "A".repeat(MAX_CLAIMS + 1));
        for authorization in [
            "",
            "Bearer",
            "Bearer opaque",
            "Bearer e30.e30",
            "Bearer e30.e30.x.x.x",
            "Bearer e30.c2VjcmV0.c2ln",
            "Basic e30.e30.c2ln",
            &long,
        ] {
            assert_eq!(of(authorization), None, "{authorization}");
        }
    }
}
