//! Every setting that is one value or one list: its key in the file, its variables, its flag.
//!
//! Adding a setting begins here. Routes, further downstreams and further upstreams are tables with
//! names of their own and stand in the file only; see [`super::file`].

/// One setting.
#[derive(Debug)]
pub(crate) struct Key {
    /// As the file has it, with the tables it stands in.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The variables that set it; the first that is set wins.
    pub(crate) environment: &'static [&'static str],
    /// The flag that sets it, dashes included; empty where none does (secrets).
    pub(crate) flag: &'static str,
    /// The word for its value in the help text.
    pub(crate) value: &'static str,
    /// The help text, one line.
    pub(crate) help: &'static str,
}

impl Key {
    /// How to give it, for the message that it is missing.
    pub(crate) fn how(&self) -> String {
        let mut ways = Vec::new();
        if !self.flag.is_empty() {
            ways.push(format!("{} {}", self.flag, self.value));
        }
        // Of a list, the plural and the singular; one is enough to know.
        let names = if self.kind == Kind::List { 1 } else { 2 };
        let variables = self.environment.iter().take(names);
        ways.extend(variables.map(|name| format!("{name}=…")));
        if self.kind != Kind::Secret {
            ways.push(format!("`{}` in the file", self.name));
        }
        ways.join(", or ")
    }
}

/// What a setting's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A list of texts; in the environment separated by commas or white space.
    List,
    /// A text, or a list of texts: read as a list.
    OneOrList,
    Number,
    Switch,
    /// Text, or `true`.
    TextOrTrue,
    /// `"30s"`, `"500ms"`, or a number of seconds.
    Duration,
    /// Never repeated in a message, and never in the file itself.
    Secret,
}

/// The forms of the credential, and what goes with them.
pub(crate) const SECRET: &str = "entra.credential.secret";
pub(crate) const CERTIFICATE: &str = "entra.credential.certificate";
pub(crate) const PASSWORD_FILE: &str = "entra.credential.password_file";
pub(crate) const SEND_X5C: &str = "entra.credential.send_x5c";
pub(crate) const FEDERATED_TOKEN_FILE: &str = "entra.credential.federated_token_file";
pub(crate) const MANAGED_IDENTITY: &str = "entra.credential.managed_identity";
pub(crate) const SECRET_FILE: &str = "entra.credential.secret_file";

/// All of them.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "listen",
        kind: Kind::Text,
        environment: &["OBO_LISTEN"],
        flag: "--listen",
        value: "ADDRESS",
        help: "Where to listen, an IP address and a port [default: 127.0.0.1:8080]",
    },
    Key {
        name: "upstream",
        kind: Kind::Text,
        environment: &["OBO_UPSTREAM"],
        flag: "--upstream",
        value: "URL",
        help: "The service behind the gateway: http://127.0.0.1:3000, https://api.internal, h2c://127.0.0.1:50051 or unix:/run/api.sock",
    },
    Key {
        name: "allow_plaintext_upstream",
        kind: Kind::Switch,
        environment: &["OBO_ALLOW_PLAINTEXT_UPSTREAM"],
        flag: "--allow-plaintext-upstream",
        value: "",
        help: "Allow an http or h2c upstream on another host than this one: tokens then cross the network in the clear",
    },
    Key {
        name: "workers",
        kind: Kind::Number,
        environment: &["OBO_WORKERS"],
        flag: "--workers",
        value: "N",
        help: "Worker threads, each with a runtime of its own [default: the number of cores]",
    },
    Key {
        name: "drain_timeout",
        kind: Kind::Duration,
        environment: &["OBO_DRAIN_TIMEOUT"],
        flag: "--drain-timeout",
        value: "DURATION",
        help: "How long running requests may take to finish at SIGTERM [default: 30s]",
    },
    Key {
        name: "public_url",
        kind: Kind::Text,
        environment: &["OBO_PUBLIC_URL"],
        flag: "--public-url",
        value: "URL",
        help: "Where callers find this API, https://api.example.com for instance: publishes its metadata (RFC 9728) and names them in challenges",
    },
    Key {
        name: "resource_name",
        kind: Kind::Text,
        environment: &["OBO_RESOURCE_NAME"],
        flag: "--resource-name",
        value: "NAME",
        help: "What the API is called in its metadata",
    },
    Key {
        name: "resource_documentation",
        kind: Kind::Text,
        environment: &["OBO_RESOURCE_DOCUMENTATION"],
        flag: "--resource-documentation",
        value: "URL",
        help: "A page about the API for people, for its metadata",
    },
    Key {
        name: "allowed_hosts",
        kind: Kind::List,
        environment: &["OBO_ALLOWED_HOSTS", "OBO_ALLOWED_HOST"],
        flag: "--allowed-host",
        value: "HOST",
        help: "A host that callers may ask for, api.example.com or *.example.com for instance; others get 421 [default: any]",
    },
    Key {
        name: "trusted_proxies",
        kind: Kind::List,
        environment: &["OBO_TRUSTED_PROXIES", "OBO_TRUSTED_PROXY"],
        flag: "--trusted-proxy",
        value: "NETWORK",
        help: "A network whose peers are proxies that say truly who the client is, 10.0.0.0/8 for instance [default: none]",
    },
    Key {
        name: "tls.certificate",
        kind: Kind::Text,
        environment: &["OBO_TLS_CERTIFICATE"],
        flag: "--tls-certificate",
        value: "PATH",
        help: "The listener's certificate and what comes between it and its root, PEM; read anew when it changes [default: no TLS]",
    },
    Key {
        name: "tls.key",
        kind: Kind::Text,
        environment: &["OBO_TLS_KEY"],
        flag: "--tls-key",
        value: "PATH",
        help: "The private key of the listener's certificate, PEM",
    },
    Key {
        name: "tls.client_ca",
        kind: Kind::Text,
        environment: &["OBO_TLS_CLIENT_CA"],
        flag: "--tls-client-ca",
        value: "PATH",
        help: "Authorities that vouch for clients, PEM; clients without a certificate of theirs are refused [default: none are asked for]",
    },
    Key {
        name: "admin.listen",
        kind: Kind::Text,
        environment: &["OBO_ADMIN_LISTEN"],
        flag: "--admin-listen",
        value: "ADDRESS",
        help: "Where to serve /livez and /readyz, 127.0.0.1:9090 for instance [default: nowhere]",
    },
    Key {
        name: "admin.expose",
        kind: Kind::Switch,
        environment: &["OBO_ADMIN_EXPOSE"],
        flag: "--admin-expose",
        value: "",
        help: "Allow the admin listener on another address than loopback",
    },
    Key {
        name: "entra.tenant",
        kind: Kind::Text,
        environment: &["OBO_TENANT", "AZURE_TENANT_ID"],
        flag: "--tenant",
        value: "GUID",
        help: "The Entra tenant whose users call",
    },
    Key {
        name: "entra.client_id",
        kind: Kind::Text,
        environment: &["OBO_CLIENT_ID", "AZURE_CLIENT_ID"],
        flag: "--client-id",
        value: "GUID",
        help: "The app registration of your API: what callers' tokens are for, and what asks for the downstream token",
    },
    Key {
        name: "entra.authority",
        kind: Kind::Text,
        environment: &["OBO_AUTHORITY", "AZURE_AUTHORITY_HOST"],
        flag: "--authority",
        value: "URL",
        help: "Entra's address [default: https://login.microsoftonline.com]",
    },
    Key {
        name: "entra.ca_file",
        kind: Kind::Text,
        environment: &["OBO_ENTRA_CA_FILE"],
        flag: "--entra-ca-file",
        value: "PATH",
        help: "Certificate authorities (PEM) that are trusted for Entra ID besides the system's",
    },
    Key {
        name: "entra.allow_http_loopback",
        kind: Kind::Switch,
        environment: &["OBO_ALLOW_HTTP_LOOPBACK"],
        flag: "--allow-http-loopback",
        value: "",
        help: "Allow an http authority on loopback, for development against the emulator",
    },
    Key {
        name: SECRET,
        kind: Kind::Secret,
        environment: &["OBO_CLIENT_SECRET", "AZURE_CLIENT_SECRET"],
        flag: "",
        value: "",
        help: "The client secret of the app registration",
    },
    Key {
        name: SECRET_FILE,
        kind: Kind::Text,
        environment: &["OBO_CLIENT_SECRET_FILE"],
        flag: "--client-secret-file",
        value: "PATH",
        help: "A file that holds the client secret of the app registration",
    },
    Key {
        name: CERTIFICATE,
        kind: Kind::Text,
        environment: &["OBO_CLIENT_CERTIFICATE"],
        flag: "--client-certificate",
        value: "PATH",
        help: "A file with a certificate of the app registration and its key, PEM or PFX",
    },
    Key {
        name: PASSWORD_FILE,
        kind: Kind::Text,
        environment: &["OBO_CLIENT_CERTIFICATE_PASSWORD_FILE"],
        flag: "--client-certificate-password-file",
        value: "PATH",
        help: "A file that holds the password of a PFX file",
    },
    Key {
        name: SEND_X5C,
        kind: Kind::Switch,
        environment: &["OBO_CLIENT_CERTIFICATE_SEND_X5C"],
        flag: "--client-certificate-send-x5c",
        value: "",
        help: "Send the certificate and its chain with each assertion, for registrations that trust a subject name",
    },
    Key {
        name: FEDERATED_TOKEN_FILE,
        kind: Kind::Text,
        environment: &["OBO_FEDERATED_TOKEN_FILE"],
        flag: "--federated-token-file",
        value: "PATH",
        help: "A file with the token of a federated credential (workload identity)",
    },
    Key {
        name: MANAGED_IDENTITY,
        kind: Kind::TextOrTrue,
        environment: &["OBO_MANAGED_IDENTITY"],
        flag: "--managed-identity",
        value: "CLIENT_ID",
        help: "The client id of a managed identity that is a federated credential; true: the only one that there is",
    },
    Key {
        name: "accept.scopes",
        kind: Kind::List,
        environment: &["OBO_SCOPES", "OBO_SCOPE"],
        flag: "--scope",
        value: "NAME",
        help: "A scope that lets a caller in, access_as_user for instance; several: any of them",
    },
    Key {
        name: "accept.audiences",
        kind: Kind::List,
        environment: &["OBO_AUDIENCES", "OBO_AUDIENCE"],
        flag: "--audience",
        value: "URI",
        help: "An audience to accept besides the client id and api://<client id>",
    },
    Key {
        name: "accept.roles",
        kind: Kind::List,
        environment: &["OBO_ROLES", "OBO_ROLE"],
        flag: "--role",
        value: "NAME",
        help: "An app role that a caller needs, besides a scope where scopes are named; several: any of them",
    },
    Key {
        name: "accept.clients",
        kind: Kind::List,
        environment: &["OBO_CLIENTS", "OBO_CLIENT"],
        flag: "--accept-client",
        value: "GUID",
        help: "An application that may call, by its client id [default: any]",
    },
    Key {
        name: "accept.tenants",
        kind: Kind::List,
        environment: &["OBO_TENANTS"],
        flag: "--accept-tenant",
        value: "GUID",
        help: "A tenant whose users may call [default: entra.tenant alone]",
    },
    Key {
        name: "accept.any_tenant",
        kind: Kind::Switch,
        environment: &["OBO_ANY_TENANT"],
        flag: "--any-tenant",
        value: "",
        help: "Accept users of every tenant that there is, as far as scopes and roles let them in",
    },
    Key {
        name: "accept.clock_skew",
        kind: Kind::Duration,
        environment: &["OBO_CLOCK_SKEW"],
        flag: "--clock-skew",
        value: "DURATION",
        help: "How far clocks may differ when a token's times are judged, at most 300s [default: 60s]",
    },
    Key {
        name: "downstream.arm.scope",
        kind: Kind::Text,
        environment: &["OBO_DOWNSTREAM_SCOPE"],
        flag: "--downstream-scope",
        value: "SCOPE",
        help: "What the upstream's token is for [default: Azure Resource Manager of the cloud, as the user: https://management.azure.com/user_impersonation]",
    },
    Key {
        name: "retry_challenges",
        kind: Kind::Switch,
        environment: &["OBO_RETRY_CHALLENGES"],
        flag: "--retry-challenges",
        value: "",
        help: "Answer a claims challenge of the upstream by one exchange with the claims and send the request again, if it has no body [default: the caller answers it]",
    },
    Key {
        name: "cache.max_bytes",
        kind: Kind::Number,
        environment: &["OBO_CACHE_MAX_BYTES"],
        flag: "--cache-max-bytes",
        value: "BYTES",
        help: "Memory for judged tokens and downstream tokens",
    },
    // No flag: the address may hold a password.
    Key {
        name: "cache.redis_url",
        kind: Kind::Text,
        environment: &["OBO_CACHE_REDIS_URL"],
        flag: "",
        value: "URL",
        help: "The Redis in which gateways share downstream tokens (sealed): redis://, rediss:// (TLS), redis+unix://, redis-cluster:// or rediss-cluster:// [default: none]",
    },
    Key {
        name: "cache.redis_key_file",
        kind: Kind::Text,
        environment: &["OBO_CACHE_REDIS_KEY_FILE"],
        flag: "--cache-redis-key-file",
        value: "PATH",
        help: "File with the key of what is in Redis, at least 32 bytes; several, one a line: the first seals, all open",
    },
    Key {
        name: "cache.redis_ca_file",
        kind: Kind::Text,
        environment: &["OBO_CACHE_REDIS_CA_FILE"],
        flag: "--cache-redis-ca-file",
        value: "PATH",
        help: "PEM file of the authorities that vouch for Redis's certificate [default: those that the system trusts]",
    },
    Key {
        name: "limits.requests",
        kind: Kind::Number,
        environment: &["OBO_LIMIT_REQUESTS"],
        flag: "--limit-requests",
        value: "N",
        help: "Requests at once; beyond: 503 [default: 1024]",
    },
    Key {
        name: "limits.connections",
        kind: Kind::Number,
        environment: &["OBO_LIMIT_CONNECTIONS"],
        flag: "--limit-connections",
        value: "N",
        help: "Client connections; beyond: new ones wait [default: 10000]",
    },
    Key {
        name: "limits.exchanges",
        kind: Kind::Number,
        environment: &["OBO_LIMIT_EXCHANGES"],
        flag: "--limit-exchanges",
        value: "N",
        help: "Token exchanges at once; beyond: callers wait a while, then 503 [default: 128]",
    },
    Key {
        name: "limits.token_bytes",
        kind: Kind::Number,
        environment: &["OBO_LIMIT_TOKEN_BYTES"],
        flag: "--limit-token-bytes",
        value: "BYTES",
        help: "The largest token that is looked at [default: 16384]",
    },
    Key {
        name: "limits.head_bytes",
        kind: Kind::Number,
        environment: &["OBO_LIMIT_HEAD_BYTES"],
        flag: "--limit-head-bytes",
        value: "BYTES",
        help: "The largest request head; beyond: 431 [default: 65536]",
    },
    Key {
        name: "limits.head_fields",
        kind: Kind::Number,
        environment: &["OBO_LIMIT_HEAD_FIELDS"],
        flag: "--limit-head-fields",
        value: "N",
        help: "The most header fields of a request; beyond: 431 [default: 100]",
    },
    Key {
        name: "limits.target_bytes",
        kind: Kind::Number,
        environment: &["OBO_LIMIT_TARGET_BYTES"],
        flag: "--limit-target-bytes",
        value: "BYTES",
        help: "The longest path and query; beyond: 414 [default: 16384]",
    },
    Key {
        name: "limits.body_bytes",
        kind: Kind::Number,
        environment: &["OBO_LIMIT_BODY_BYTES"],
        flag: "--limit-body-bytes",
        value: "BYTES",
        help: "The largest request body, where the route says nothing; beyond: 413 [default: any]",
    },
    Key {
        name: "limits.head_timeout",
        kind: Kind::Duration,
        environment: &["OBO_HEAD_TIMEOUT"],
        flag: "--head-timeout",
        value: "DURATION",
        help: "How long a request head may take to arrive [default: 10s]",
    },
    Key {
        name: "limits.connect_timeout",
        kind: Kind::Duration,
        environment: &["OBO_CONNECT_TIMEOUT"],
        flag: "--connect-timeout",
        value: "DURATION",
        help: "How long connecting to the upstream may take [default: 5s]",
    },
    Key {
        name: "limits.response_timeout",
        kind: Kind::Duration,
        environment: &["OBO_RESPONSE_TIMEOUT"],
        flag: "--response-timeout",
        value: "DURATION",
        help: "How long the upstream may take to begin its answer [default: 60s]",
    },
    Key {
        name: "limits.idle_timeout",
        kind: Kind::Duration,
        environment: &["OBO_IDLE_TIMEOUT"],
        flag: "--idle-timeout",
        value: "DURATION",
        help: "How long a connection or a body may stand still [default: 60s]",
    },
    Key {
        name: "limits.total_timeout",
        kind: Kind::Duration,
        environment: &["OBO_TOTAL_TIMEOUT"],
        flag: "--total-timeout",
        value: "DURATION",
        help: "How long a request may take from its head to the end of its answer, where the route says nothing [default: any time]",
    },
    Key {
        name: "limits.exchange_timeout",
        kind: Kind::Duration,
        environment: &["OBO_EXCHANGE_TIMEOUT"],
        flag: "--exchange-timeout",
        value: "DURATION",
        help: "How long one call of the token endpoint may take [default: 10s]",
    },
    Key {
        name: "limits.keys_timeout",
        kind: Kind::Duration,
        environment: &["OBO_KEYS_TIMEOUT"],
        flag: "--keys-timeout",
        value: "DURATION",
        help: "How long a request waits for signing keys that are being fetched [default: 2s]",
    },
    Key {
        name: "log.level",
        kind: Kind::Text,
        environment: &["OBO_LOG_LEVEL"],
        flag: "--log-level",
        value: "FILTER",
        help: "What to log: error, warn, info, debug, trace, or a filter by module [default: info]",
    },
    Key {
        name: "log.format",
        kind: Kind::Text,
        environment: &["OBO_LOG_FORMAT"],
        flag: "--log-format",
        value: "FORMAT",
        help: "text or json [default: text]",
    },
];

/// The settings of a `[[route]]`, in the file only. `identity_headers` stands beside them: its keys are claims.
pub(crate) const ROUTE_KEYS: &[Key] = &[
    route(
        "path",
        Kind::Text,
        "Which paths: `/x` is that path, `/x/*` is it and all below",
    ),
    route(
        "hosts",
        Kind::List,
        "Which hosts, `api.example.com` or `*.example.com` [default: any]",
    ),
    route("methods", Kind::List, "Which methods [default: all]"),
    route(
        "access",
        Kind::Text,
        "Who may: `required` (a user), `app-only` (an application), `public` (anybody) [default: required]",
    ),
    route(
        "scopes",
        Kind::List,
        "Scopes of which a caller needs one [default: accept.scopes]",
    ),
    route(
        "roles",
        Kind::List,
        "App roles of which a caller needs one [default: accept.roles]",
    ),
    route(
        "clients",
        Kind::List,
        "Applications that may call, by client id [default: accept.clients]",
    ),
    route(
        "upstream",
        Kind::Text,
        "The name of the upstream [default: the one that `upstream` gives]",
    ),
    route(
        "downstream",
        Kind::OneOrList,
        "The downstream whose token the upstream gets, or a list of them [default: none]",
    ),
    route(
        "pass_caller_token",
        Kind::Switch,
        "Forward the caller's own token: the upstream can then call this API as the user",
    ),
    route(
        "upgrade",
        Kind::List,
        "To which protocols callers may change; \"websocket\" is the only one [default: none]",
    ),
    route(
        "outlive_token",
        Kind::Switch,
        "Let streams go on after the caller's token has expired",
    ),
    route(
        "cors.origins",
        Kind::List,
        "Web pages of which origins may read the answers; `*` alone: of any",
    ),
    route(
        "cors.methods",
        Kind::List,
        "Methods that pages may use [default: those of the route]",
    ),
    route(
        "cors.headers",
        Kind::List,
        "Request headers that pages may set [default: authorization, content-type]",
    ),
    route(
        "cors.expose",
        Kind::List,
        "Headers of answers that pages may read, besides WWW-Authenticate, Retry-After and X-Request-Id",
    ),
    route(
        "cors.max_age",
        Kind::Duration,
        "How long a browser may remember the answer to a preflight",
    ),
    route("cors.credentials", Kind::Switch, "Let pages send cookies"),
    route(
        "limits.body_bytes",
        Kind::Number,
        "The largest request body; beyond: 413 [default: limits.body_bytes]",
    ),
    route(
        "limits.requests",
        Kind::Number,
        "Requests of this route at once; beyond: 503 [default: any number]",
    ),
    route(
        "limits.response_timeout",
        Kind::Duration,
        "How long the upstream may take to begin its answer [default: limits.response_timeout]",
    ),
    route(
        "limits.idle_timeout",
        Kind::Duration,
        "How long a body may stand still [default: limits.idle_timeout]",
    ),
    route(
        "limits.total_timeout",
        Kind::Duration,
        "How long a request may take from its head to the end of its answer [default: limits.total_timeout]",
    ),
];

const fn route(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key {
        name,
        kind,
        environment: &[],
        flag: "",
        value: "",
        help,
    }
}

/// The setting called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_has_a_flag() {
        for key in KEYS {
            assert_eq!(
                // An address may hold a password.
                key.kind == Kind::Secret || key.name == "cache.redis_url",
                key.flag.is_empty(),
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn names_variables_and_flags_are_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert(key.name), "{}", key.name);
            for variable in key.environment {
                assert!(seen.insert(variable), "{variable}");
            }
            assert!(key.flag.is_empty() || seen.insert(key.flag), "{}", key.flag);
        }
    }
}
