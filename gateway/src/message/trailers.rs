//! Which fields may stand after a body (RFC 9110 §6.5.1).

use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::headers::{self, Injected, Reserved};

/// What trailers must not say, whatever a route lists: where the body ends, how it is to be read or kept, who
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

/// Whether a route could let it pass at all.
pub(crate) fn could_trail(name: &HeaderName) -> bool {
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

/// What a route lets stand after bodies besides gRPC's own fields. Whoever merges trailers into the
/// header takes them for headers, which no step has judged.
#[derive(Debug)]
pub(crate) struct Listed(Box<[Box<str>]>);

impl Listed {
    /// Names, and beginnings of names with `*` behind them; `None` where there are none.
    pub(crate) fn new(names: &[String]) -> Option<Rc<Self>> {
        let listed = names.iter().map(|name| name.to_ascii_lowercase().into());
        (!names.is_empty()).then(|| Rc::new(Self(listed.collect())))
    }

    fn names(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|listed| match listed.strip_suffix('*') {
            Some(start) => name.as_str().starts_with(start),
            None => **listed == *name.as_str(),
        })
    }
}

fn may_trail(name: &HeaderName, listed: Option<&Listed>) -> bool {
    (name.as_str().starts_with("grpc-") || listed.is_some_and(|listed| listed.names(name)))
        && could_trail(name)
        && !Reserved::default().contains(name)
}

/// What an answer's trailers are judged by.
pub(crate) struct Rules {
    /// The tokens that the upstream was given, which it must not repeat.
    injected: Injected,
    listed: Option<Rc<Listed>>,
}

impl Rules {
    pub(crate) const fn new(injected: Injected, listed: Option<Rc<Listed>>) -> Self {
        Self { injected, listed }
    }

    /// Whether there are none but those that hold for all.
    pub(crate) fn are_common(&self) -> bool {
        self.injected.is_empty() && self.listed.is_none()
    }
}

/// Removes from an answer's trailers what must not stand there, and repetitions of the token that
/// the upstream was given.
pub(crate) fn clean(trailers: &mut HeaderMap, rules: Option<&Rules>) {
    let listed = rules.and_then(|rules| rules.listed.as_deref());
    headers::remove_where(trailers, |name| !may_trail(name, listed));
    if let Some(rules) = rules {
        rules.injected.remove_echo(trailers);
    }
}

/// Removes from a request's trailers all but what `announced` names, which is what [`announced`] gave.
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
    listed: Option<&Listed>,
    passes: impl Fn(&HeaderName) -> bool,
) -> Option<HeaderValue> {
    let all = headers.get_all(header::TRAILER).iter().flat_map(names);
    let names: Vec<HeaderName> = all
        .filter(|name| may_trail(name, listed) && passes(name))
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

    fn listed(names: &[&str]) -> Option<Rc<Listed>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Listed::new(&names)
    }

    const SENT: [(&str, &str); 23] = [
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
        ("x-forwarded-for", "192.0.2.1"),
        ("x-http-method-override", "DELETE"),
        ("x-request-id", "another"),
        ("content-digest", "sha-256=:x:"),
    ];

    #[test]
    fn hd_08_only_what_grpc_or_the_route_names_is_a_trailer() {
        let injected = || Injected::one("Bearer secret");
        for (names, kept) in [
            (&[][..], &SENT[..1]),
            (&["X-Sum"], &SENT[..2]),
            (
                &["x-s*", "authorization", "via", "content-length"],
                &SENT[..2],
            ),
        ] {
            let mut trailers = fields(&SENT);
            let rules = Rules::new(injected(), listed(names));
            clean(&mut trailers, Some(&rules));
            assert_eq!(trailers, fields(kept), "{names:?}");
        }
        let mut trailers = fields(&SENT);
        clean(&mut trailers, None);
        assert_eq!(trailers, fields(&SENT[..1]), "no token, and nothing listed");
    }

    #[test]
    fn hd_08_what_frames_authenticates_or_repeats_the_token_is_no_trailer_whatever_is_listed() {
        let mut trailers = fields(&SENT);
        let rules = Rules::new(Injected::one("Bearer secret"), listed(&["*"]));
        clean(&mut trailers, Some(&rules));
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
            ("trailer", "te, b@d, x-other"),
        ]);
        let sum = listed(&["x-sum", "content-length", "te"]);
        let sum = sum.as_deref();
        assert_eq!(
            announced(&headers, sum, |_| true).unwrap(),
            "x-sum, grpc-status"
        );
        assert_eq!(announced(&headers, None, |_| true).unwrap(), "grpc-status");
        let reserved = |name: &HeaderName| name != "x-sum";
        assert_eq!(announced(&headers, sum, reserved).unwrap(), "grpc-status");
        let of_the_request = fields(&[("trailer", "host"), ("x-sum", "7")]);
        assert_eq!(announced(&of_the_request, sum, |_| true), None);
    }

    #[test]
    fn te_names_trailers_in_any_case_among_codings() {
        assert!(are_read(&fields(&[("te", "gzip;q=0.5, Trailers")])));
        assert!(are_read(&fields(&[("te", "gzip"), ("te", "trailers")])));
        assert!(!are_read(&fields(&[("te", "x-trailers, trailer")])));
        assert!(!are_read(&HeaderMap::new()));
    }
}
