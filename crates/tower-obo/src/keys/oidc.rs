//! The discovery document of another provider than Entra ID.
//!
//! <https://openid.net/specs/openid-connect-discovery-1_0.html>

use std::sync::Arc;

use super::{
    Discovery, Issuers,
    discovery::{DiscoveryError, Document, Found, JWKS, get, refused},
};
use crate::{Oidc, Provider, http_client::HttpClient, provider::Which};

/// Where a provider's documents are, whichever provider it is.
#[derive(Clone, Debug)]
pub(crate) enum Documents {
    Entra(Discovery),
    Oidc(Oidc),
}

const CONFIGURATION: &str = "OpenID configuration";

impl Documents {
    pub(crate) fn of(provider: &Provider) -> Self {
        match &provider.0 {
            Which::Entra(entra) => Self::Entra(Discovery::new(entra)),
            Which::Oidc(oidc) => Self::Oidc(oidc.clone()),
        }
    }

    /// What tells them from other documents.
    pub(crate) fn origin(&self) -> String {
        match self {
            Self::Entra(discovery) => format!("{discovery:?}"),
            Self::Oidc(oidc) => oidc.issuer.to_string(),
        }
    }

    pub(super) async fn fetch(&self, http: &HttpClient) -> Result<Found, DiscoveryError> {
        let oidc = match self {
            Self::Entra(entra) => return entra.fetch(http).await,
            Self::Oidc(oidc) => oidc,
        };
        // A slash at the issuer's end is no part of the address (§4.1), but one of the issuer.
        let base = oidc.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let answer = get(http, CONFIGURATION, &url).await?;
        let document = read(oidc, &answer.body)?;
        let jwks = get(http, JWKS, &document.jwks_uri).await?;
        if !oidc.has_endpoint() {
            let endpoint = Arc::new(document.token_endpoint);
            oidc.token_endpoint.store(Some(endpoint));
        }
        let issuers = Issuers::new(&document.issuer);
        Ok(Found { issuers, jwks })
    }
}

fn read(oidc: &Oidc, body: &[u8]) -> Result<Document, DiscoveryError> {
    let document = serde_json::from_slice(body)
        .map_err(|_| refused(CONFIGURATION, "it is no OpenID configuration"))?;
    check(oidc, &document)?;
    Ok(document)
}

/// Where the keys are and the token endpoint is.
#[cfg(fuzzing)]
pub(crate) fn oidc_document(oidc: &Oidc, body: &[u8]) -> Option<(String, String)> {
    let document = read(oidc, body).ok()?;
    Some((document.jwks_uri, document.token_endpoint))
}

/// It must be about the issuer that it was asked of (§4.3), and name nothing that is asked in clear.
fn check(oidc: &Oidc, document: &Document) -> Result<(), DiscoveryError> {
    if *document.issuer != *oidc.issuer {
        return Err(refused(CONFIGURATION, "its issuer is not the one asked"));
    }
    for url in [&document.jwks_uri, &document.token_endpoint] {
        if !oidc.may_ask(url) {
            return Err(refused(CONFIGURATION, "it names an address without TLS"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_about_this_very_issuer_and_names_addresses_with_tls() {
        let oidc = Oidc::issuer("https://id.example/realms/shop");
        let document = |issuer: &str, jwks_uri: &str, token_endpoint: &str| Document {
            issuer: issuer.to_owned(),
            jwks_uri: jwks_uri.to_owned(),
            token_endpoint: token_endpoint.to_owned(),
        };
        let (issuer, at) = ("https://id.example/realms/shop", "https://id.example/x");
        assert!(check(&oidc, &document(issuer, at, at)).is_ok());
        for bad in [
            document("https://id.example/realms/shop/", at, at),
            document("https://id.example/realms/Shop", at, at),
            document("https://id.example/realms/other", at, at),
            document(issuer, "http://id.example/x", at),
            document(issuer, at, "http://id.example/x"),
            document(issuer, at, "/token"),
            document(issuer, at, ""),
        ] {
            assert!(check(&oidc, &bad).is_err(), "{}", bad.token_endpoint);
        }
    }
}
