//! What a reload leaves as it was.

use super::{Config, Entra, SharedStore};

/// Settings, or tables of them, that a gateway takes at its start only.
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
            )
        })
    };
    parts(one) == parts(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credential, Secret, Sources};

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
        for (name, more) in [
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
        ] {
            let before = config("");
            let mut after = config(more);
            assert_eq!(after.keep_what_needs_a_restart(&before), [name], "{more}");
            assert!(NEED_A_RESTART.contains(&name));
            assert_eq!(format!("{after:?}"), format!("{before:?}"), "{more}");
        }
    }

    #[test]
    fn what_does_not_is_taken() {
        for more in [
            "limits.requests = 7",
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
