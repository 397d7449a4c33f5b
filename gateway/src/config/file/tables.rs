//! Tables with names of the user's choice: `[downstream.<name>]` and `[upstreams.<name>]`.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Walk, entries, names};
use crate::config::{
    DEFAULT_DOWNSTREAM,
    keys::{DOWNSTREAM_KEYS, UPSTREAM_KEYS},
    settings::{DownstreamTable, Given, UpstreamTable, Value, Values},
};

impl Walk<'_> {
    /// `[downstream.<name>]`.
    pub(super) fn downstreams(&mut self, at: usize, value: &Spanned<DeValue<'_>>) {
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
    pub(super) fn upstreams(&mut self, at: usize, value: &Spanned<DeValue<'_>>) {
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
}
