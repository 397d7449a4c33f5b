//! Settings → [`Config`]: parsed once, every problem found.

use std::{fmt, net::SocketAddr, str::FromStr, thread, time::Duration};

use tracing_subscriber::EnvFilter;

use super::{
    Config, Entra, Limits, Log, Origin, Places, Problem, Problems, Settings, keys, settings::Given,
    value,
};
use crate::{precheck::Files, run};

/// Judges `settings`; `problems` are those found while reading them. Files that are named are looked
/// at only where they must exist.
pub(super) fn resolve(
    settings: &Settings,
    problems: Problems,
    files_must_exist: bool,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Problems> {
    let mut resolver = Resolver {
        settings,
        problems,
        ignored: Problems::default(),
        files_must_exist,
        environment,
    };
    let config = resolver.config();
    if files_must_exist && let Some(config) = &config {
        resolver.append_new(run::problems(config));
    }
    match (config, resolver.problems.is_empty()) {
        (Some(config), true) => Ok(config),
        (None, true) => {
            // Whatever yields nothing has said why.
            resolver
                .problems
                .push(Origin::Nowhere, "", "the configuration is incomplete");
            Err(resolver.problems)
        }
        (_, false) => resolver
            .problems
            .into_result(())
            .and(Err(Problems::default())),
    }
}

pub(super) struct Resolver<'a> {
    pub(super) settings: &'a Settings,
    pub(super) problems: Problems,
    /// What keeps nothing from starting and does not count.
    pub(super) ignored: Problems,
    pub(super) files_must_exist: bool,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Resolver<'_> {
    /// Adds what has not been said of the same key.
    fn append_new(&mut self, others: Problems) {
        let said: Vec<String> = self
            .problems
            .iter()
            .map(|problem| problem.key().to_owned())
            .collect();
        for problem in &others {
            if !said.iter().any(|key| key == problem.key()) {
                let (origin, message) = (problem.origin().clone(), problem.message());
                self.problems.push(origin, problem.key(), message);
            }
        }
    }

    fn config(&mut self) -> Option<Config> {
        // Each part is judged before any `?`, so that one problem does not hide another.
        let listen = self.address("listen", Some("127.0.0.1:8080"));
        let tls = self.tls();
        let admin = self.admin();
        let workers = self.count("workers", cores(), 1024);
        let drain_timeout = self.duration("drain_timeout", Duration::from_secs(30));
        let entra = self.entra();
        let accept = self.accept();
        let resource = self.resource();
        let allowed_hosts = self.list_of("allowed_hosts");
        let trusted_proxies = self.list_of("trusted_proxies");
        let upstreams = self.upstreams();
        let downstreams = self.downstreams();
        let routes = self.routes(&upstreams, &downstreams);
        let cache_max_bytes = self
            .settings
            .number("cache.max_bytes")
            .map(|given| given.value);
        let shared_store = self.shared_store();
        let limits = self.limits();
        let traces = self.traces();
        let log = self.log();
        let places = Places::new(self.settings);
        if self.files_must_exist {
            let files = Files {
                tls: tls.as_ref(),
                accept: accept.as_ref(),
                entra: !self.has_other_provider(),
                upstreams: &upstreams,
                limits: &limits,
                store: shared_store.as_ref(),
            };
            self.append_new(files.problems(&places));
        }
        Some(Config {
            listen: listen?,
            tls,
            admin: admin?,
            admin_expose: self.settings.switch("admin.expose"),
            workers,
            drain_timeout,
            entra: entra?,
            accept: accept?,
            resource,
            allowed_hosts,
            trusted_proxies,
            downstreams,
            upstreams,
            routes,
            cache_max_bytes,
            shared_store,
            retry_challenges: self.settings.switch("retry_challenges"),
            limits,
            traces,
            log: log?,
            access_log: None,
            audit_log: None,
            own_log_dropped: None,
            ignored: std::mem::take(&mut self.ignored),
            places,
        })
    }

    pub(super) fn missing(&mut self, name: &str) {
        if self.has_been_said(name) {
            return;
        }
        if let Some(key) = keys::find(name) {
            let message = format!("missing: {}. Give it as {}", key.help, key.how());
            self.problems.push(Origin::Nowhere, name, message);
        }
    }

    /// A variable that is no setting of its own.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// Whether something was wrong with the key, or with the table that it stands in, when it was
    /// read. That it is missing then would hide what is really the matter.
    pub(super) fn has_been_said(&self, name: &str) -> bool {
        let covers = |said: &str| {
            let rest = name.strip_prefix(said);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let misspelt = self.settings.misspelt.iter().map(String::as_str);
        let said = self
            .problems
            .iter()
            .map(Problem::key)
            .filter(|key| !key.is_empty());
        misspelt.chain(said).any(covers)
    }

    fn address(&mut self, name: &str, default: Option<&str>) -> Option<SocketAddr> {
        let given = self.settings.text(name);
        let text = given.as_ref().map(|given| given.value).or(default)?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let origin = given.map_or(Origin::Nowhere, |given| given.origin);
                self.problems.push(origin, name, no_address(text));
                None
            }
        }
    }

    /// `None`: a problem; `Some(None)`: no admin listener.
    #[expect(clippy::option_option, reason = "absent and wrong are different here")]
    fn admin(&mut self) -> Option<Option<SocketAddr>> {
        let Some(given) = self.settings.text("admin.listen") else {
            return Some(None);
        };
        let address = self.address("admin.listen", None)?;
        if !address.ip().is_loopback() && !self.settings.switch("admin.expose") {
            let message = format!(
                "{address} can be reached from other machines; where that is wanted (probes in a pod), set `admin.expose = true`"
            );
            self.problems.push(given.origin, "admin.listen", message);
            return None;
        }
        Some(Some(address))
    }

    fn count(&mut self, name: &str, default: usize, most: usize) -> usize {
        let Some(given) = self.settings.number(name) else {
            return default;
        };
        match usize::try_from(given.value) {
            Ok(number) if (1..=most).contains(&number) => number,
            _ => {
                let message = format!("{} is not between 1 and {most}", given.value);
                self.problems.push(given.origin, name, message);
                default
            }
        }
    }

    pub(super) fn duration(&mut self, name: &str, default: Duration) -> Duration {
        let Some(given) = self.settings.text(name) else {
            return default;
        };
        value::duration(given.value).unwrap_or_else(|message| {
            self.problems.push(given.origin, name, message);
            default
        })
    }

    /// A list of words: no empty one, no white space, and, where it is given, not empty.
    pub(super) fn words(&mut self, name: &str) -> Vec<String> {
        let Some(given) = self.settings.list(name) else {
            return Vec::new();
        };
        self.judge_words(name, given.value, &given.origin);
        given.value.to_vec()
    }

    /// A list whose items are parsed each.
    fn list_of<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Vec<T> {
        match self.settings.list(name) {
            Some(given) => self.parse_all(name, &given),
            None => Vec::new(),
        }
    }

    pub(super) fn parse_all<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &str,
        given: &Given<&[String]>,
    ) -> Vec<T> {
        let mut all = Vec::with_capacity(given.value.len());
        for text in given.value {
            match text.parse() {
                Ok(item) => all.push(item),
                Err(error) => {
                    let message = format!("{text:?}: {error}");
                    self.problems.push(given.origin.clone(), name, message);
                }
            }
        }
        all
    }

    pub(super) fn judge_words(&mut self, name: &str, words: &[String], origin: &Origin) {
        if words.is_empty() {
            self.problems
                .push(origin.clone(), name, "an empty list lets nobody in");
        }
        for word in words {
            if word.is_empty() || word.contains(char::is_whitespace) {
                let message = format!("{word:?} is no single word");
                self.problems.push(origin.clone(), name, message);
            } else if name.ends_with(".scopes")
                && !self.has_other_provider()
                && let Some((resource, scope)) = word.rsplit_once('/')
                && resource.contains("://")
            {
                let message = format!(
                    "{word:?} is how a client asks Entra ID for it; tokens have its last part alone, {scope:?}, and nobody is let in by the whole"
                );
                self.ignored.push(origin.clone(), name, message);
            }
        }
    }

    fn entra(&mut self) -> Option<Entra> {
        if self.has_other_provider() {
            return self.oidc();
        }
        self.not_without_oidc();
        let tenant = self.tenant();
        let client_id = self.guid("entra.client_id");
        let allow_http_loopback = self.settings.switch("entra.allow_http_loopback");
        let authority = match self.settings.text("entra.authority") {
            None => Some(None),
            Some(given) => match value::authority(given.value, allow_http_loopback) {
                Ok(authority) => Some(Some(authority)),
                Err(message) => {
                    self.problems.push(given.origin, "entra.authority", message);
                    None
                }
            },
        };
        let credential = self.credential();
        Some(Entra {
            tenant: tenant?,
            client_id: client_id?,
            authority: authority?,
            ca_file: self
                .settings
                .text("entra.ca_file")
                .map(|given| given.value.into()),
            allow_http_loopback,
            answer_claims_challenges: self.settings.switch("entra.answer_claims_challenges"),
            own_signing_keys: self.settings.switch("entra.own_signing_keys"),
            credential: credential?,
            other: None,
        })
    }

    pub(super) fn guid(&mut self, name: &str) -> Option<String> {
        let Some(given) = self.settings.text(name) else {
            self.missing(name);
            return None;
        };
        let guid = value::guid(given.value);
        if guid.is_none() {
            let message = format!(
                "{:?} is no GUID such as 11111111-2222-3333-4444-555555555555",
                given.value
            );
            self.problems.push(given.origin, name, message);
        }
        guid
    }

    fn limits(&mut self) -> Limits {
        const MOST_BYTES: usize = 16 * 1024 * 1024;
        let default = Limits::default();
        Limits {
            requests: self.count("limits.requests", default.requests, 1_000_000),
            requests_per_client: (self.settings.number("limits.requests_per_client").is_some())
                .then(|| self.count("limits.requests_per_client", 1, 1_000_000)),
            connections: self.count("limits.connections", default.connections, 1_000_000),
            exchanges: self.count("limits.exchanges", default.exchanges, 100_000),
            token_bytes: self.count("limits.token_bytes", default.token_bytes, MOST_BYTES),
            head_bytes: self.count("limits.head_bytes", default.head_bytes, MOST_BYTES),
            head_fields: self.count("limits.head_fields", default.head_fields, 10_000),
            target_bytes: self.count("limits.target_bytes", default.target_bytes, MOST_BYTES),
            body_bytes: self
                .settings
                .number("limits.body_bytes")
                .map(|given| given.value),
            head_timeout: self.duration("limits.head_timeout", default.head_timeout),
            connect_timeout: self.duration("limits.connect_timeout", default.connect_timeout),
            response_timeout: self.duration("limits.response_timeout", default.response_timeout),
            idle_timeout: self.duration("limits.idle_timeout", default.idle_timeout),
            total_timeout: self
                .settings
                .text("limits.total_timeout")
                .map(|_| self.duration("limits.total_timeout", Duration::MAX)),
            exchange_timeout: self.duration("limits.exchange_timeout", default.exchange_timeout),
            keys_timeout: self.duration("limits.keys_timeout", default.keys_timeout),
        }
    }

    fn log(&mut self) -> Option<Log> {
        let level = self
            .settings
            .text("log.level")
            .map_or("info", |given| given.value);
        if let Err(error) = EnvFilter::try_new(level) {
            let origin = self.settings.text("log.level").map(|given| given.origin);
            let message = format!(
                "{level:?} is no filter ({error}); give error, warn, info, debug or trace, or one by module, \"info,tower_obo=debug\" for instance"
            );
            let origin = origin.unwrap_or(Origin::Nowhere);
            self.problems.push(origin, "log.level", message);
        }
        let json = match self.settings.text("log.format") {
            None => false,
            Some(given) => match given.value {
                "json" => true,
                "text" => false,
                other => {
                    let message = format!("{other:?} is neither text nor json");
                    self.problems.push(given.origin, "log.format", message);
                    return None;
                }
            },
        };
        Some(Log {
            level: level.to_owned(),
            json,
            access: self.settings.switch("log.access"),
            audit: self.settings.switch("log.audit"),
        })
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What is said of a text that should be an address to listen on.
pub(super) fn no_address(text: &str) -> String {
    format!("{text:?} is no IP address with a port, 127.0.0.1:8080 for instance")
}
