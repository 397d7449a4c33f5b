//! `[[route]]` tables → [`Route`]s.

use std::{collections::BTreeMap, str::FromStr as _};

use http::{HeaderName, Method, header::AUTHORIZATION};

use super::{
    Access, DEFAULT_DOWNSTREAM, DEFAULT_UPSTREAM, Origin, Permission, Protocol, Route, RouteLimits,
    Upstream,
    downstreams::{Downstreams, has_a_meaning},
    resolve::Resolver,
    settings::{Given, RouteTable},
    value,
};
use crate::{host::HostPattern, path::Pattern};

impl Resolver<'_> {
    /// Without any route there is one for everything.
    pub(super) fn routes(
        &mut self,
        upstreams: &BTreeMap<String, Upstream>,
        downstreams: &Downstreams,
    ) -> Vec<Route> {
        let defaults = Defaults {
            scopes: self.words("accept.scopes"),
            roles: self.words("accept.roles"),
            permission: self.permission(),
            clients: match self.settings.list("accept.clients") {
                Some(given) => self.guids("accept.clients", &given),
                None => Vec::new(),
            },
        };
        if self.settings.routes.is_empty() && self.has_other_provider() {
            let message = "missing: with [oidc] the routes say which downstream they have";
            self.problems.push(Origin::Nowhere, "route", message);
            return Vec::new();
        }
        if self.settings.routes.is_empty() {
            if self.settings.list("accept.scopes").is_none()
                && self.settings.list("accept.roles").is_none()
            {
                self.missing("accept.scopes");
            }
            return vec![Route {
                path: Pattern::everything(),
                hosts: Vec::new(),
                methods: Vec::new(),
                access: Access::Required,
                permission: defaults.permission,
                scopes: defaults.scopes,
                roles: defaults.roles,
                clients: defaults.clients,
                upstream: DEFAULT_UPSTREAM.to_owned(),
                downstreams: vec![DEFAULT_DOWNSTREAM.to_owned()],
                identity_headers: Vec::new(),
                pass_caller_token: false,
                upgrade: false,
                outlive_token: false,
                trailers: Vec::new(),
                server_timing: false,
                cors: None,
                limits: RouteLimits::default(),
            }];
        }
        let mut routes: Vec<Route> = Vec::new();
        for table in &self.settings.routes {
            let Some(route) = self.route(table, &defaults, upstreams, downstreams) else {
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
        defaults: &Defaults,
        upstreams: &BTreeMap<String, Upstream>,
        downstreams: &Downstreams,
    ) -> Option<Route> {
        let path = self.route_path(table);
        let hosts = self.route_hosts(table);
        let methods = match table.values.list("methods") {
            Some(given) => self.methods("route.methods", &given),
            None => Vec::new(),
        };
        let access = self.route_access(table);
        let scopes = self.own_words(table, "route.scopes", &defaults.scopes);
        let roles = self.own_words(table, "route.roles", &defaults.roles);
        let clients = match table.values.list("clients") {
            Some(given) => self.guids("route.clients", &given),
            None => defaults.clients.clone(),
        };
        let permission = self.own_permission(table, defaults.permission, &scopes, &roles);
        self.fits_its_callers(table, access, &scopes, &roles, downstreams);
        let upstream = self.name(table, "route.upstream", |name| {
            // Where its address is wrong, that is the problem to name, not this one.
            upstreams.contains_key(name) || self.settings.upstreams.contains_key(name)
        });
        let names = self.route_downstreams(table, downstreams);
        self.exists_without_entra(table, &names);
        let first = names.first().and_then(|name| downstreams.get(name));
        let has_authorization = first.is_some_and(|api| api.header == AUTHORIZATION);
        let pass_caller_token = table.values.switch("pass_caller_token");
        if pass_caller_token
            && has_authorization
            && let Some(origin) = table.origin_of("downstream")
        {
            let message = "the upstream gets one Authorization: the downstream's token or, by `pass_caller_token`, the caller's";
            self.problems
                .push(origin.clone(), "route.downstream", message);
        }
        let name = upstream.as_deref().unwrap_or(DEFAULT_UPSTREAM);
        let upgrade = self.upgrade(table, upstreams.get(name));
        let identity_headers = self.identity_headers(table);
        self.keeps_tokens_and_claims_apart(table, &names, downstreams, &identity_headers);
        let trailers = self.trailers(table);
        let cors = self.cors(table);
        let limits = self.route_limits(table);
        Some(Route {
            path: path?,
            hosts,
            methods,
            access: access?,
            permission,
            scopes,
            roles,
            clients,
            upstream: upstream.unwrap_or_else(|| DEFAULT_UPSTREAM.to_owned()),
            downstreams: names,
            identity_headers,
            pass_caller_token,
            upgrade,
            outlive_token: table.values.switch("outlive_token"),
            trailers,
            server_timing: table.values.switch("server_timing"),
            cors,
            limits,
        })
    }

    /// The route's own words, or else those of `accept`.
    fn own_words(&mut self, table: &RouteTable, key: &str, default: &[String]) -> Vec<String> {
        match table.values.list(key.trim_start_matches("route.")) {
            Some(own) => {
                self.judge_words(key, own.value, &own.origin);
                own.value.to_vec()
            }
            None => default.to_vec(),
        }
    }

    fn upgrade(&mut self, table: &RouteTable, upstream: Option<&Upstream>) -> bool {
        let Some(given) = table.values.list("upgrade") else {
            return false;
        };
        let key = "route.upgrade";
        for name in given.value.iter().filter(|name| *name != "websocket") {
            let message = format!("{name:?} is not known; \"websocket\" is");
            self.problems.push(given.origin.clone(), key, message);
        }
        if upstream.is_some_and(|upstream| upstream.protocol == Protocol::Http2) {
            let message = "an h2c upstream opens no WebSockets: give it an http:// address";
            self.problems.push(given.origin.clone(), key, message);
        }
        !given.value.is_empty()
    }

    fn route_hosts(&mut self, table: &RouteTable) -> Vec<HostPattern> {
        let Some(given) = table.values.list("hosts") else {
            return Vec::new();
        };
        if given.value.is_empty() {
            self.problems.push(
                given.origin.clone(),
                "route.hosts",
                "an empty list names no host; leave `hosts` out to allow all",
            );
        }
        self.parse_all("route.hosts", &given)
    }

    fn route_limits(&mut self, table: &RouteTable) -> RouteLimits {
        let mut duration = |key: &str| {
            let given = table.values.text(key)?;
            value::duration(given.value)
                .map_err(|message| {
                    let key = format!("route.{key}");
                    self.problems.push(given.origin, key, message);
                })
                .ok()
        };
        let response_timeout = duration("limits.response_timeout");
        let idle_timeout = duration("limits.idle_timeout");
        let total_timeout = duration("limits.total_timeout");
        let requests = table.values.number("limits.requests").and_then(|given| {
            let number = usize::try_from(given.value).ok().filter(|n| *n > 0);
            if number.is_none() {
                let message = "a route that takes no request at all is better left out";
                self.problems
                    .push(given.origin, "route.limits.requests", message);
            }
            number
        });
        RouteLimits {
            body_bytes: table
                .values
                .number("limits.body_bytes")
                .map(|given| given.value),
            requests,
            response_timeout,
            idle_timeout,
            total_timeout,
        }
    }

    fn route_path(&mut self, table: &RouteTable) -> Option<Pattern> {
        let Some(given) = table.values.text("path") else {
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
        Pattern::from_str(given.value)
            .map_err(|error| {
                self.problems
                    .push(given.origin.clone(), "route.path", error.to_string());
            })
            .ok()
    }

    pub(super) fn methods(&mut self, key: &str, given: &Given<&[String]>) -> Vec<Method> {
        if given.value.is_empty() {
            self.problems.push(
                given.origin.clone(),
                key,
                "an empty list allows nothing; leave `methods` out to allow all",
            );
        }
        let mut methods = Vec::new();
        for text in given.value {
            match Method::from_bytes(text.as_bytes()) {
                Ok(method) if method == Method::CONNECT || method == Method::TRACE => {
                    let message = format!("{method} is never forwarded");
                    self.problems.push(given.origin.clone(), key, message);
                }
                Ok(method) if *text == text.to_ascii_uppercase() => methods.push(method),
                _ => {
                    let message = format!("{text:?} is no method such as GET");
                    self.problems.push(given.origin.clone(), key, message);
                }
            }
        }
        methods
    }

    fn name(
        &mut self,
        table: &RouteTable,
        key: &str,
        known: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let given = table.values.text(key.trim_start_matches("route."))?;
        if !known(given.value) {
            let message = format!("{:?} is defined nowhere", given.value);
            self.problems.push(given.origin.clone(), key, message);
        }
        Some(given.value.to_owned())
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
                Ok(name) if has_a_meaning(&name) => {
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

/// What `accept` gives routes that say nothing of their own.
struct Defaults {
    scopes: Vec<String>,
    roles: Vec<String>,
    permission: Permission,
    clients: Vec<String>,
}

fn overlap(a: &Route, b: &Route) -> bool {
    let same_host = a.hosts.is_empty() && b.hosts.is_empty()
        || a.hosts.iter().any(|host| b.hosts.contains(host));
    a.path == b.path
        && same_host
        && (a.methods.is_empty()
            || b.methods.is_empty()
            || a.methods.iter().any(|method| b.methods.contains(method)))
}
