//! The TOML file: read whole, every problem with its line.
//!
//! Walked by hand, since a deserializer stops at its first error, and since a misspelt key must be
//! an error with a line.

use std::{collections::BTreeMap, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    DEFAULT_DOWNSTREAM,
    keys::{self, DOWNSTREAM_KEYS, KEYS, Key, Kind, ROUTE_KEYS, SHARED_WITH_OIDC, UPSTREAM_KEYS},
    problem::{Origin, Problems},
    settings::{DownstreamTable, Given, RouteTable, Settings, UpstreamTable, Value, Values},
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
                self.settings
                    .values
                    .0
                    .insert(key.name, Given::new(value, origin));
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

    /// `[downstream.<name>]`.
    fn downstreams(&mut self, at: usize, value: &Spanned<DeValue<'_>>) {
        for (name, at, table) in self.tables("downstream", at, value) {
            let path = format!("downstream.{name}");
            let mut read = DownstreamTable {
                origin: self.origin(at),
                scope: None,
                scopes: None,
                resource_url: None,
                header: None,
                grant: None,
                audience: None,
                resource: None,
            };
            for (key, at, value) in entries(table) {
                let path = format!("{path}.{key}");
                match key {
                    "scope" => read.scope = self.text(&path, value),
                    "scopes" => read.scopes = self.list(&path, value),
                    "resource_url" => read.resource_url = self.text(&path, value),
                    "header" => read.header = self.text(&path, value),
                    "grant" => read.grant = self.text(&path, value),
                    "audience" => read.audience = self.one_or_list(&path, value),
                    "resource" => read.resource = self.one_or_list(&path, value),
                    _ => self.unknown(at, path, &names(DOWNSTREAM_KEYS)),
                }
            }
            if name == DEFAULT_DOWNSTREAM
                && let Some(scope) = &read.scope
            {
                let value = Value::Text(scope.value.clone());
                let origin = scope.origin.clone();
                self.settings
                    .values
                    .0
                    .insert("downstream.arm.scope", Given::new(value, origin));
            }
            self.settings.downstreams.insert(name.to_owned(), read);
        }
    }

    /// `[upstreams.<name>]`.
    fn upstreams(&mut self, at: usize, value: &Spanned<DeValue<'_>>) {
        for (name, at, table) in self.tables("upstreams", at, value) {
            let mut read = UpstreamTable {
                origin: self.origin(at),
                values: Values::default(),
            };
            for (key, at, value) in entries(table) {
                let path = format!("upstreams.{name}.{key}");
                let Some(known) = UPSTREAM_KEYS.iter().find(|known| known.name == key) else {
                    self.unknown(at, path, &names(UPSTREAM_KEYS));
                    continue;
                };
                let origin = self.origin(value.span().start);
                if let Some(value) = self.value(&path, known.kind, value) {
                    read.values.0.insert(known.name, Given::new(value, origin));
                }
            }
            self.settings.upstreams.insert(name.to_owned(), read);
        }
    }

    /// Tables with names of the user's choice, `[group.<name>]`.
    fn tables<'a, 'i>(
        &mut self,
        group: &str,
        at: usize,
        value: &'a Spanned<DeValue<'i>>,
    ) -> Vec<(&'a str, usize, &'a DeTable<'i>)> {
        let mut tables = Vec::new();
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("tables are wanted, `[{group}.<name>]`");
            self.problem(at, group, message);
            return tables;
        };
        for (name, at, value) in entries(table) {
            match value.get_ref() {
                DeValue::Table(inner) => tables.push((name, at, inner)),
                _ => {
                    let path = format!("{group}.{name}");
                    let message = format!("a table is wanted, `[{path}]`");
                    self.problem(at, path, message);
                }
            }
        }
        tables
    }

    fn routes(&mut self, at: usize, value: &Spanned<DeValue<'_>>) {
        let DeValue::Array(items) = value.get_ref() else {
            return self.problem(
                at,
                "route",
                "routes are a list of tables, each begins with `[[route]]`",
            );
        };
        for item in items.iter() {
            let at = item.span().start;
            match item.get_ref() {
                DeValue::Table(table) => {
                    let route = self.route(at, table);
                    self.settings.routes.push(route);
                }
                _ => self.problem(at, "route", "a route is a table, `[[route]]`"),
            }
        }
    }

    fn route(&mut self, at: usize, table: &DeTable<'_>) -> RouteTable {
        let mut route = RouteTable {
            origin: self.origin(at),
            values: Values::default(),
            identity_headers: Vec::new(),
            faulty: Vec::new(),
        };
        let problems_before = self.problems.iter().count();
        let misspelt_before = self.settings.misspelt.len();
        for (key, at, value) in entries(table) {
            if key == IDENTITY_HEADERS {
                route.identity_headers = self.identity_headers(value);
            } else {
                self.route_setting(&mut route.values, key, at, value);
            }
        }
        // Of this route, not of all: the next one may have the key and be right.
        route.faulty = self.settings.misspelt.split_off(misspelt_before);
        let problems = self.problems.iter().skip(problems_before);
        route
            .faulty
            .extend(problems.map(|problem| problem.key().to_owned()));
        route
    }

    /// A setting of [`ROUTE_KEYS`], or a table of them; `name` is without `route.`.
    fn route_setting(
        &mut self,
        values: &mut Values,
        name: &str,
        at: usize,
        value: &Spanned<DeValue<'_>>,
    ) {
        let path = format!("route.{name}");
        if let Some(key) = ROUTE_KEYS.iter().find(|key| key.name == name) {
            let origin = self.origin(value.span().start);
            if let Some(value) = self.value(&path, key.kind, value) {
                values.0.insert(key.name, Given::new(value, origin));
            }
            return;
        }
        let prefix = format!("{name}.");
        if !ROUTE_KEYS.iter().any(|key| key.name.starts_with(&prefix)) {
            return self.unknown(at, path, &fields_of_route(name));
        }
        match value.get_ref() {
            DeValue::Table(table) => {
                for (key, at, value) in entries(table) {
                    self.route_setting(values, &format!("{prefix}{key}"), at, value);
                }
            }
            other => {
                let message = format!("a table is wanted, not {}", a(other.type_str()));
                self.problem(at, path, message);
            }
        }
    }

    fn identity_headers(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<(String, Given<String>)> {
        let key = "route.identity_headers";
        let DeValue::Table(table) = value.get_ref() else {
            let message = "a table of claims and header names is wanted, { oid = \"X-Obo-Oid\" } for instance";
            self.problem(value.span().start, key, message);
            return Vec::new();
        };
        let mut headers = Vec::new();
        for (claim, _, value) in entries(table) {
            if let Some(header) = self.text(&format!("{key}.{claim}"), value) {
                headers.push((claim.to_owned(), header));
            }
        }
        headers
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

const IDENTITY_HEADERS: &str = "identity_headers";

/// The keys that may stand where `name`, an unknown one, stands in a route.
fn fields_of_route(name: &str) -> Vec<&'static str> {
    let prefix = name
        .rsplit_once('.')
        .map_or(String::new(), |(table, _)| format!("{table}."));
    let mut fields: Vec<&str> = Vec::new();
    for key in ROUTE_KEYS {
        let Some(field) = key.name.strip_prefix(&prefix) else {
            continue;
        };
        let field = field.split('.').next().unwrap_or(field);
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    if prefix.is_empty() {
        fields.push(IDENTITY_HEADERS);
    }
    fields
}

/// Tables that stand in the file only.
const FILE_TABLES: [&str; 2] = ["upstreams", "route"];

/// Names that say who a user is for a person, and that their owner or an administrator can change.
const MUTABLE_CLAIMS: [&str; 4] = ["upn", "email", "preferred_username", "unique_name"];

fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

/// Names that have a meaning and no effect yet; `*` stands for a name of the user's choice.
const NOT_YET: &[&str] = &["metrics"];

fn is_not_yet(name: &str) -> bool {
    NOT_YET.iter().any(|known| match known.split_once('*') {
        None => *known == name,
        Some((group, field)) => name
            .strip_prefix(group)
            .and_then(|rest| rest.strip_suffix(field))
            .is_some_and(|between| !between.is_empty()),
    })
}

/// What to say of a key that is unknown, and the key that was meant, if one is near.
fn unknown(name: &str, fields: &[&'static str]) -> (String, Option<String>) {
    let (table, last) = name.rsplit_once('.').unwrap_or(("", name));
    if MUTABLE_CLAIMS
        .iter()
        .any(|claim| last.trim_end_matches('s') == *claim)
    {
        let message = format!(
            "nothing is decided by `{last}`: it can be changed and reused. Decide by scopes, roles, clients or tenants"
        );
        return (message, None);
    }
    if is_not_yet(name) {
        return ("not supported yet".to_owned(), None);
    }
    let prefix = if table.is_empty() {
        String::new()
    } else {
        format!("{table}.")
    };
    let mut known = fields.to_vec();
    if fields.is_empty() {
        let candidates = KEYS
            .iter()
            .filter(|key| key.kind != Kind::Secret)
            .filter_map(|key| key.name.strip_prefix(&prefix)?.split('.').next());
        let tables = FILE_TABLES.into_iter().filter(|_| table.is_empty());
        for candidate in candidates.chain(tables) {
            if !known.contains(&candidate) {
                known.push(candidate);
            }
        }
    }
    let near = known
        .iter()
        .find(|candidate| distance(candidate, last) <= 2);
    match near {
        Some(near) => (
            format!("unknown key; `{near}` is meant?"),
            Some(format!("{prefix}{near}")),
        ),
        None => (
            format!("unknown key; known here: {}", known.join(", ")),
            None,
        ),
    }
}

/// Levenshtein's distance: how many letters to change, add or leave out.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(0);
            let left = row.get(j).copied().unwrap_or(0);
            let best = (diagonal + usize::from(x != *y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = best;
            }
        }
    }
    row.last().copied().unwrap_or(0)
}
