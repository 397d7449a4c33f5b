//! `nextLink`: where the next page of a list is.
//!
//! Resource Manager gives an absolute address of its own host. A caller that followed it would take
//! a token that is not meant for Resource Manager there, so the link is made to come back through
//! here. A link to anywhere else is removed.

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

/// The path under which callers find the list.
const PATH: &str = "/subscriptions";

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, rename = "nextLink")]
    next_link: Option<&'a RawValue>,
}

/// Rewrites the `nextLink` of a page from `endpoint`. `None`: the body has none and stays as it is,
/// byte for byte. Of a rewritten body only the link's own bytes differ.
pub(crate) fn rewrite(body: &[u8], endpoint: &Url) -> Option<Vec<u8>> {
    let Ok(page) = serde_json::from_slice::<Page<'_>>(body) else {
        // Not an object, or the member twice: no honest page, but nothing may slip through either.
        return without_link(body);
    };
    let raw = page.next_link?.get();
    let Some(relative) = relative(raw, endpoint) else {
        return without_link(body);
    };
    // `raw` borrows from `body`: its place is the difference of the two addresses.
    let start = (raw.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    let (before, after) = (body.get(..start)?, body.get(start + raw.len()..)?);
    let link = serde_json::to_vec(&relative).ok()?;
    Some([before, &link, after].concat())
}

/// The link as a path of ours, if it is one of `endpoint`.
fn relative(raw: &str, endpoint: &Url) -> Option<String> {
    let link: String = serde_json::from_str(raw).ok()?;
    let link = endpoint.join(&link).ok()?;
    let ours = link.origin() == endpoint.origin()
        && link.username().is_empty()
        && link.password().is_none()
        && link.path().eq_ignore_ascii_case(endpoint.path());
    ours.then(|| format!("{PATH}?{}", link.query().unwrap_or_default()))
}

fn without_link(body: &[u8]) -> Option<Vec<u8>> {
    let mut page: serde_json::Map<_, _> = serde_json::from_slice(body).ok()?;
    page.remove("nextLink")?;
    serde_json::to_vec(&page).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(body: &str) -> Option<String> {
        let endpoint = Url::parse("https://management.azure.com/subscriptions").unwrap();
        rewrite(body.as_bytes(), &endpoint).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn a_link_of_the_configured_host_comes_back_through_us_and_no_other_byte_changes() {
        assert_eq!(
            rewritten(
                r#"{ "z":1.50, "nextLink" : "https:\/\/management.azure.com/subscriptions?api-version=2022-12-01\u0026%24skiptoken=a%2Fb" ,"a":"é"}"#
            )
            .unwrap(),
            r#"{ "z":1.50, "nextLink" : "/subscriptions?api-version=2022-12-01&%24skiptoken=a%2Fb" ,"a":"é"}"#
        );
    }

    #[test]
    fn a_link_to_anywhere_else_is_removed() {
        for link in [
            r#""https://evil.example/subscriptions?a=b""#,
            r#""http://management.azure.com/subscriptions?a=b""#,
            r#""https://management.azure.com:8443/subscriptions?a=b""#,
            r#""https://management.azure.com@evil.example/subscriptions""#,
            r#""https://user@management.azure.com/subscriptions""#,
            r#""https://management.azure.com/tenants?a=b""#,
            r#""//evil.example/subscriptions""#,
            r#""javascript:alert(1)""#,
            "7",
            r#"{"href":"https://evil.example"}"#,
        ] {
            let body = format!(r#"{{"value":[],"nextLink":{link}}}"#);
            assert_eq!(rewritten(&body).unwrap(), r#"{"value":[]}"#, "{link}");
        }
    }

    #[test]
    fn a_link_given_twice_is_removed() {
        let good = "https://management.azure.com/subscriptions?a=b";
        let body = format!(r#"{{"nextLink":"{good}","nextLink":"https://evil.example"}}"#);
        assert_eq!(rewritten(&body).unwrap(), "{}");
    }

    #[test]
    fn what_has_no_link_stays_as_it_is() {
        for body in [
            "",
            "<html>",
            "[]",
            r#"{"value":[]}"#,
            r#"{"nextLink":null}"#,
            r#"{"value":[{"nextLink":"https://evil.example"}]}"#,
        ] {
            assert_eq!(rewritten(body), None, "{body}");
        }
    }
}
