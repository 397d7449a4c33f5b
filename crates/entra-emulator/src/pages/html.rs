//! How a page leaves: escaped, framed by nobody, running nothing.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};

/// What a page may do besides being read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Permit<'a> {
    /// Where its forms may lead, through redirects too: the client's redirect URI.
    pub(crate) form_target: Option<&'a str>,
    /// Nonce of the one script it has.
    pub(crate) script: Option<&'a str>,
}

pub(crate) fn page(status: StatusCode, template: &impl Template, permit: Permit<'_>) -> Response {
    let html = match template.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "page not rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    let script = permit
        .script
        .map_or_else(|| "'none'".to_owned(), |nonce| format!("'nonce-{nonce}'"));
    let target = permit.form_target.map(source).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src {script}; form-action 'self'{target}; frame-ancestors 'none'; base-uri 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The redirect URI's origin as a CSP source, with a leading space. A browser checks `form-action`
/// against every redirect that follows a form, so the sign-in page must name where it ends.
fn source(uri: &str) -> String {
    let Ok(uri) = url::Url::parse(uri) else {
        return String::new();
    };
    match (uri.host(), uri.port()) {
        // The grammar of sources has no IPv6 literals, and no host for schemes of native apps.
        (Some(url::Host::Ipv6(_)) | None, _) => format!(" {}:", uri.scheme()),
        (Some(host), Some(port)) => format!(" {}://{host}:{port}", uri.scheme()),
        (Some(host), None) => format!(" {}://{host}", uri.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forms_target_is_the_origin_and_nothing_more() {
        for (uri, expected) in [
            (
                "http://localhost:8000/account/callback?a=b",
                " http://localhost:8000",
            ),
            ("https://app.example/cb", " https://app.example"),
            ("http://[::1]:8000/cb", " http:"),
            ("msal1234://auth", " msal1234://auth"),
            ("no uri", ""),
        ] {
            assert_eq!(source(uri), expected, "{uri}");
        }
    }
}
