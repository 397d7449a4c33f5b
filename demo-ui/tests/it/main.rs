//! The web app over real TCP, between an identity provider and an API made up for the test.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests only in functions marked as such, not in their helpers"
)]

mod browser;
mod entra;
mod failures;
mod happened;
mod logs;
mod pages;
mod redis_server;
mod renewal;
mod shared;
mod shared_renewal;
mod sign_in;
mod sign_out;
mod step_up;
mod support;
