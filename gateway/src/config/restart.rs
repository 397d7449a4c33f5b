//! What a reload leaves as it was.

use super::{Config, Entra, SharedStore};

/// Settings, or tables of them, that a gateway takes at its start only. docs/operations.md has the same list.
#[cfg(test)]
pub(crate) const NEED_A_RESTART: &[&str] = &[
    "listen",
    "tls",
    "admin.listen",
    "workers",
    "accept.deny_file",
    "traces",
    "cache",
    "limits.connections",
    "limits.exchanges",
    "limits.exchange_timeout",
    "log",
];

impl Config {
    /// Takes from `before`, which a gateway runs with, what needs a restart. Which settings of it are others.
    pub(crate) fn keep_what_needs_a_restart(&mut self, before: &Self) -> Vec<&'static str> {
        let mut others = Vec::new();
        let mut keep = |name, is_other| {
            if is_other {
                others.push(name);
            }
        };
        keep("listen", self.listen != before.listen);
        keep("tls", self.tls != before.tls);
        keep("admin.listen", self.admin != before.admin);
        let (deny_file, denied) = (&self.accept.deny_file, &before.accept.deny_file);
        keep("accept.deny_file", deny_file != denied);
        keep("workers", self.workers != before.workers);
        let same_store = same_store(self.shared_store.as_ref(), before.shared_store.as_ref());
        keep(
            "cache",
            self.cache_max_bytes != before.cache_max_bytes || !same_store,
        );
        let (limits, limited) = (&self.limits, &before.limits);
        keep(
            "limits.connections",
            limits.connections != limited.connections,
        );
        keep("limits.exchanges", limits.exchanges != limited.exchanges);
        keep(
            "limits.exchange_timeout",
            limits.exchange_timeout != limited.exchange_timeout,
        );
        keep("log", self.log != before.log);
        keep("traces", self.traces != before.traces);
        self.listen = before.listen;
        self.tls = before.tls.clone();
        self.admin = before.admin;
        self.workers = before.workers;
        self.accept.deny_file = before.accept.deny_file.clone();
        self.cache_max_bytes = before.cache_max_bytes;
        self.shared_store = before.shared_store.clone();
        self.limits.connections = before.limits.connections;
        self.limits.exchanges = before.limits.exchanges;
        self.limits.exchange_timeout = before.limits.exchange_timeout;
        self.log = before.log.clone();
        self.traces = before.traces.clone();
        self.access_log = before.access_log.clone();
        self.audit_log = before.audit_log.clone();
        self.own_log_dropped = before.own_log_dropped.clone();
        others
    }
}

impl Entra {
    /// Whether tokens that were got by the one may be used by the other.
    pub(crate) fn is_same_client(&self, other: &Self) -> bool {
        self.client_id == other.client_id
            && self.authority == other.authority
            && self.ca_file == other.ca_file
            && self.allow_http_loopback == other.allow_http_loopback
            && self.answer_claims_challenges == other.answer_claims_challenges
            && self.other == other.other
            && self.credential.is(&other.credential)
    }
}

fn same_store(one: Option<&SharedStore>, other: Option<&SharedStore>) -> bool {
    let parts = |store: Option<&SharedStore>| {
        store.map(|store| {
            (
                store.url.expose().to_owned(),
                store.key_file.path().to_owned(),
                store.ca_file.clone(),
                store.wait,
            )
        })
    };
    parts(one) == parts(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credential, Secret, Sources, config::keys::KEYS};

    fn config(more: &str) -> Config {
        let text = format!(
            "upstream = 'http://127.0.0.1:9'\n{more}\naccept.scopes = ['s']\n[entra]\n\
             tenant = '00000000-0000-0000-0000-000000000001'\n\
             client_id = '00000000-0000-0000-0000-000000000002'\n\
             credential = {{ secret_file = '/nowhere' }}"
        );
        let sources = Sources::new().file("gw.toml", text);
        sources.load().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_needs_a_restart_is_named_and_left_as_it_was() {
        let examples = [
            ("listen", "listen = '127.0.0.1:1'"),
            ("tls", "tls = { certificate = 'c', key = 'k' }"),
            ("admin.listen", "admin.listen = '127.0.0.1:1'"),
            ("workers", "workers = 77"),
            ("accept.deny_file", "accept.deny_file = 'd'"),
            ("cache", "cache.max_bytes = 1048577"),
            (
                "cache",
                "cache = { redis_url = 'redis://127.0.0.1', redis_key_file = 'k' }",
            ),
            ("limits.connections", "limits.connections = 7"),
            ("limits.exchanges", "limits.exchanges = 7"),
            ("limits.exchange_timeout", "limits.exchange_timeout = 7"),
            ("log", "log.level = 'debug'"),
            ("log", "log.access = true"),
            ("traces", "traces.endpoint = 'http://127.0.0.1:4318'"),
        ];
        for name in NEED_A_RESTART {
            assert!(examples.iter().any(|(of, _)| of == name), "{name}");
        }
        for (name, more) in examples {
            let before = config("");
            let mut after = config(more);
            assert_eq!(after.keep_what_needs_a_restart(&before), [name], "{more}");
            assert_eq!(format!("{after:?}"), format!("{before:?}"), "{more}");
        }
    }

    /// What a reload takes; all of `[upstreams]`, `[downstream]` and `[[route]]` besides.
    const TAKEN: &[&str] = &[
        "upstream",
        "allow_plaintext_upstream",
        "drain_timeout",
        "public_url",
        "resource_name",
        "resource_documentation",
        "allowed_hosts",
        "trusted_proxies",
        "admin.expose",
        "entra.tenant",
        "entra.client_id",
        "entra.authority",
        "entra.ca_file",
        "entra.answer_claims_challenges",
        "entra.own_signing_keys",
        "entra.allow_http_loopback",
        "entra.credential.secret",
        "entra.credential.secret_file",
        "entra.credential.certificate",
        "entra.credential.password_file",
        "entra.credential.send_x5c",
        "entra.credential.federated_token_file",
        "entra.credential.managed_identity",
        "oidc.issuer",
        "oidc.roles_claim",
        "oidc.secret_in_header",
        "accept.scopes",
        "accept.audiences",
        "accept.roles",
        "accept.permission",
        "accept.clients",
        "accept.tenants",
        "accept.any_tenant",
        "accept.clock_skew",
        "accept.algorithms",
        "accept.audience_lists",
        "accept.key_cool_down",
        "accept.key_max_age",
        "downstream.arm.scope",
        "retry_challenges",
        "limits.requests",
        "limits.requests_per_client",
        "limits.token_bytes",
        "limits.head_bytes",
        "limits.head_fields",
        "limits.target_bytes",
        "limits.body_bytes",
        "limits.head_timeout",
        "limits.connect_timeout",
        "limits.response_timeout",
        "limits.idle_timeout",
        "limits.total_timeout",
        "limits.keys_timeout",
    ];

    /// Whoever adds a setting has to decide: it goes into one of the two lists, and does what that says.
    #[test]
    fn each_setting_is_taken_or_is_said_to_need_a_restart() {
        let is = |list: &[&str], name: &str| {
            list.iter().any(|entry| {
                let rest = name.strip_prefix(entry);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        for key in KEYS {
            let needs_a_restart = is(NEED_A_RESTART, key.name);
            assert_ne!(needs_a_restart, TAKEN.contains(&key.name), "{}", key.name);
        }
        for name in TAKEN {
            assert!(KEYS.iter().any(|key| key.name == *name), "{name}");
        }
    }

    #[test]
    fn the_page_says_what_needs_a_restart() {
        let page = include_str!("../../../docs/operations.md");
        let (_, after) = page.split_once("These need a restart: ").unwrap();
        let (list, _) = after.split_once("\n\n").unwrap();
        let listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, NEED_A_RESTART);
    }

    #[test]
    fn what_does_not_is_taken() {
        for more in [
            "limits.requests = 7",
            "limits.requests_per_client = 7",
            "limits.token_bytes = 5000",
            "limits.head_bytes = 50000",
            "limits.head_fields = 50",
            "limits.target_bytes = 500",
            "limits.body_bytes = 5",
            "limits.connect_timeout = 7",
            "limits.response_timeout = 7",
            "limits.idle_timeout = 7",
            "limits.total_timeout = 700",
            "accept.key_max_age = '2h'",
            "accept.clock_skew = 7",
            "limits.head_timeout = 7",
            "limits.keys_timeout = 7",
            "drain_timeout = 7",
            "trusted_proxies = ['127.0.0.1']",
            "allowed_hosts = ['a.example']",
            "retry_challenges = true",
        ] {
            let before = config("");
            let mut after = config(more);
            assert!(
                after.keep_what_needs_a_restart(&before).is_empty(),
                "{more}"
            );
            assert_ne!(format!("{after:?}"), format!("{before:?}"), "{more}");
        }
    }

    #[test]
    fn another_line_of_the_file_is_no_other_client() {
        let client = |more: &str| config(more).entra;
        let before = client("");
        assert!(before.is_same_client(&client("# a comment\n")));
        let mut other = client("");
        other.client_id = "00000000-0000-0000-0000-000000000003".to_owned();
        assert!(!before.is_same_client(&other));
        let mut other = client("");
        other.credential = Credential::Secret(Secret::new("s"));
        assert!(!before.is_same_client(&other));
    }
}
