//! The emulator over real TCP.

mod arm;
mod control;
mod discovery;
mod kit;
mod on_behalf_of;
mod support;
