//! LO-01: one journey with every kind of failure. What was answered and logged on the way, at the most
//! verbose level of everything in the process, in the access log, the audit log and the metrics, holds no
//! token, secret, query, cookie or word that was meant for the operator.
//!
//! A test binary of its own: the gateway has threads of its own, so the subscriber is the process's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod capture;
mod credentials;
mod journey;
mod shown;
