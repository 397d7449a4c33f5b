//! The emulator over real TCP.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod arm;
mod authorize;
mod binary;
mod browser;
mod client_certificate;
mod client_credentials;
mod code;
mod configuration;
mod control;
mod decisions;
mod discovery;
mod error_page;
mod faults;
mod federated;
mod graph;
mod graph_applications;
mod health;
mod home;
mod https;
mod kit;
mod on_behalf_of;
mod on_behalf_of_refused;
mod own_directory;
mod sign_in;
mod state_file;
mod support;
