//! The configuration: typed, parsed, with nothing left to go wrong later.
//!
//! Three layers, the later over the earlier: the TOML file, the environment, the flags. See
//! [`Sources`].

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use http::{HeaderName, Method, header::AUTHORIZATION};

mod accept;
mod access;
mod cors;
mod credential;
mod credentials;
mod downstreams;
mod file;
mod grants;
pub(crate) mod keys;
mod limits;
mod oidc;
mod places;
mod problem;
#[cfg(test)]
mod reference;
mod resolve;
mod resource;
mod restart;
mod routes;
mod schema;
mod settings;
mod shared_store;
mod sources;
mod tls;
mod traces;
mod trailers;
mod upstream;
mod upstreams;
mod value;
mod variables;
mod warnings;

pub use self::{
    accept::{Accept, Tenants},
    access::{Access, Permission},
    cors::{Cors, CorsOrigins},
    credential::{Credential, OtherCredential, Secret, SecretFile},
    downstreams::DownstreamApi,
    limits::{Limits, RouteLimits},
    oidc::OtherProvider,
    problem::{Origin, Problem, Problems},
    resource::{PublicUrl, PublicUrlError, Resource},
    schema::schema,
    shared_store::SharedStore,
    sources::Sources,
    tls::Tls,
    traces::Traces,
    upstream::{ClientCertificate, Protocol, Target, Upstream, UpstreamTls},
};
pub(crate) use self::{places::Places, settings::Settings, value::is_guid};
use crate::{
    AccessLog, AuditLog, DroppedLines, host::HostPattern, net::network::Network, path::Pattern,
};

/// The name of the upstream that `upstream = "…"` gives.
pub const DEFAULT_UPSTREAM: &str = "default";

/// The name of the downstream of the default route.
pub const DEFAULT_DOWNSTREAM: &str = "arm";

/// Everything a gateway needs to start.
///
/// Made by [`Sources::load`]; a program that embeds the gateway may change fields afterwards.
///
/// ```
/// use obo_gateway::Sources;
///
/// let config = Sources::new()
///     .file("example.toml", r#"
///         listen   = "127.0.0.1:0"
///         upstream = "http://127.0.0.1:3000"
///         [entra]
///         tenant     = "00000000-0000-0000-0000-000000000001"
///         client_id  = "00000000-0000-0000-0000-000000000002"
///         credential = { secret_file = "/run/secrets/client-secret" }
///         [accept]
///         scopes = ["access_as_user"]
///     "#)
///     .load()?;
/// assert_eq!(config.routes.len(), 1, "no route in the file: one for everything");
/// # Ok::<_, obo_gateway::Problems>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where clients connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificates with which it speaks TLS there, if it does.
    pub tls: Option<Tls>,
    /// Where `/livez`, `/readyz` and `/metrics` are served, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Whether that may be another address than one of loopback.
    pub admin_expose: bool,
    /// The number of worker threads, at least 1.
    pub workers: usize,
    /// How long running requests may take to finish once a shutdown has begun.
    pub drain_timeout: Duration,
    /// The identity provider and who we are to it.
    pub entra: Entra,
    /// Which tokens are valid.
    pub accept: Accept,
    /// What the API says of itself to clients that look for it (RFC 9728), if anything.
    pub resource: Option<Resource>,
    /// The hosts that callers may ask for; empty: any.
    pub allowed_hosts: Vec<HostPattern>,
    /// The peers that are believed when they say who the client is.
    pub trusted_proxies: Vec<Network>,
    /// What tokens for the upstreams are for, by name.
    pub downstreams: BTreeMap<String, DownstreamApi>,
    /// Where requests go: name → address. [`DEFAULT_UPSTREAM`] is among them
    /// unless every route names another.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Which requests are let in and where they go; the most specific path wins, not the first.
    pub routes: Vec<Route>,
    /// Memory for judged tokens and downstream tokens, in bytes; `None`: the library's default.
    pub cache_max_bytes: Option<u64>,
    /// Where downstream tokens are shared with other gateways, if anywhere.
    pub shared_store: Option<SharedStore>,
    /// Whether a claims challenge of the upstream is answered by one exchange with the claims, and the
    /// request sent again, before it goes to the caller. Only for requests without a body or
    /// with a small one.
    pub retry_challenges: bool,
    /// Limits and time-outs.
    pub limits: Limits,
    /// Where traces go, if anywhere.
    pub traces: Option<Traces>,
    /// What is logged and how; only the binary heeds it.
    pub log: Log,
    /// Where each request gets a line, if anywhere. The binary makes it of [`Log::access`].
    pub access_log: Option<AccessLog>,
    /// Where each decision on a token gets one, if anywhere. The binary makes it of [`Log::audit`].
    pub audit_log: Option<AuditLog>,
    /// Who counts the lines that [`OwnLog`](crate::OwnLog) drops, for `/metrics`.
    pub own_log_dropped: Option<DroppedLines>,
    /// What was given and does not count, and why.
    pub(crate) ignored: Problems,
    /// Where it was given.
    pub(crate) places: Places,
}

/// The identity provider and who we are to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entra {
    /// Our own tenant's GUID, or a word for several where [`Accept::tenants`] says which.
    pub tenant: String,
    /// The app registration's GUID.
    pub client_id: String,
    /// The authority's base address, without a trailing slash; `None`: Azure's public cloud.
    pub authority: Option<String>,
    /// Certificate authorities that are trusted for the authority besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the authority may be `http` on loopback.
    pub allow_http_loopback: bool,
    /// Whether Entra ID is told that claims challenges of the downstream APIs are answered (client
    /// capability `cp1`).
    pub answer_claims_challenges: bool,
    /// Whether keys of the application's own sign its tokens, which only the documents with `?appid=` lead to.
    pub own_signing_keys: bool,
    /// How we prove who we are.
    pub credential: Credential,
    /// Who issues the tokens, where that is not Entra ID. `tenant` is empty then.
    pub other: Option<OtherProvider>,
}

/// One kind of request: which path, who may, where to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Route {
    /// Which paths.
    pub path: Pattern,
    /// Which hosts; empty: any.
    pub hosts: Vec<HostPattern>,
    /// Which methods; empty: all of them.
    pub methods: Vec<Method>,
    /// Who may.
    pub access: Access,
    /// What of the scopes and roles a user needs.
    pub permission: Permission,
    /// Scopes, of which a user needs one, or what `permission` says; empty: none is asked for. No application has any.
    pub scopes: Vec<String>,
    /// App roles, of which an application needs one, and a user as `permission` says; empty: none is asked for.
    pub roles: Vec<String>,
    /// Client ids of the applications that may call; empty: any.
    pub clients: Vec<String>,
    /// The name of the upstream.
    pub upstream: String,
    /// The names of the downstreams whose tokens the upstream gets; first the one whose token goes into
    /// `Authorization`. Without any the upstream gets no `Authorization`.
    pub downstreams: Vec<String>,
    /// Claims that the upstream gets as headers.
    pub identity_headers: Vec<(String, HeaderName)>,
    /// Whether the upstream gets the caller's own token.
    pub pass_caller_token: bool,
    /// Whether callers may open WebSockets.
    pub upgrade: bool,
    /// Whether streams go on after the caller's token has expired.
    pub outlive_token: bool,
    /// Fields that may stand after bodies, either way, besides gRPC's own (`grpc-*`), which always may:
    /// names in lower case, and beginnings of names with `*` behind them.
    pub trailers: Vec<String>,
    /// Whether answers say where the time went.
    pub server_timing: bool,
    /// Which web pages may use it, if any of another origin may.
    pub cors: Option<Cors>,
    /// Limits of its own.
    pub limits: RouteLimits,
}

impl Route {
    /// What figures and logs call it: methods and hosts, where it names some, and its path.
    pub(crate) fn label(&self) -> String {
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        let space = if methods.is_empty() { "" } else { " " };
        format!(
            "{}{space}{}{}",
            methods.join(","),
            hosts.join(","),
            self.path
        )
    }

    /// Whether the pages that may use the route can send what it asks for.
    fn takes_tokens_of_pages(&self) -> bool {
        self.access == Access::Public
            || (self.cors.as_ref()).is_none_or(|cors| cors.headers.contains(&AUTHORIZATION))
    }
}

/// What the binary logs and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// A filter as `tracing-subscriber` reads it, `info` for instance.
    pub level: String,
    /// JSON, one object a line, instead of text.
    pub json: bool,
    /// Whether each request gets a line on standard output.
    pub access: bool,
    /// Whether each decision on a token gets one there.
    pub audit: bool,
}

#[cfg(test)]
mod tests;
