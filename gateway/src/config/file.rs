//! The TOML file: read whole, every problem with its line.
//!
//! Walked by hand, since a deserializer stops at its first error, and since a misspelt key must be
//! an error with a line.

use std::{collections::BTreeMap, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

mod routes;
mod tables;
mod unknown;

pub(super) use self::unknown::distance;
use self::unknown::{names, unknown};
use super::{
    keys::{self, KEYS, Kind, SHARED_WITH_OIDC},
    problem::{Origin, Problems},
    settings::{Given, Settings, Value},
};

type Entry<'a, 'i> = (&'a str, usize, &'a Spanned<DeValue<'i>>);

/// Reads the text of a file that is called `name` in messages.
pub(crate) fn parse(name: &str, text: &str, problems: &mut Problems) -> Settings {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut walk = Walk {
        name: name.into(),
        text,
        settings: Settings::default(),
        problems,
    };
    walk.no_toml(&errors);
    // What the parser guesses after an error would only give problems that nobody has.
    if errors.is_empty() {
        walk.root(table.get_ref());
    }
    walk.settings
}

/// So many lines that are no TOML are said each.
const MOST_LINES: usize = 5;

struct Walk<'a> {
    name: Arc<str>,
    text: &'a str,
    settings: Settings,
    problems: &'a mut Problems,
}

impl Walk<'_> {
    fn origin(&self, at: usize) -> Origin {
        let upto = self.text.as_bytes().get(..at).unwrap_or_default();
        Origin::File {
            name: Arc::clone(&self.name),
            line: 1 + upto.iter().filter(|byte| **byte == b'\n').count(),
        }
    }

    /// Each line that is no TOML, once; not all of them where somebody has given another kind of file.
    fn no_toml(&mut self, errors: &[toml::de::Error]) {
        let place = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
        let mut lines = BTreeMap::new();
        for error in errors {
            let origin = self.origin(place(error));
            if let Origin::File { line, .. } = origin {
                lines.entry(line).or_insert((origin, error.message()));
            }
        }
        let others = lines.len().saturating_sub(MOST_LINES);
        for (origin, message) in lines.into_values().take(MOST_LINES) {
            self.problems.push(origin, "", message);
        }
        if others > 0 {
            let origin = Origin::File {
                name: Arc::clone(&self.name),
                line: self.text.lines().count().max(1),
            };
            let message = format!(
                "{others} more lines like these: the configuration is written in TOML, `upstream = \"http://127.0.0.1:3000\"` for instance"
            );
            self.problems.push(origin, "", message);
        }
    }

    fn problem(&mut self, at: usize, key: impl Into<String>, message: impl Into<String>) {
        let origin = self.origin(at);
        self.problems.push(origin, key, message);
    }

    /// An unknown key; `fields` are the known ones of a table that [`KEYS`] does not have.
    fn unknown(&mut self, at: usize, name: String, fields: &[&'static str]) {
        let (message, meant) = unknown(&name, fields);
        self.settings.misspelt.extend(meant);
        self.problem(at, name, message);
    }

    fn root(&mut self, table: &DeTable<'_>) {
        for (key, at, value) in entries(table) {
            match key {
                "route" => self.routes(at, value),
                "downstream" => self.downstreams(at, value),
                "upstreams" => self.upstreams(at, value),
                "oidc" => self.oidc(at, value),
                _ => self.setting(key.to_owned(), at, value),
            }
        }
    }

    /// `[oidc]`: what it shares with `[entra]` is the same setting.
    fn oidc(&mut self, at: usize, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("a table is wanted, not {}", a(value.get_ref().type_str()));
            return self.problem(at, "oidc", message);
        };
        if !entries(table).any(|(key, ..)| key == "issuer") {
            let message = "missing: the issuer, as `iss` of its tokens has it";
            self.problem(at, "oidc.issuer", message);
        }
        for (key, at, value) in entries(table) {
            let group = if SHARED_WITH_OIDC.contains(&key) {
                "entra"
            } else {
                "oidc"
            };
            self.setting(format!("{group}.{key}"), at, value);
        }
    }

    /// A setting of [`KEYS`], or a table of them.
    fn setting(&mut self, name: String, at: usize, value: &Spanned<DeValue<'_>>) {
        if let Some(key) = keys::find(&name) {
            if key.kind == Kind::Secret {
                self.problem(
                    at,
                    name,
                    "a secret is never written in the file: give `secret_file`, or the environment variable AZURE_CLIENT_SECRET",
                );
            } else if let Some(value) = self.value(key.name, key.kind, value) {
                let origin = self.origin(at);
                let given = Given::new(value, origin.clone());
                let earlier = self.settings.values.0.insert(key.name, given);
                if earlier.is_some() {
                    let message = "it stands under [entra] and under [oidc], where it is the same setting; once is enough";
                    self.problems.push(origin, name, message);
                }
            }
            return;
        }
        let prefix = format!("{name}.");
        if !KEYS.iter().any(|key| key.name.starts_with(&prefix)) {
            return self.unknown(at, name, &[]);
        }
        match value.get_ref() {
            DeValue::Table(table) => {
                for (key, at, value) in entries(table) {
                    self.setting(format!("{prefix}{key}"), at, value);
                }
            }
            other => {
                let message = format!("a table is wanted, not {}", a(other.type_str()));
                self.problem(at, name, message);
            }
        }
    }

    /// A value in the form of `kind`, or a problem.
    fn value(&mut self, key: &str, kind: Kind, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let at = value.span().start;
        let (wanted, found) = match (kind, value.get_ref()) {
            (Kind::Text | Kind::TextOrTrue | Kind::Duration, DeValue::String(text)) => {
                return Some(Value::Text(text.clone().into_owned()));
            }
            (Kind::Duration, DeValue::Integer(number)) if number.radix() == 10 => {
                return Some(Value::Text(format!("{}s", number.as_str())));
            }
            (Kind::Ratio, DeValue::Float(number)) => {
                return Some(Value::Text(number.as_str().to_owned()));
            }
            (Kind::Ratio, DeValue::Integer(number)) if number.radix() == 10 => {
                return Some(Value::Text(number.as_str().to_owned()));
            }
            (Kind::TextOrTrue, DeValue::Boolean(true)) => {
                return Some(Value::Text("true".to_owned()));
            }
            (Kind::Switch, DeValue::Boolean(switch)) => return Some(Value::Switch(*switch)),
            (Kind::Number, DeValue::Integer(number)) => {
                let parsed = u64::from_str_radix(number.as_str(), number.radix());
                if let Ok(number) = parsed {
                    return Some(Value::Number(number));
                }
                ("a whole number of at least 0", "another")
            }
            (Kind::OneOrList, DeValue::String(text)) => {
                return Some(Value::List(vec![text.clone().into_owned()]));
            }
            (Kind::List | Kind::OneOrList, DeValue::Array(items)) => {
                let mut texts = Vec::with_capacity(items.len());
                for item in items.iter() {
                    if let DeValue::String(text) = item.get_ref() {
                        texts.push(text.clone().into_owned());
                    } else {
                        let message = format!(
                            "a list of strings is wanted, {} is in it",
                            a(item.get_ref().type_str())
                        );
                        self.problem(item.span().start, key, message);
                        return None;
                    }
                }
                return Some(Value::List(texts));
            }
            (Kind::Text, other) => ("a string", other.type_str()),
            (Kind::TextOrTrue, DeValue::Boolean(_)) => ("a string or true", "false"),
            (Kind::TextOrTrue, other) => ("a string or true", other.type_str()),
            (Kind::Duration, other) => ("a duration such as \"30s\"", other.type_str()),
            (Kind::Ratio, other) => ("a number from 0 to 1", other.type_str()),
            (Kind::Switch, other) => ("true or false", other.type_str()),
            (Kind::Number, other) => ("a whole number", other.type_str()),
            (Kind::List, other) => ("a list of strings", other.type_str()),
            (Kind::OneOrList, other) => ("a string or a list of strings", other.type_str()),
            (Kind::Secret, _) => return None,
        };
        let message = format!("{wanted} is wanted, not {}", a(found));
        self.problem(at, key, message);
        None
    }

    fn text(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Given<String>> {
        let origin = self.origin(value.span().start);
        match self.value(key, Kind::Text, value)? {
            Value::Text(text) => Some(Given::new(text, origin)),
            _ => None,
        }
    }

    fn list(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Given<Vec<String>>> {
        self.list_of(key, Kind::List, value)
    }

    fn one_or_list(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Given<Vec<String>>> {
        self.list_of(key, Kind::OneOrList, value)
    }

    fn list_of(
        &mut self,
        key: &str,
        kind: Kind,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Given<Vec<String>>> {
        let origin = self.origin(value.span().start);
        match self.value(key, kind, value)? {
            Value::List(list) => Some(Given::new(list, origin)),
            _ => None,
        }
    }
}

fn entries<'a, 'i>(table: &'a DeTable<'i>) -> impl Iterator<Item = Entry<'a, 'i>> {
    table
        .iter()
        .map(|(key, value)| (key.get_ref().as_ref(), key.span().start, value))
}

fn a(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}
