//! Who issues the tokens: Entra ID, or another provider.

use std::path::Path;

use crate::{Entra, Oidc};

/// Who issues the tokens: [`Entra`], or another provider ([`Oidc`]). Made from either, by whatever asks
/// for one.
#[derive(Clone, Debug)]
pub struct Provider(pub(crate) Which);

/// Which it is.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    Entra(Entra),
    Oidc(Oidc),
}

/// What there is of it where only its kind matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProviderKind {
    Entra,
    Oidc,
    /// Whatever a custom exchange asks.
    Custom,
}

impl Provider {
    pub(crate) const fn kind(&self) -> ProviderKind {
        match &self.0 {
            Which::Entra(_) => ProviderKind::Entra,
            Which::Oidc(_) => ProviderKind::Oidc,
        }
    }

    pub(crate) const fn entra(&self) -> Option<&Entra> {
        match &self.0 {
            Which::Entra(entra) => Some(entra),
            Which::Oidc(_) => None,
        }
    }

    pub(crate) fn allow_http_loopback(self, allow: bool) -> Self {
        Self(match self.0 {
            Which::Entra(entra) => Which::Entra(entra.allow_http_loopback(allow)),
            Which::Oidc(oidc) => Which::Oidc(oidc.allow_http_loopback(allow)),
        })
    }

    /// The token endpoint that was given in place of the one that its document names; empty without.
    pub(crate) fn given_token_endpoint(&self) -> &str {
        match &self.0 {
            Which::Entra(_) => "",
            Which::Oidc(oidc) => oidc.given_endpoint().unwrap_or_default(),
        }
    }

    /// What tells it from others: an authority of Entra ID without a slash at its end, or an issuer.
    pub(crate) fn name(&self) -> &str {
        match &self.0 {
            Which::Entra(entra) => entra.authority.trim_end_matches('/'),
            Which::Oidc(oidc) => &oidc.issuer,
        }
    }

    pub(crate) fn ca_file(&self) -> Option<&Path> {
        match &self.0 {
            Which::Entra(entra) => entra.ca_file.as_deref(),
            Which::Oidc(oidc) => oidc.ca_file.as_deref(),
        }
    }

    /// Whether it is one on this machine, for development: only such may be `http`.
    pub(crate) fn is_local(&self) -> bool {
        match &self.0 {
            Which::Entra(entra) => entra.is_local(),
            Which::Oidc(oidc) => oidc.is_local(),
        }
    }

    /// Entra ID writes GUIDs in lower case. Of other providers every byte counts.
    pub(crate) fn make_lower_case(&mut self) {
        if let Which::Entra(entra) = &mut self.0 {
            entra.make_lower_case();
        }
    }

    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        match &self.0 {
            Which::Entra(entra) => entra.problems(),
            Which::Oidc(oidc) => oidc.problems(),
        }
    }
}

impl From<Entra> for Provider {
    fn from(entra: Entra) -> Self {
        Self(Which::Entra(entra))
    }
}

impl From<Oidc> for Provider {
    fn from(oidc: Oidc) -> Self {
        Self(Which::Oidc(oidc))
    }
}
