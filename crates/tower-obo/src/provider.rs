//! Who issues the tokens: Entra ID, or another provider.

use std::path::Path;

use crate::{Entra, Oidc};

#[derive(Clone, Debug)]
pub(crate) enum Provider {
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
        match self {
            Self::Entra(_) => ProviderKind::Entra,
            Self::Oidc(_) => ProviderKind::Oidc,
        }
    }

    pub(crate) const fn entra(&self) -> Option<&Entra> {
        match self {
            Self::Entra(entra) => Some(entra),
            Self::Oidc(_) => None,
        }
    }

    pub(crate) fn allow_http_loopback(self, allow: bool) -> Self {
        match self {
            Self::Entra(entra) => Self::Entra(entra.allow_http_loopback(allow)),
            Self::Oidc(oidc) => Self::Oidc(oidc.allow_http_loopback(allow)),
        }
    }

    /// What tells it from others: an authority of Entra ID without a slash at its end, or an issuer.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Entra(entra) => entra.authority.trim_end_matches('/'),
            Self::Oidc(oidc) => &oidc.issuer,
        }
    }

    pub(crate) fn ca_file(&self) -> Option<&Path> {
        match self {
            Self::Entra(entra) => entra.ca_file.as_deref(),
            Self::Oidc(oidc) => oidc.ca_file.as_deref(),
        }
    }

    /// Whether it is one on this machine, for development: only such may be `http`.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Entra(entra) => entra.is_local(),
            Self::Oidc(oidc) => oidc.is_local(),
        }
    }

    /// Entra ID writes GUIDs in lower case. Of other providers every byte counts.
    pub(crate) fn make_lower_case(&mut self) {
        if let Self::Entra(entra) = self {
            entra.make_lower_case();
        }
    }

    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Entra(entra) => entra.problems(),
            Self::Oidc(oidc) => oidc.problems(),
        }
    }
}

impl From<Entra> for Provider {
    fn from(entra: Entra) -> Self {
        Self::Entra(entra)
    }
}

impl From<Oidc> for Provider {
    fn from(oidc: Oidc) -> Self {
        Self::Oidc(oidc)
    }
}
