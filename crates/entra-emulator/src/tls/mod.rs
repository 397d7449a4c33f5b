//! https: a certificate authority that lives as long as the emulator, and listeners that speak TLS.

mod authority;
mod listener;

pub(crate) use self::authority::Authority;
pub use self::authority::CertificateError;
pub(crate) use self::listener::TlsListener;
