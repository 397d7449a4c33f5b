//! `[[route]]`, and what is in it.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Walk, a, entries};
use crate::config::{
    keys::ROUTE_KEYS,
    settings::{Given, RouteTable, Values},
};

impl Walk<'_> {
    pub(super) fn routes(&mut self, at: usize, value: &Spanned<DeValue<'_>>) {
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
