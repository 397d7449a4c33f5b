//! The discovery document (OpenID Connect Discovery §4).

use serde::Deserialize;
use url::Url;

use super::error::EntraError;
use crate::config::{Settings, is_secure};
use crate::http_client;

const MAX_DOCUMENT: usize = 256 * 1024;

/// What is used of the document.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Provider {
    /// The issuer; `{tenantid}` stands in it where the authority serves many tenants.
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: Url,
    pub(crate) token_endpoint: Url,
    pub(crate) end_session_endpoint: Option<Url>,
}

pub(super) async fn fetch(
    http: &reqwest::Client,
    settings: &Settings,
) -> Result<Provider, EntraError> {
    let request = http
        .get(settings.discovery.clone())
        .build()
        .map_err(|_malformed| EntraError::Unusable("the address of the discovery document"))?;
    let answer = http_client::send(http, request, MAX_DOCUMENT)
        .await?
        .not_busy()?;
    if !answer.status.is_success() {
        // An unknown tenant is a 400.
        tracing::warn!(
            status = answer.status.as_u16(),
            "discovery was refused: check authority and tenant"
        );
        return Err(EntraError::Unusable("the discovery document"));
    }
    let provider: Provider = serde_json::from_slice(&answer.body)
        .map_err(|_malformed| EntraError::Unusable("the discovery document"))?;
    let endpoints = [
        Some(&provider.authorization_endpoint),
        Some(&provider.token_endpoint),
        provider.end_session_endpoint.as_ref(),
    ];
    if endpoints.into_iter().flatten().all(is_secure) {
        Ok(provider)
    } else {
        Err(EntraError::Unusable("an endpoint without https"))
    }
}
