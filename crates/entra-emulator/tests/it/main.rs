//! The emulator over real TCP.

mod arm;
mod browser;
mod code;
mod control;
mod discovery;
mod kit;
mod on_behalf_of;
mod sign_in;
mod support;
