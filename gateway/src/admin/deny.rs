//! `/deny`: who is cut off, and cutting somebody off until the gateway ends.

use http::{Method, Request, StatusCode};
use serde_json::json;
use tower_obo::DenyRule;
use url::form_urlencoded;

use super::{Page, Pages};
use crate::denied::{MOST_ADDED, Removed, in_words, rule};

/// Who is cut off, and where that was said.
pub(super) fn list(pages: &Pages) -> Page {
    let denied = &pages.denied;
    let [of_file, added] = denied.entries();
    let entry = |from: &'static str| move |words: String| json!({ "deny": words, "from": from });
    let entries = of_file.into_iter().map(entry("file"));
    let entries: Vec<_> = entries
        .chain(added.into_iter().map(entry("admin")))
        .collect();
    let config = &pages.readiness.live.now().config;
    let file = config.accept.deny_file.as_ref();
    let answer = json!({
        "entries": entries,
        "file": file.map(|path| path.display().to_string()),
        "file_is_stale": denied.is_stale(),
    });
    Page::json(StatusCode::OK, &answer)
}

/// Adds whom the query names, or takes back that they were added.
pub(super) fn change<B>(request: &Request<B>, pages: &Pages) -> Page {
    let denied = &pages.denied;
    let query = request.uri().query().unwrap_or_default();
    let rule = match parse(query, denied.is_of_entra()) {
        Ok(rule) => rule,
        Err(reason) => return Page::text(StatusCode::BAD_REQUEST, reason),
    };
    let whose = in_words(&rule);
    if *request.method() == Method::POST {
        if !denied.add(rule) {
            let text =
                format!("{MOST_ADDED} have been added; the others belong into accept.deny_file\n");
            return Page::text(StatusCode::CONFLICT, text);
        }
        tracing::warn!(whose = ?whose, "cut off on the admin listener, until the gateway ends");
    } else {
        match denied.remove(&rule) {
            Removed::Done => {
                tracing::warn!(whose = ?whose, "let in again on the admin listener");
            }
            Removed::InFile => {
                let text = "accept.deny_file names them: take the line out there\n";
                return Page::text(StatusCode::CONFLICT, text);
            }
            Removed::Unknown => {
                let text = "nobody has added that; GET /deny says what is in force\n";
                return Page::text(StatusCode::NOT_FOUND, text);
            }
        }
    }
    let answer = json!({ "deny": whose, "added": denied.added(), "in_force": denied.list.len() });
    Page::json(StatusCode::OK, &answer)
}

/// The words of a line of the deny file, as a query.
fn parse(query: &str, entra: bool) -> Result<DenyRule, String> {
    let words = form_urlencoded::parse(query.as_bytes());
    let words: Vec<String> = words
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    rule(&words, entra).map_err(|reason| format!("{reason}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTOSO: &str = "c0a705a0-0000-4000-8000-000000000001";
    const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";

    #[test]
    fn a_query_names_somebody_in_the_words_of_the_file() {
        let user = parse(&format!("tid={CONTOSO}&oid={ALICE}"), true);
        assert_eq!(user, Ok(DenyRule::user(CONTOSO, ALICE)));
        let tenant = parse(&format!("tid={CONTOSO}&oid=%2A"), true);
        assert_eq!(tenant, Ok(DenyRule::tenant(CONTOSO)));
        let subject = parse("sub=auth0%7C1", false);
        assert_eq!(subject, Ok(DenyRule::subject("auth0|1")));
        for query in ["", "oid=all", "sub=alice", "uti=a&uti=b", "uti"] {
            assert!(parse(query, true).unwrap_err().ends_with('\n'), "{query}");
        }
    }
}
