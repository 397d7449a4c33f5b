//! `$filter`, as much of it as clients send: equality, `startswith`, `any`, and several joined by `and`.
//!
//! <https://learn.microsoft.com/graph/filter-query-parameter>

use serde_json::Value;

use super::answer::GraphError;

/// What an object must be like to be listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Filter(Vec<Condition>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Condition {
    Equals(String, Value),
    StartsWith(String, String),
    AnyEquals(String, String),
}

impl Filter {
    /// Reads a filter on `kind` of object, which can be filtered by these properties.
    pub(super) fn parse(text: &str, kind: &str, properties: &[&str]) -> Result<Self, GraphError> {
        let mut rest = text.trim();
        let mut conditions = Vec::new();
        loop {
            let (condition, left) = condition(rest).ok_or_else(|| GraphError::filter(text))?;
            let property = condition.property();
            if !properties.contains(&property) {
                return Err(GraphError::filter_property(property, kind));
            }
            conditions.push(condition);
            rest = left.trim_start();
            if rest.is_empty() {
                return Ok(Self(conditions));
            }
            rest = word(rest, "and").ok_or_else(|| GraphError::filter(text))?;
        }
    }

    pub(super) fn holds(&self, object: &Value) -> bool {
        self.0.iter().all(|condition| condition.holds(object))
    }
}

impl Condition {
    fn property(&self) -> &str {
        match self {
            Self::Equals(property, _)
            | Self::StartsWith(property, _)
            | Self::AnyEquals(property, _) => property,
        }
    }

    /// Texts are compared without regard to case, as Graph does.
    fn holds(&self, object: &Value) -> bool {
        match self {
            Self::Equals(property, Value::String(wanted)) => object[property]
                .as_str()
                .is_some_and(|own| own.eq_ignore_ascii_case(wanted)),
            Self::Equals(property, wanted) => object[property] == *wanted,
            Self::StartsWith(property, wanted) => object[property].as_str().is_some_and(|own| {
                own.get(..wanted.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(wanted))
            }),
            Self::AnyEquals(property, wanted) => object[property].as_array().is_some_and(|all| {
                all.iter().any(|one| {
                    one.as_str()
                        .is_some_and(|own| own.eq_ignore_ascii_case(wanted))
                })
            }),
        }
    }
}

/// One condition, and what stands behind it.
fn condition(text: &str) -> Option<(Condition, &str)> {
    if let Some(rest) = text.strip_prefix("startswith(") {
        let (property, rest) = name(rest.trim_start())?;
        let (start, rest) = literal(rest.trim_start().strip_prefix(',')?.trim_start())?;
        let rest = rest.trim_start().strip_prefix(')')?;
        let start = start.as_str()?.to_owned();
        return Some((Condition::StartsWith(property.to_owned(), start), rest));
    }
    let (property, rest) = name(text)?;
    if let Some(rest) = rest.strip_prefix("/any(") {
        let (variable, rest) = name(rest.trim_start())?;
        let rest = rest.trim_start().strip_prefix(':')?.trim_start();
        let rest = word(rest.strip_prefix(variable)?, "eq")?;
        let (one, rest) = literal(rest)?;
        let rest = rest.trim_start().strip_prefix(')')?;
        let one = one.as_str()?.to_owned();
        return Some((Condition::AnyEquals(property.to_owned(), one), rest));
    }
    let (value, rest) = literal(word(rest, "eq")?)?;
    Some((Condition::Equals(property.to_owned(), value), rest))
}

fn name(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|letter: char| !letter.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// What stands behind this word and the blanks around it.
fn word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = text.trim_start().strip_prefix(word)?;
    rest.starts_with(' ').then(|| rest.trim_start())
}

/// A text in single quotes, where two of them stand for one; or a Boolean; or null.
fn literal(text: &str) -> Option<(Value, &str)> {
    for (word, value) in [
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("null", Value::Null),
    ] {
        if let Some(rest) = text.strip_prefix(word) {
            return Some((value, rest));
        }
    }
    let mut rest = text.strip_prefix('\'')?;
    let mut read = String::new();
    loop {
        let (part, behind) = rest.split_once('\'')?;
        read.push_str(part);
        match behind.strip_prefix('\'') {
            Some(more) => {
                read.push('\'');
                rest = more;
            }
            None => return Some((Value::String(read), behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PROPERTIES: &[&str] = &["appId", "displayName", "identifierUris", "accountEnabled"];

    fn holds(filter: &str, object: &Value) -> bool {
        let filter = Filter::parse(filter, "Application", PROPERTIES);
        filter
            .unwrap_or_else(|_| panic!("unreadable"))
            .holds(object)
    }

    #[test]
    fn what_clients_send_is_understood() {
        let object = json!({
            "appId": "1b",
            "displayName": "Bob's API",
            "identifierUris": ["api://1b", "api://two"],
            "accountEnabled": true,
        });
        for (filter, expected) in [
            ("appId eq '1B'", true),
            ("appId eq '1'", false),
            ("displayName eq 'Bob''s API'", true),
            ("startswith(displayName,'bob')", true),
            ("startswith(displayName, 'API')", false),
            ("identifierUris/any(s:s eq 'api://two')", true),
            ("identifierUris/any(x: x eq 'api://t')", false),
            ("accountEnabled eq true", true),
            ("displayName eq null", false),
            ("appId eq '1b' and startswith(displayName,'Bob')", true),
            ("appId eq '1b' and displayName eq 'and'", false),
        ] {
            assert_eq!(holds(filter, &object), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for filter in [
            "",
            "appId",
            "appId eq",
            "appId eq 1b",
            "appId eq '1b",
            "appId ne '1b'",
            "appId eq '1b' or appId eq '2'",
            "appId eq '1b' and",
            "appId eq '1b' trailing",
            "startswith(displayName)",
            "identifierUris/any(s:t eq 'x')",
            "identifierUris/all(s:s eq 'x')",
            "notes eq 'x'",
        ] {
            assert!(
                Filter::parse(filter, "Application", PROPERTIES).is_err(),
                "{filter}"
            );
        }
    }
}
