//! Which fields may stand after a body (RFC 9110 §6.5.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::headers::{self, Injected};

/// What trailers must not say: where the body ends, how it is to be read or kept, who
/// somebody is, or anything else that had to be known before the body.
const NEVER: [HeaderName; 28] = [
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
    header::ORIGIN,
    header::RANGE,
    header::REFERER,
    header::REFRESH,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::USER_AGENT,
    header::VARY,
    header::VIA,
    header::WARNING,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("x-api-key"),
];

/// And what begins so: conditions, what is wanted or said of the content, what a browser is told, and other
/// methods than the one that was judged.
const NEVER_LIKE: [&str; 7] = [
    "accept",
    "access-control-",
    "clear-site-",
    "content-",
    "if-",
    "sec-",
    "x-http-method",
];

/// What is told of the content when it is over (RFC 9530 §2).
const DIGEST: HeaderName = HeaderName::from_static("content-digest");

fn may_trail(name: &HeaderName) -> bool {
    let is_never = |name: &HeaderName| {
        let is_like = NEVER_LIKE
            .iter()
            .any(|start| name.as_str().starts_with(start));
        NEVER.contains(name) || (is_like && *name != DIGEST)
    };
    !is_never(name)
        && !headers::belongs_to_the_connection(name)
        && !headers::folded(name).is_some_and(|real| is_never(&real))
}

/// Removes from an answer's trailers what must not stand there, and repetitions of the token that
/// the upstream was given.
pub(crate) fn clean(trailers: &mut HeaderMap, injected: Option<&Injected>) {
    headers::remove_where(trailers, |name| !may_trail(name));
    if let Some(injected) = injected {
        injected.remove_echo(trailers);
    }
}

/// Removes from a request's trailers all but what `announced` names, which is what [`announced`] gave:
/// an upstream may believe a trailer as it believes a header.
pub(crate) fn keep(trailers: &mut HeaderMap, announced: &HeaderValue) {
    let names: Vec<HeaderName> = names(announced).collect();
    headers::remove_where(trailers, |name| !names.contains(name));
}

fn names(value: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let names = value.as_bytes().split(|byte| *byte == b',');
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

/// What `Trailer` announces, without what will not pass; `None` where nothing is left.
pub(crate) fn announced(
    headers: &HeaderMap,
    passes: impl Fn(&HeaderName) -> bool,
) -> Option<HeaderValue> {
    let all = headers.get_all(header::TRAILER).iter().flat_map(names);
    let names: Vec<HeaderName> = all.filter(|name| may_trail(name) && passes(name)).collect();
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
            ("transfer_encoding", "chunked"),
            ("set_cookie", "a=b"),
            ("www-authenticate", "Bearer"),
            ("x-echo", "it was secret"),
            ("access-control-allow-origin", "*"),
            ("clear-site-data", "\"cookies\""),
            ("content-disposition", "attachment"),
            ("if_match", "*"),
            ("origin", "https://evil.example"),
            ("refresh", "0"),
            ("via", "1.1 other"),
            ("x-api-key", "k"),
            ("x-http-method-override", "DELETE"),
            ("content-digest", "sha-256=:x:"),
        ]);
        clean(&mut trailers, Some(&Injected::one("Bearer secret")));
        let kept = [
            ("grpc-status", "0"),
            ("x-sum", "7"),
            ("content-digest", "sha-256=:x:"),
        ];
        assert_eq!(trailers, fields(&kept));
    }

    #[test]
    fn what_will_not_pass_is_not_announced() {
        let headers = fields(&[
            ("trailer", "X-Sum, content-length ,grpc-status"),
            ("trailer", "te, b@d"),
        ]);
        assert_eq!(announced(&headers, |_| true).unwrap(), "x-sum, grpc-status");
        let reserved = |name: &HeaderName| name != "x-sum";
        assert_eq!(announced(&headers, reserved).unwrap(), "grpc-status");
        assert_eq!(
            announced(&fields(&[("trailer", "host"), ("x-sum", "7")]), |_| true),
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
