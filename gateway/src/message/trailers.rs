//! Which fields may stand after a body (RFC 9110 §6.5.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::headers;

/// What an answer's trailers must not say: where the body ends, how it is to be read or kept, who
/// somebody is, or anything else that had to be known before the body.
const NEVER: [HeaderName; 22] = [
    header::AGE,
    header::ALLOW,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::EXPECT,
    header::EXPIRES,
    header::HOST,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::RANGE,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::VARY,
    header::WARNING,
    header::WWW_AUTHENTICATE,
];

fn may_trail(name: &HeaderName) -> bool {
    !NEVER.contains(name) && !headers::belongs_to_the_connection(name)
}

/// Removes from an answer's trailers what must not stand there, and repetitions of the token that
/// the upstream was given.
pub(crate) fn clean(trailers: &mut HeaderMap, injected: Option<&HeaderValue>) {
    headers::remove_where(trailers, |name| !may_trail(name));
    if let Some(injected) = injected {
        headers::remove_echo(trailers, injected);
    }
}

/// What `Trailer` announces, without what will not pass; `None` where nothing is left.
pub(crate) fn announced(headers: &HeaderMap) -> Option<HeaderValue> {
    let names: Vec<HeaderName> = headers
        .get_all(header::TRAILER)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(may_trail)
        .collect();
    if names.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok()
}

/// Whether `TE` says that the sender reads trailers.
pub(crate) fn are_read(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn hd_08_what_frames_authenticates_or_repeats_the_token_is_no_trailer() {
        let mut trailers = fields(&[
            ("grpc-status", "0"),
            ("x-sum", "7"),
            ("authorization", "Bearer other"),
            ("connection", "x-sum"),
            ("content-length", "9"),
            ("set-cookie", "a=b"),
            ("transfer-encoding", "chunked"),
            ("www-authenticate", "Bearer"),
            ("x-echo", "it was secret"),
        ]);
        clean(
            &mut trailers,
            Some(&HeaderValue::from_static("Bearer secret")),
        );
        assert_eq!(trailers, fields(&[("grpc-status", "0"), ("x-sum", "7")]));
    }

    #[test]
    fn what_will_not_pass_is_not_announced() {
        let headers = fields(&[
            ("trailer", "X-Sum, content-length ,grpc-status"),
            ("trailer", "te, b@d"),
        ]);
        assert_eq!(announced(&headers).unwrap(), "x-sum, grpc-status");
        assert_eq!(
            announced(&fields(&[("trailer", "host"), ("x-sum", "7")])),
            None
        );
    }

    #[test]
    fn te_names_trailers_in_any_case_among_codings() {
        assert!(are_read(&fields(&[("te", "gzip;q=0.5, Trailers")])));
        assert!(are_read(&fields(&[("te", "gzip"), ("te", "trailers")])));
        assert!(!are_read(&fields(&[("te", "x-trailers, trailer")])));
        assert!(!are_read(&HeaderMap::new()));
    }
}
