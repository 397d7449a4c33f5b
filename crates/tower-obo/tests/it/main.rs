//! The layer from outside, in front of a recording service and against Entra ID's emulator over
//! real TCP. Tests whose names begin with two letters and a number are cases of the catalogue of
//! hostile, broken and unlucky input.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests only in functions marked as such, not in their helpers"
)]

mod access;
mod answer;
mod answers;
mod application;
mod bearer;
mod cache;
mod callers;
mod challenge;
mod claims;
mod clouds;
mod codes;
mod credentials;
mod cut_off;
mod downstreams;
mod echo;
mod examples;
mod exchange;
mod faults;
mod fixture;
mod forge;
mod grpc_example;
#[cfg(feature = "test-util")]
mod handlers;
mod job;
mod jose;
mod jwt_form;
mod key_floods;
mod key_sets;
mod key_sources;
mod key_waits;
mod keys;
mod layer;
mod meanwhile;
mod oidc;
mod on_demand;
mod order;
mod overload;
mod own_keys;
mod request;
mod script;
mod secrecy;
#[cfg(feature = "redis")]
mod shared_store;
mod succeeding;
mod tcp;
mod tenants;
mod throttle;
mod transport;
mod without_http;
