//! `upstream` and `[upstreams.<name>]`, from what was given to [`Upstream`]s.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    ClientCertificate, DEFAULT_UPSTREAM, Protocol, Upstream, UpstreamTls,
    resolve::Resolver,
    settings::{Given, UpstreamTable},
    upstream,
};

impl Resolver<'_> {
    pub(super) fn upstreams(&mut self) -> BTreeMap<String, Upstream> {
        let mut upstreams = BTreeMap::new();
        let tables = &self.settings.upstreams;
        match self.settings.text("upstream") {
            Some(given) => {
                if let Some(table) = tables.get(DEFAULT_UPSTREAM) {
                    let key = format!("upstreams.{DEFAULT_UPSTREAM}");
                    let message = "this is what `upstream` gives; one of the two is enough";
                    self.problems.push(table.origin.clone(), key, message);
                }
                let allow = self.settings.switch("allow_plaintext_upstream");
                let upstream = self.url("upstream", &given, allow);
                upstreams.extend(upstream.map(|found| (DEFAULT_UPSTREAM.to_owned(), found)));
            }
            None if tables.contains_key(DEFAULT_UPSTREAM) || !self.needs_a_default() => {}
            None => self.missing("upstream"),
        }
        for (name, table) in tables {
            let upstream = self.upstream(&format!("upstreams.{name}"), table);
            upstreams.extend(upstream.map(|upstream| (name.clone(), upstream)));
        }
        upstreams
    }

    /// Whether there is a route that names no upstream, and would lead nowhere.
    fn needs_a_default(&self) -> bool {
        let routes = &self.settings.routes;
        routes.is_empty()
            || routes
                .iter()
                .any(|route| route.values.text("upstream").is_none())
    }

    fn upstream(&mut self, key: &str, table: &UpstreamTable) -> Option<Upstream> {
        let allow = self.settings.switch("allow_plaintext_upstream");
        let tls = self.upstream_tls(key, table);
        let path = format!("{key}.url");
        let Some(given) = table.values.text("url") else {
            if !self.has_been_said(&path) {
                self.problems
                    .push(table.origin.clone(), key, "its `url` is missing");
            }
            return None;
        };
        let addresses = table.values.list("addresses");
        // Where addresses are given, they are what is connected to.
        let mut upstream = self.url(&path, &given, allow || addresses.is_some())?;
        if upstream.protocol != Protocol::Tls {
            for field in ["ca_file", "client_certificate", "client_key"] {
                if let Some(given) = table.values.text(field) {
                    let message = "only an https upstream has a use for it";
                    self.problems
                        .push(given.origin, format!("{key}.{field}"), message);
                }
            }
        }
        if let Some(given) = addresses {
            self.addresses(&format!("{key}.addresses"), &given, &mut upstream);
        }
        upstream.tls = tls?;
        Some(upstream)
    }

    fn url(&mut self, key: &str, given: &Given<&str>, allow: bool) -> Option<Upstream> {
        upstream::parse(given.value, allow)
            .map_err(|message| self.problems.push(given.origin.clone(), key, message))
            .ok()
    }

    fn addresses(&mut self, key: &str, given: &Given<&[String]>, upstream: &mut Upstream) {
        let allow = self.settings.switch("allow_plaintext_upstream");
        let mut problem = |message: String| {
            self.problems.push(given.origin.clone(), key, message);
        };
        if upstream.is_a_file() {
            return problem("a unix socket has no other addresses".to_owned());
        }
        if given.value.is_empty() {
            return problem("an empty list leads nowhere".to_owned());
        }
        upstream.addresses.clear();
        for text in given.value {
            match upstream::address(text, allow || upstream.protocol == Protocol::Tls) {
                Ok(address) if upstream.addresses.contains(&address) => {
                    problem(format!("{text} stands there twice"));
                }
                Ok(address) => upstream.addresses.push(address),
                Err(message) => problem(message),
            }
        }
    }

    fn upstream_tls(&mut self, key: &str, table: &UpstreamTable) -> Option<UpstreamTls> {
        let path = |field| {
            table
                .values
                .text(field)
                .map(|given| PathBuf::from(given.value))
        };
        let client = match (path("client_certificate"), path("client_key")) {
            (Some(certificate), Some(key)) => Some(ClientCertificate::new(certificate, key)),
            (None, None) => None,
            (certificate, _) => {
                let missing = if certificate.is_some() {
                    "client_key"
                } else {
                    "client_certificate"
                };
                if !self.has_been_said(&format!("{key}.{missing}")) {
                    let message = format!(
                        "a certificate and its key belong together: its `{missing}` is missing"
                    );
                    self.problems.push(table.origin.clone(), key, message);
                }
                return None;
            }
        };
        Some(UpstreamTls {
            ca_file: path("ca_file"),
            client,
        })
    }
}
