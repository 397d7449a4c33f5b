//! What is told of it: log and traces.

use crate::config::keys::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
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
    Key {
        name: "log.access",
        kind: Kind::Switch,
        environment: &["OBO_LOG_ACCESS"],
        flag: "--log-access",
        value: "",
        help: "Write a line about each request to standard output, in the form of log.format: neither headers nor query",
    },
    Key {
        name: "log.audit",
        kind: Kind::Switch,
        environment: &["OBO_LOG_AUDIT"],
        flag: "--log-audit",
        value: "",
        help: "Write a line about each decision on a token to standard output, in the form of log.format: who by the ids that Entra ID's log has, for which downstream, admitted or why not",
    },
    Key {
        name: "traces.endpoint",
        kind: Kind::Text,
        environment: &[
            "OBO_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ],
        flag: "--traces-endpoint",
        value: "URL",
        help: "The collector that is told of requests (OTLP over HTTP), http://127.0.0.1:4318 for instance [default: none]",
    },
    Key {
        name: "traces.ratio",
        kind: Kind::Ratio,
        environment: &["OBO_TRACES_RATIO"],
        flag: "--traces-ratio",
        value: "RATIO",
        help: "The share of traces begun here that it is told of, from 0 to 1; callers that send a context decide for themselves, up to 100 requests a second beyond that [default: 1]",
    },
];
