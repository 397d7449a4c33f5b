//! What the API said about a failure: problem+json (RFC 9457), or the error object of Azure
//! Resource Manager.

use serde_json::{Map, Value};

/// Longest text that is shown of one member.
const MAX_TEXT: usize = 1000;
/// Most further members that are shown.
const MAX_FACTS: usize = 10;

/// A failure in the API's own words.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Problem {
    pub(crate) title: Option<String>,
    pub(crate) detail: Option<String>,
    /// The other members, by name.
    pub(crate) facts: Vec<(String, String)>,
}

impl Problem {
    /// Whether a member has this value.
    pub(crate) fn has_fact(&self, name: &str, value: &str) -> bool {
        let mut facts = self.facts.iter();
        facts.any(|(known, said)| known == name && said == value)
    }

    /// Names the request, by which logs have it, where the body does not.
    pub(crate) fn of_request(mut self, id: Option<String>) -> Self {
        if let Some(id) = id
            && !self.facts.iter().any(|(_, said)| *said == id)
        {
            self.facts.push(("request_id".to_owned(), id));
        }
        self
    }

    /// Reads a body. What is neither form gives an empty problem.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let Ok(mut members) = serde_json::from_slice::<Map<String, Value>>(body) else {
            return Self::default();
        };
        if let Some(Value::Object(error)) = members.get("error") {
            // The message is made for people, the code is not.
            let code = error.get("code").and_then(text);
            return Self {
                title: error.get("message").and_then(text),
                detail: None,
                facts: code
                    .map(|code| ("code".to_owned(), code))
                    .into_iter()
                    .collect(),
            };
        }
        let mut take = |name| members.remove(name).as_ref().and_then(text);
        let (title, detail, kind) = (take("title"), take("detail"), take("type"));
        take("status");
        let kind = kind.filter(|kind| kind != "about:blank");
        // What people look for first is what Entra ID calls it.
        let aadsts = take("aadsts");
        let first = [("aadsts", aadsts), ("type", kind)];
        let facts = first
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .chain(
                members
                    .iter()
                    .filter_map(|(name, value)| Some((shorten(name), text(value)?))),
            )
            .take(MAX_FACTS)
            .collect();
        Self {
            title,
            detail,
            facts,
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.is_empty()).then(|| shorten(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(values) => {
            let texts: Option<Vec<_>> = values.iter().take(MAX_FACTS).map(text).collect();
            texts
                .filter(|texts| !texts.is_empty())
                .map(|texts| shorten(&texts.join(", ")))
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// The beginning of a text, cut where a character ends.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text.to_owned(),
        Some((end, _)) => text
            .get(..end)
            .map(|text| format!("{text}…"))
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_read_with_its_extensions() {
        let problem = Problem::parse(
            br#"{"type":"https://x.example/consent","title":"T","status":403,"detail":"D","aadsts":65001,"scopes":["a","b"],"deep":{"x":1}}"#,
        );
        assert_eq!(problem.title.as_deref(), Some("T"));
        assert_eq!(problem.detail.as_deref(), Some("D"));
        let mut facts = problem.facts;
        facts.sort();
        assert_eq!(
            facts,
            [
                ("aadsts".to_owned(), "65001".to_owned()),
                ("scopes".to_owned(), "a, b".to_owned()),
                ("type".to_owned(), "https://x.example/consent".to_owned()),
            ]
        );
    }

    #[test]
    fn the_id_of_the_request_is_said_once() {
        let id = || Some("r-1".to_owned());
        let problem = Problem::parse(b"<html>").of_request(id());
        assert!(problem.has_fact("request_id", "r-1"));
        let problem = Problem::parse(br#"{"correlation_id":"r-1"}"#).of_request(id());
        assert_eq!(problem.facts.len(), 1);
    }

    #[test]
    fn an_error_of_resource_manager_is_read() {
        let problem = Problem::parse(br#"{"error":{"code":"C","message":"M"}}"#);
        assert_eq!(problem.title.as_deref(), Some("M"));
        assert_eq!(problem.facts, [("code".to_owned(), "C".to_owned())]);
    }

    #[test]
    fn anything_else_says_nothing_and_long_texts_are_cut() {
        for body in [
            "",
            "<html>",
            "[1]",
            "\"x\"",
            r#"{"title":7.5e3,"detail":""}"#,
        ] {
            assert_eq!(Problem::parse(body.as_bytes()).detail, None, "{body}");
        }
        let long = format!(r#"{{"detail":"{}"}}"#, "ä".repeat(5000));
        let detail = Problem::parse(long.as_bytes()).detail.unwrap();
        assert_eq!(detail.chars().count(), MAX_TEXT + 1);
    }
}
