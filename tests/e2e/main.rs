//! The whole system over real TCP: one file a behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod challenges;
mod errors;
mod isolation;
mod peers;
mod processes;
mod readme;
mod refusals;
mod security_cases;
mod subscriptions;
