//! The configuration: typed, parsed, with nothing left to go wrong later.
//!
//! Three layers, the later over the earlier: the TOML file, the environment, the flags. See
//! [`Sources`].

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

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
mod tls;
mod traces;
mod trailers;
mod upstream;
mod upstreams;
mod value;
mod variables;
mod warnings;

use self::variables::Misnamed;
pub use self::{
    accept::{Accept, Tenants},
    access::{Access, Permission},
    cors::{Cors, CorsOrigins},
    credential::{Credential, OtherCredential, Secret, SecretFile},
    downstreams::DownstreamApi,
    oidc::OtherProvider,
    problem::{Origin, Problem, Problems},
    resource::{PublicUrl, PublicUrlError, Resource},
    schema::schema,
    shared_store::SharedStore,
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

/// Limits of one route; what is `None` is that of [`Limits`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RouteLimits {
    /// Bytes of a request body.
    pub body_bytes: Option<u64>,
    /// Requests at once, in the whole process; beyond: 503.
    pub requests: Option<usize>,
    /// How long the upstream may take to begin its answer.
    pub response_timeout: Option<Duration>,
    /// How long a body in either direction may stand still.
    pub idle_timeout: Option<Duration>,
    /// How long all of a request may take, from its head to the end of its answer.
    pub total_timeout: Option<Duration>,
}

/// Limits and time-outs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Requests at once in the whole process; beyond: 503.
    pub requests: usize,
    /// Requests at once of one client address (of IPv6: one /64), unless it is a trusted proxy;
    /// beyond: 503. `None`: half of all. Fewer where others leave less, unless it is all of them; and
    /// the same part of the connections.
    pub requests_per_client: Option<usize>,
    /// Client connections at once; new ones wait beyond.
    pub connections: usize,
    /// Token exchanges at once; callers wait a bounded time beyond, then 503.
    pub exchanges: usize,
    /// Bytes of a caller's token.
    pub token_bytes: usize,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Header fields of a request.
    pub head_fields: usize,
    /// Bytes of a request's path and query.
    pub target_bytes: usize,
    /// Bytes of a request body, where the route says nothing; `None`: any.
    pub body_bytes: Option<u64>,
    /// How long a request head may take from its first byte to its last.
    pub head_timeout: Duration,
    /// How long connecting to the upstream may take.
    pub connect_timeout: Duration,
    /// How long the upstream may take from the end of the request to its response head.
    pub response_timeout: Duration,
    /// How long a connection between requests, or a body in either direction, may stand still.
    pub idle_timeout: Duration,
    /// How long all of a request may take, where the route says nothing; `None`: any time.
    pub total_timeout: Option<Duration>,
    /// How long one call of the token endpoint may take.
    pub exchange_timeout: Duration,
    /// How long a request waits for signing keys that are being fetched.
    pub keys_timeout: Duration,
}

impl Limits {
    /// Requests at once of one client address.
    pub(crate) fn of_one_client(&self) -> usize {
        self.requests_per_client
            .unwrap_or_else(|| self.requests.div_ceil(2))
    }

    /// Connections of one client address: the same part of all.
    pub(crate) fn connections_of_one_client(&self) -> usize {
        let part = self.connections.saturating_mul(self.of_one_client());
        part.div_ceil(self.requests.max(1))
            .clamp(1, self.connections.max(1))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 1024,
            requests_per_client: None,
            connections: 10_000,
            exchanges: 128,
            token_bytes: 16 * 1024,
            head_bytes: 64 * 1024,
            head_fields: 100,
            target_bytes: 16 * 1024,
            body_bytes: None,
            head_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            total_timeout: None,
            exchange_timeout: Duration::from_secs(10),
            keys_timeout: Duration::from_secs(2),
        }
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

/// The three layers, before they are read.
#[derive(Default)]
pub struct Sources<'a> {
    file: Option<(String, String)>,
    environment: Option<Box<dyn Fn(&str) -> Option<String> + 'a>>,
    variables: Vec<String>,
    flags: Settings,
    problems: Problems,
    files_must_exist: bool,
}

impl<'a> Sources<'a> {
    /// No layer yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The lowest layer: the text of a TOML file, and the name it has in messages.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.file = Some((name.into(), text.into()));
        self
    }

    /// The middle layer: environment variables, read through `read`.
    #[must_use]
    pub fn environment(mut self, read: impl Fn(&str) -> Option<String> + 'a) -> Self {
        self.environment = Some(Box::new(read));
        self
    }

    /// The names of all variables that there are: one that begins with `OBO_` and that no setting has is a
    /// warning, or a problem, where it looks like a misspelt one and nothing is run
    /// ([`files_must_exist`](Self::files_must_exist)) or something else is wrong.
    ///
    /// ```
    /// let sources = obo_gateway::Sources::new().variables(["OBO_UPSTREEM".to_owned()]);
    /// let problems = sources.load().unwrap_err().to_string();
    /// assert!(problems.contains("OBO_UPSTREEM: no setting has this variable; OBO_UPSTREAM is meant?"));
    /// ```
    #[must_use]
    pub fn variables(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.variables.extend(names);
        self.variables.sort();
        self
    }

    /// The upper layer: flags, given as their names (dashes included) and values.
    #[must_use]
    pub fn flag(mut self, flag: &str, values: &[String]) -> Self {
        match keys::KEYS
            .iter()
            .find(|key| !flag.is_empty() && key.flag == flag)
        {
            Some(key) => {
                let origin = Origin::Flag(key.flag);
                self.flags.put_text(key, values, origin, &mut self.problems);
            }
            None => self.problems.push(Origin::Nowhere, flag, "unknown flag"),
        }
        self
    }

    /// Makes it a problem if a file that the settings name cannot be used, and looks at whatever else could keep a
    /// gateway from starting. Without this a credential that is missing is a warning, since it may appear
    /// once the gateway runs, and what is wrong with the other files is said at the start.
    /// Reads the files, so that it blocks.
    #[must_use]
    pub const fn files_must_exist(mut self) -> Self {
        self.files_must_exist = true;
        self
    }

    /// Reads all layers.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with where it stands.
    pub fn load(mut self) -> Result<Config, Problems> {
        let (settings, problems) = self.settings()?;
        let none = |_: &str| None;
        let environment: &dyn Fn(&str) -> Option<String> = match &self.environment {
            Some(read) => read.as_ref(),
            None => &none,
        };
        let Misnamed { misspelt, unknown } =
            Misnamed::among(self.variables.iter().map(String::as_str));
        let resolved = resolve::resolve(&settings, problems, self.files_must_exist, environment);
        match resolved {
            Ok(_) if self.files_must_exist && !misspelt.is_empty() => Err(misspelt),
            Ok(mut config) => {
                config.ignored.append(misspelt);
                config.ignored.append(unknown);
                Ok(config)
            }
            Err(mut problems) => {
                problems.append(misspelt);
                Err(problems)
            }
        }
    }

    /// Reads where the admin listener is, whatever else is missing or wrong; `None`: nowhere.
    ///
    /// # Errors
    ///
    /// The file cannot be read as TOML, or the address is none.
    pub fn admin_listen(mut self) -> Result<Option<SocketAddr>, Problems> {
        let (settings, _) = self.settings()?;
        let Some(given) = settings.values.text("admin.listen") else {
            return Ok(None);
        };
        match given.value.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => {
                let mut problems = Problems::default();
                let message = resolve::no_address(given.value);
                problems.push(given.origin, "admin.listen", message);
                Err(problems)
            }
        }
    }

    /// Lays the layers over each other.
    fn settings(&mut self) -> Result<(Settings, Problems), Problems> {
        let mut problems = std::mem::take(&mut self.problems);
        let mut settings = Settings::default();
        if let Some((name, text)) = &self.file {
            let before = problems.iter().count();
            settings.overlay(file::parse(name, text, &mut problems));
            if problems
                .iter()
                .skip(before)
                .any(|problem| problem.key().is_empty())
            {
                // No TOML at all: whatever else is missing may stand in it.
                return Err(problems);
            }
        }
        if let Some(read) = &self.environment {
            let is_there = |settings: &Settings| settings.values.text(oidc::ISSUER).is_some();
            let other = is_there(&settings)
                || is_there(&self.flags)
                || read(oidc::ISSUER_VARIABLE).is_some_and(|issuer| !issuer.is_empty());
            let environment = Settings::from_environment(read.as_ref(), !other, &mut problems);
            settings.overlay(environment);
        }
        settings.overlay(std::mem::take(&mut self.flags));
        Ok((settings, problems))
    }
}

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
