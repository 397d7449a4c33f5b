//! Keeps web pages out: a browser on the machine of whoever is on call reaches loopback, too.

use std::net::IpAddr;

use http::{
    Method, Request, StatusCode,
    header::{HOST, HeaderName, ORIGIN},
    uri::Authority,
};

use super::{DENY, METRICS, Page, READYZ};

/// A page of another site cannot set it without asking first, and it would not be answered.
const ADMIN: HeaderName = HeaderName::from_static("x-obo-admin");

/// Browsers say it of everything that they send to trustworthy addresses, loopback among them.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The answer to a request that a web page may have caused; `None` where it may go on.
///
/// What changes something needs the header `X-Obo-Admin`, and is never a page's: those have an
/// `Origin`. What only reads is refused where another site asks for it. On loopback only addresses
/// and `localhost` are names of this machine: a page whose own name has been made to lead here (DNS
/// rebinding) is of the same site to its browser.
///
/// Where the listener is exposed, as probes and scrapes of a pod need it, what changes something is for
/// whoever is on the machine or in the pod: `from_here`.
pub(super) fn refuse<B>(request: &Request<B>, loopback: bool, from_here: bool) -> Option<Page> {
    let headers = request.headers();
    let forbidden = |text| Some(Page::text(StatusCode::FORBIDDEN, text));
    // Probes come by whatever name they were given, and tell nothing of anybody; figures name routes.
    let is_probe = matches!(request.uri().path(), "/livez" | READYZ | METRICS);
    let tells = !is_probe || request.uri().path() == METRICS;
    if loopback && tells && !is_here(request) {
        let text = "the admin listener is on loopback: ask for 127.0.0.1, [::1] or localhost\n";
        return Some(Page::text(StatusCode::MISDIRECTED_REQUEST, text));
    }
    let site = headers.get(SITE).map(|site| site.as_bytes());
    if headers.contains_key(ORIGIN) || matches!(site, Some(b"cross-site" | b"same-site")) {
        return forbidden("no other site's pages are served\n");
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !is_probe && (site.is_some() || !headers.contains_key(ADMIN)) {
        return forbidden(
            "what changes something needs the header X-Obo-Admin: 1, and is no affair of web pages\n",
        );
    }
    // The deny list names people.
    let is_private = request.uri().path() == DENY;
    if (!reads || is_private) && !is_probe && !from_here {
        return forbidden(
            "what changes something or names people is asked for on the gateway's own machine, or through kubectl port-forward\n",
        );
    }
    None
}

/// Whether the request is for this machine by a name that is always its own. HTTP/1.0 may have none.
fn is_here<B>(request: &Request<B>) -> bool {
    request.headers().get_all(HOST).iter().all(|host| {
        let host = host
            .to_str()
            .ok()
            .and_then(|host| host.parse::<Authority>().ok());
        host.is_some_and(|host| {
            let host = host.host();
            let bare = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'));
            host.eq_ignore_ascii_case("localhost") || bare.unwrap_or(host).parse::<IpAddr>().is_ok()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, headers: &[(&str, &str)], loopback: bool) -> Option<u16> {
        let mut request = Request::builder().method(method).uri("/purge");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let refusal = refuse(&request.body(()).unwrap(), loopback, true);
        refusal.map(|page| page.status.as_u16())
    }

    const HERE: (&str, &str) = ("host", "127.0.0.1:9090");
    const OURS: (&str, &str) = ("x-obo-admin", "1");

    #[test]
    fn what_changes_something_needs_a_header_that_no_page_can_set() {
        let post = |headers: &[_]| status(Method::POST, headers, true);
        assert_eq!(post(&[HERE, OURS]), None);
        for page in [
            &[HERE][..],
            &[HERE, ("content-type", "text/plain")],
            &[HERE, OURS, ("origin", "https://evil.example")],
            &[HERE, OURS, ("origin", "null")],
            &[HERE, OURS, ("origin", "http://127.0.0.1:9090")],
            &[HERE, OURS, ("sec-fetch-site", "same-origin")],
        ] {
            assert_eq!(post(page), Some(403), "{page:?}");
        }
        let asks_first = [HERE, ("access-control-request-headers", "x-obo-admin")];
        assert_eq!(status(Method::OPTIONS, &asks_first, true), Some(403));
    }

    #[test]
    fn other_sites_pages_read_nothing() {
        let get = |headers: &[_]| status(Method::GET, headers, true);
        assert_eq!(get(&[HERE]), None);
        assert_eq!(get(&[HERE, ("sec-fetch-site", "none")]), None, "typed in");
        assert_eq!(get(&[HERE, ("sec-fetch-site", "cross-site")]), Some(403));
        assert_eq!(get(&[HERE, ("origin", "https://evil.example")]), Some(403));
    }

    #[test]
    fn a_name_that_was_made_to_lead_here_is_not_this_machine_s() {
        let get = |host| status(Method::GET, &[("host", host)], true);
        for host in ["127.0.0.1:9090", "[::1]:9090", "LOCALHOST:1", "10.1.2.3"] {
            assert_eq!(get(host), None, "{host}");
        }
        for host in [
            "evil.example:9090",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
        ] {
            assert_eq!(get(host), Some(421), "{host}");
        }
        for (path, goes_on) in [("/livez", true), ("/readyz", true), ("/metrics", false)] {
            let probe = Request::get(path).header("host", "gw").body(()).unwrap();
            assert_eq!(refuse(&probe, true, true).is_none(), goes_on, "{path}");
        }
        // HTTP/1.0.
        assert_eq!(status(Method::GET, &[], true), None);
        // Where it is exposed its names are the operator's to give.
        assert_eq!(
            status(Method::GET, &[("host", "gateway.example")], false),
            None
        );
    }

    #[test]
    fn where_it_is_exposed_only_the_machine_itself_changes_something() {
        let refused = |method, from_here| {
            let request = Request::builder().method(method).uri("/purge");
            let request = request.header("host", "gw").header("x-obo-admin", "1");
            refuse(&request.body(()).unwrap(), false, from_here).is_some()
        };
        assert!(!refused(Method::POST, true));
        assert!(refused(Method::POST, false));
        assert!(!refused(Method::GET, false));
    }

    #[test]
    fn where_it_is_exposed_only_the_machine_itself_reads_who_is_cut_off() {
        let refused = |from_here| {
            let request = Request::get("/deny").header("host", "gw").body(()).unwrap();
            refuse(&request, false, from_here).is_some()
        };
        assert!(!refused(true));
        assert!(refused(false));
    }
}
