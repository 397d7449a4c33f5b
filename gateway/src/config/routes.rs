//! `[[route]]` tables → [`Route`]s.

use std::{collections::BTreeMap, str::FromStr as _};

use http::{HeaderName, Method};

use super::{
    Access, DEFAULT_DOWNSTREAM, DEFAULT_UPSTREAM, Route, Upstream,
    resolve::Resolver,
    settings::{Given, RouteTable},
};
use crate::{
    headers::{self, Reserved},
    path::Pattern,
};

impl Resolver<'_> {
    /// `scopes` are those of `accept`, for routes that name none. Without any route there is one for
    /// everything.
    pub(super) fn routes(
        &mut self,
        scopes: Vec<String>,
        upstreams: &BTreeMap<String, Upstream>,
        downstreams: &BTreeMap<String, String>,
    ) -> Vec<Route> {
        if self.settings.routes.is_empty() {
            if self.settings.list("accept.scopes").is_none() {
                self.missing("accept.scopes");
            }
            return vec![Route {
                path: Pattern::everything(),
                methods: Vec::new(),
                access: Access::Required,
                scopes,
                upstream: DEFAULT_UPSTREAM.to_owned(),
                downstream: Some(DEFAULT_DOWNSTREAM.to_owned()),
                identity_headers: Vec::new(),
            }];
        }
        let mut routes: Vec<Route> = Vec::new();
        for table in &self.settings.routes {
            let Some(route) = self.route(table, &scopes, upstreams, downstreams) else {
                continue;
            };
            if let Some(other) = routes.iter().find(|other| overlap(other, &route)) {
                let message = format!("`{}` has a route already, for the same methods", other.path);
                self.problems
                    .push(table.origin.clone(), "route.path", message);
            }
            routes.push(route);
        }
        routes
    }

    fn route(
        &mut self,
        table: &RouteTable,
        scopes: &[String],
        upstreams: &BTreeMap<String, Upstream>,
        downstreams: &BTreeMap<String, String>,
    ) -> Option<Route> {
        let path = self.route_path(table);
        let methods = self.route_methods(table);
        let access = self.route_access(table);
        let scopes = match &table.scopes {
            Some(own) => {
                self.judge_words("route.scopes", &own.value, &own.origin);
                own.value.clone()
            }
            None => scopes.to_vec(),
        };
        // Where those of `accept` are wrong, that is the problem to name, once.
        let scopes_are_judged = table.scopes.is_some()
            || table.has_been_said("route.scopes")
            || self.settings.list("accept.scopes").is_some()
            || self.has_been_said("accept.scopes");
        if access == Some(Access::Required) && scopes.is_empty() && !scopes_are_judged {
            self.problems.push(
                table.origin.clone(),
                "route.scopes",
                "missing: a scope that lets a caller in. Give it here, or for all routes as `scopes` under [accept]",
            );
        }
        if access == Some(Access::Public) {
            let unfit = [
                (
                    "route.downstream",
                    table.downstream.as_ref().map(|given| &given.origin),
                ),
                (
                    "route.scopes",
                    table.scopes.as_ref().map(|given| &given.origin),
                ),
                (
                    "route.identity_headers",
                    table
                        .identity_headers
                        .first()
                        .map(|(_, given)| &given.origin),
                ),
            ];
            for (key, origin) in unfit {
                if let Some(origin) = origin {
                    self.problems.push(
                        origin.clone(),
                        key,
                        "a public route has no caller whose token it could use",
                    );
                }
            }
        }
        let upstream = self.name("route.upstream", table.upstream.as_ref(), |name| {
            // Where its address is wrong, that is the problem to name, not this one.
            upstreams.contains_key(name) || self.settings.upstreams.contains_key(name)
        });
        let downstream = self.name("route.downstream", table.downstream.as_ref(), |name| {
            downstreams.contains_key(name) || self.settings.downstreams.contains_key(name)
        });
        let identity_headers = self.identity_headers(table);
        Some(Route {
            path: path?,
            methods,
            access: access?,
            scopes,
            upstream: upstream.unwrap_or_else(|| DEFAULT_UPSTREAM.to_owned()),
            downstream,
            identity_headers,
        })
    }

    fn route_path(&mut self, table: &RouteTable) -> Option<Pattern> {
        let Some(given) = &table.path else {
            if table.has_been_said("route.path") {
                return None;
            }
            self.problems.push(
                table.origin.clone(),
                "route.path",
                "missing: which path the route is for",
            );
            return None;
        };
        Pattern::from_str(&given.value)
            .map_err(|error| {
                self.problems
                    .push(given.origin.clone(), "route.path", error.to_string());
            })
            .ok()
    }

    fn route_methods(&mut self, table: &RouteTable) -> Vec<Method> {
        let Some(given) = &table.methods else {
            return Vec::new();
        };
        if given.value.is_empty() {
            self.problems.push(
                given.origin.clone(),
                "route.methods",
                "an empty list allows nothing; leave `methods` out to allow all",
            );
        }
        let mut methods = Vec::new();
        for text in &given.value {
            match Method::from_bytes(text.as_bytes()) {
                Ok(method) if method == Method::CONNECT || method == Method::TRACE => {
                    let message = format!("{method} is never forwarded");
                    self.problems
                        .push(given.origin.clone(), "route.methods", message);
                }
                Ok(method) if *text == text.to_ascii_uppercase() => methods.push(method),
                _ => {
                    let message = format!("{text:?} is no method such as GET");
                    self.problems
                        .push(given.origin.clone(), "route.methods", message);
                }
            }
        }
        methods
    }

    fn route_access(&mut self, table: &RouteTable) -> Option<Access> {
        let Some(given) = &table.access else {
            // A route that says nothing is protected.
            return Some(Access::Required);
        };
        match given.value.as_str() {
            "required" => Some(Access::Required),
            "public" => Some(Access::Public),
            "app-only" => {
                let message = "\"app-only\" is not supported yet";
                self.problems
                    .push(given.origin.clone(), "route.access", message);
                None
            }
            other => {
                let message = format!("{other:?} is neither \"required\" nor \"public\"");
                self.problems
                    .push(given.origin.clone(), "route.access", message);
                None
            }
        }
    }

    fn name(
        &mut self,
        key: &str,
        given: Option<&Given<String>>,
        known: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let given = given?;
        if !known(&given.value) {
            let message = format!("{:?} is defined nowhere", given.value);
            self.problems.push(given.origin.clone(), key, message);
        }
        Some(given.value.clone())
    }

    fn identity_headers(&mut self, table: &RouteTable) -> Vec<(String, HeaderName)> {
        let mut headers = Vec::new();
        for (claim, given) in &table.identity_headers {
            let key = format!("route.identity_headers.{claim}");
            match HeaderName::from_bytes(given.value.as_bytes()) {
                Err(_) => {
                    let message = format!("{:?} is no header name", given.value);
                    self.problems.push(given.origin.clone(), key, message);
                }
                Ok(name)
                    if headers::belongs_to_the_connection(&name)
                        || Reserved::default().contains(&name) =>
                {
                    let message =
                        format!("`{name}` has a meaning of its own and cannot carry a claim");
                    self.problems.push(given.origin.clone(), key, message);
                }
                Ok(name) => headers.push((claim.clone(), name)),
            }
        }
        headers
    }
}

fn overlap(a: &Route, b: &Route) -> bool {
    a.path == b.path
        && (a.methods.is_empty()
            || b.methods.is_empty()
            || a.methods.iter().any(|method| b.methods.contains(method)))
}
