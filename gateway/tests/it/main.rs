//! The gateway from outside: raw TCP in front, a recording upstream behind, and Entra ID's emulator
//! beside it. Tests whose names begin with two letters and a number are cases of the catalogue of
//! hostile, broken and unlucky input.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy sees tests only in functions marked as such, not in their helpers"
)]

mod access;
mod access_log;
mod access_log_times;
mod addresses;
mod admin;
mod alerts;
mod audit_log;
#[cfg(target_os = "linux")]
mod big_transfers;
mod binary;
mod breaking_off;
mod certificates;
mod challenges;
mod chaos;
mod check_online;
mod client;
mod collector;
mod conformance;
mod cors;
mod credentials;
#[cfg(unix)]
mod crowd;
mod cut_off;
mod downstreams;
mod early_answers;
mod exemplars;
mod expiry;
mod farewell;
mod forwarding;
mod frames;
mod framing;
mod grpc;
mod grpc_interop;
#[cfg(target_os = "linux")]
mod hangs;
mod headers;
mod health;
mod http2;
mod http2_answers;
mod http2_malformed;
#[cfg(target_os = "linux")]
mod http2_uploads;
mod http2_upstream;
mod limits;
mod metadata;
mod metrics;
mod mutation;
mod oidc;
mod overload;
mod own_keys;
mod panics;
mod paths;
mod prometheus;
mod proxies;
mod reload;
mod reload_of_the_binary;
mod reuse;
mod rig;
mod rng;
mod rotation;
mod route_limits;
mod server_timing;
#[cfg(target_os = "linux")]
#[cfg(unix)]
mod service_manager;
mod several_upstreams;
mod shared_store;
#[cfg(unix)]
mod signals;
mod slow_readers;
mod tls;
mod tls_upstream;
mod tonic_service;
mod traces;
mod trailers;
#[cfg(unix)]
mod unix_upstream;
mod unparsed;
mod upgrade;
mod upgrade_tls;
mod upstream;
