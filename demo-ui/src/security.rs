//! Headers of every page, and where requests that change something may come from.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use url::{Position, Url};

use crate::config::{Settings, is_loopback};
use crate::ui::Ui;
use crate::views::see_other;

/// Whether a request that changes something was sent by a page of ours.
///
/// `Sec-Fetch-Site` decides where there is one: pages with `Referrer-Policy: no-referrer` send
/// `Origin: null` even to themselves (Fetch, "append a request `Origin` header"). A client that sends
/// neither is no browser, and has the token of the form to bring in any case.
pub(crate) fn is_same_origin(headers: &HeaderMap, settings: &Settings) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    headers
        .get(header::ORIGIN)
        .is_none_or(|origin| origin == settings.public_origin.as_str())
}

/// Sets what every response has to have.
pub(crate) async fn set_headers(
    State(ui): State<Arc<Ui>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(content_security_policy(&ui)) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Own style sheet and icon, no script at all. Browsers hold a form's redirects against
/// `form-action`, and a sign-out goes on to Entra ID.
fn content_security_policy(ui: &Ui) -> String {
    let authority = origin(&ui.settings.authority);
    let mut policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
         frame-ancestors 'none'; form-action 'self' {authority}"
    );
    if let Some(end_session) = ui.entra.known_end_session().as_ref().map(origin)
        && end_session != authority
    {
        policy.push(' ');
        policy.push_str(&end_session);
    }
    policy
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Sends a browser that came by another name of this machine to the one that the redirect URI has:
/// the session cookie of `127.0.0.1` is not sent to `localhost`, and the sign-in would fail.
pub(crate) async fn use_public_name(
    State(ui): State<Arc<Ui>>,
    request: Request,
    next: Next,
) -> Response {
    let public = &ui.settings.public_url;
    let other_name = request.method() == Method::GET
        && is_loopback(public)
        && request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .and_then(|host| Url::parse(&format!("{}://{host}", public.scheme())).ok())
            .is_some_and(|url| {
                is_loopback(&url)
                    && url.port_or_known_default() == public.port_or_known_default()
                    && url.host() != public.host()
            });
    if !other_name {
        return next.run(request).await;
    }
    let mut url = public.clone();
    url.set_path(request.uri().path());
    url.set_query(request.uri().query());
    see_other(&url[..Position::AfterQuery])
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::Config;

    #[test]
    fn ui_06_only_pages_of_ours_may_change_something() {
        let config = Config::new(
            "organizations",
            "client",
            SecretString::from("x"),
            Url::parse("http://127.0.0.1:1").unwrap(),
            "scope",
        );
        let settings = config.resolve("127.0.0.1:8000".parse().unwrap()).unwrap();
        let accepted = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            });
            is_same_origin(&headers.collect(), &settings)
        };
        assert!(accepted(&[]));
        assert!(accepted(&[("origin", "http://localhost:8000")]));
        assert!(accepted(&[
            ("origin", "null"),
            ("sec-fetch-site", "same-origin")
        ]));
        for refused in [
            &[("origin", "null")][..],
            &[("origin", "http://localhost:8001")],
            &[("origin", "https://localhost:8000")],
            &[("origin", "http://localhost:8000.evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[
                ("origin", "http://localhost:8000"),
                ("sec-fetch-site", "cross-site"),
            ],
        ] {
            assert!(!accepted(refused), "{refused:?}");
        }
    }
}
