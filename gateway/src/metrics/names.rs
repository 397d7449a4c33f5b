//! The names of all figures, which `docs/metrics.md` lists: dashboards and alerts are built on them.

use prometheus_client::metrics::MetricType;

/// One name, and what it stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    /// Without the suffix that its type adds (`_total`, `_info`).
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    #[cfg(test)]
    pub(crate) labels: &'static str,
    pub(crate) help: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

impl Kind {
    pub(crate) const fn metric_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
            Self::Info => MetricType::Info,
        }
    }

    /// What its samples' names end in.
    #[cfg(test)]
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::Histogram => "",
        }
    }
}

macro_rules! names {
    ($($constant:ident: $kind:ident $name:literal ($labels:literal) $help:literal;)*) => {
        $(pub(crate) const $constant: Name = Name {
            name: $name,
            kind: Kind::$kind,
            #[cfg(test)]
            labels: $labels,
            help: $help,
        };)*
        /// All of them, in the order in which they are told.
        #[cfg(test)]
        pub(crate) const ALL: &[Name] = &[$($constant),*];
    };
}

names! {
    BUILD: Info "obo_build" ("version, commit") "What runs: the version, and the commit where the build was told it (OBO_COMMIT), else unknown";
    STARTED: Gauge "obo_start_time_seconds" ("") "When the gateway started, in seconds since 1970";
    READY: Gauge "obo_ready" ("") "1 where /readyz says that it is ready, else 0";
    DRAINING: Gauge "obo_draining" ("") "1 while the gateway shuts down: it is not ready then, and that is no trouble; else 0";
    RELOADS: Counter "obo_config_reloads" ("result") "Reloads of the configuration: ok or failed";
    CONFIGURED: Gauge "obo_config_last_reload_successful" ("") "1 where the configuration that was read last holds, 0 where it was wrong and an older one holds";
    CONFIGURED_AT: Gauge "obo_config_last_reload_success_timestamp_seconds" ("") "When the configuration that holds was read, in seconds since 1970";
    REQUESTS: Counter "obo_requests" ("route, outcome") "Requests, when their answer began or the client left before";
    REQUEST_DURATION: Histogram "obo_request_duration_seconds" ("route") "From a request's head to the beginning of its answer";
    RUNNING: Gauge "obo_requests_running" ("") "Requests whose answer is not written yet";
    RUNNING_MAX: Gauge "obo_requests_running_max" ("") "How many may run at once (limits.requests)";
    CONNECTIONS: Gauge "obo_connections" ("listener") "Open connections: of clients (public), and of whoever asks the admin listener (admin)";
    CONNECTIONS_MAX: Gauge "obo_connections_max" ("") "How many clients may have (limits.connections)";
    CONNECTIONS_FULL: Counter "obo_connections_limit_reached" ("") "Times that a worker took no more connections, because its part of limits.connections was open";
    CONNECTIONS_REFUSED: Counter "obo_connections_refused" ("") "Connections that were closed at once, since their client's address had its part of limits.connections (the same as limits.requests_per_client is of limits.requests)";
    TASKS: Gauge "obo_tasks" ("") "Tasks of the gateway that have not ended: of connections, of requests that wait, and some that run all the time";
    REFUSALS: Counter "obo_refusals" ("problem, actor") "Answers of the gateway's own that say what is wrong, by the problem's type and who has to act";
    DENY_RULES: Gauge "obo_deny_rules" ("") "Who is cut off: lines of accept.deny_file that are in force, and what was added on the admin listener";
    DENY_STALE: Gauge "obo_deny_file_stale" ("") "1 while nobody knows what the file says, or it cannot be used, and the old list is in force, else 0";
    UPSTREAM_REQUESTS: Counter "obo_upstream_requests" ("upstream, outcome") "Requests that went to an upstream, by how it answered";
    UPSTREAM_DURATION: Histogram "obo_upstream_duration_seconds" ("upstream") "From sending a request to the beginning of the upstream's answer, or to giving up";
    ADMISSIONS: Counter "obo_admission_lookups" ("result") "Requests by whether their token had been validated before (hit) or not (miss)";
    TOKENS: Counter "obo_token_lookups" ("result") "Requests by whether their downstream tokens were there (hit), and look-ups that had to ask for one (miss)";
    SHARED_STORE: Counter "obo_shared_store_lookups" ("result") "Look-ups in the Redis that gateways share: hit, miss, busy (another gateway was exchanging and had not ended after cache.redis_wait), failed, or skipped (too many were under way)";
    SHARED_STORE_UP: Gauge "obo_shared_store_up" ("") "1 where that Redis is there, 0 where it is away; only with cache.redis_url, as the next two";
    SHARED_STORE_OWED: Gauge "obo_shared_store_deletions_owed" ("") "Tokens that an upstream has refused and that are still to be deleted from Redis";
    SHARED_STORE_DROPPED: Counter "obo_shared_store_deletions_dropped" ("") "Tokens that an upstream has refused and that stay in Redis until they end: more than 4096 were owed, or Redis refused to delete them";
    CACHE_ENTRIES: Gauge "obo_cache_entries" ("cache") "Validated tokens (admissions) and downstream tokens (tokens) that are kept";
    CACHE_BYTES: Gauge "obo_cache_bytes" ("cache") "The bytes that they are counted with";
    CACHE_EVICTIONS: Counter "obo_cache_evictions" ("cache") "Entries that had to make room for others";
    EXCHANGES: Counter "obo_exchanges" ("result, aadsts") "Exchanges for downstream tokens by result, and by AADSTS code where Entra ID gave one (other: one that docs/errors.md does not have)";
    EXCHANGE_DURATION: Histogram "obo_exchange_duration_seconds" ("") "How long an exchange took, retries included";
    KEY_FETCHES: Counter "obo_key_fetches" ("result") "Fetches of Entra ID's signing keys: ok or failed";
    KEYS: Gauge "obo_keys" ("") "Signing keys that are known";
    KEYS_TIME: Gauge "obo_keys_fetched_time_seconds" ("") "When they were fetched, in seconds since 1970; 0 before the first time";
    KEYS_MAX_AGE: Gauge "obo_keys_max_age_seconds" ("") "How long signing keys serve when no new ones come (accept.key_max_age)";
    FOREIGN_TOKENS: Counter "obo_foreign_tokens" ("") "Tokens from Entra ID that were somebody else's or the caller's own: never supposed to happen";
    CERTIFICATE_EXPIRES: Gauge "obo_certificate_expires_timestamp_seconds" ("use, upstream") "When a certificate in use ends, in seconds since 1970: the listener's (listener), what Entra ID is shown (client_credential), and what an upstream is shown (upstream, whose name is the label `upstream`); only where there is one that has been read";
    LOG_DROPPED: Counter "obo_access_log_dropped_lines" ("") "Lines of the access log that came faster than they could be written; only where there is one";
    AUDIT_DROPPED: Counter "obo_audit_log_dropped_lines" ("") "Lines of the audit log that came faster than they could be written; only where there is one";
    OWN_DROPPED: Counter "obo_log_dropped_lines" ("") "Lines of the gateway's own log that came faster than they could be written; only where it is the process's log";
    SPANS: Counter "obo_trace_spans" ("result") "Spans by what became of them: exported, dropped (there was no room for them), failed (the collector did not take them); only with traces.endpoint";
    MEMORY: Gauge "process_resident_memory_bytes" ("") "Memory of the process (Linux)";
    FILES: Gauge "process_open_fds" ("") "Open files and connections of the process (Linux)";
    THREADS: Gauge "process_threads" ("") "Threads of the process (Linux)";
}
