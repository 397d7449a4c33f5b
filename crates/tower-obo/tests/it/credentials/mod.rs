//! The credentials with which tokens are asked for, against the emulator: what is sent, and what
//! happens while they change.

mod certificate;
mod federated;
pub(crate) mod kit;
#[cfg(feature = "pfx")]
mod openssl;
mod secret;
mod way;
