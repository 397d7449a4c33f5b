//! Assertions of another issuer that stands for an application: workload identity federation.
//!
//! <https://learn.microsoft.com/entra/workload-id/workload-identity-federation>

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Certificate, Client, redirect};
use serde_json::Value;
use url::{Host, Url};

use super::assertion::Assertion;
use crate::aadsts;
use crate::directory::{Application, FederatedCredential};
use crate::error::AadError;
use crate::state::State;
use crate::token::signature::verifies;

/// How long an issuer may take over a document.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest document of an issuer.
const DOCUMENT_LIMIT: usize = 1024 * 1024;

pub(super) async fn check(
    state: &State,
    client: &Application,
    assertion: &Assertion<'_>,
) -> Result<(), AadError> {
    if assertion.header("alg") != Some("RS256") {
        let found = assertion.header("alg").unwrap_or_default();
        return Err(aadsts::client_assertion_algorithm(found));
    }
    let credential = registered(client, assertion)?;
    let jwks = match &credential.jwks {
        Some(jwks) => jwks.clone(),
        // Asked anew each time, so that a rotation is seen at once.
        None => discover(state, &credential.issuer)
            .await
            .map_err(|reason| aadsts::federated_issuer_unreachable(&reason))?,
    };
    let kid = assertion.header("kid").unwrap_or_default();
    let key = key_of(&jwks, kid)
        .ok_or_else(|| aadsts::federated_key_not_found(kid, &credential.issuer))?;
    if !verifies(
        Algorithm::RS256,
        &key,
        assertion.message,
        assertion.signature,
    ) {
        return Err(aadsts::client_assertion_signature(kid));
    }
    assertion.check_lifetime(state.now())
}

/// The credential whose issuer, subject and audience are those of the assertion.
fn registered<'a>(
    client: &'a Application,
    assertion: &Assertion<'_>,
) -> Result<&'a FederatedCredential, AadError> {
    let (issuer, subject) = (&assertion.issuer, &assertion.subject);
    let of_issuer = || {
        let all = client.federated_credentials.iter();
        all.filter(|own| own.issuer == *issuer)
    };
    if of_issuer().next().is_none() {
        return Err(aadsts::no_federated_issuer(issuer));
    }
    let audiences = assertion.audiences();
    let mut of_subject = of_issuer().filter(|own| own.subject == *subject).peekable();
    if of_subject.peek().is_none() {
        let other_case = of_issuer().any(|own| own.subject.eq_ignore_ascii_case(subject));
        return Err(if other_case {
            aadsts::federated_subject_case(subject)
        } else {
            aadsts::no_federated_subject(subject)
        });
    }
    of_subject
        .find(|own| audiences.contains(&&*own.audience))
        .ok_or_else(|| aadsts::no_federated_audience(&audiences.join(" ")))
}

fn key_of(jwks: &Value, kid: &str) -> Option<DecodingKey> {
    let keys = jwks["keys"].as_array()?;
    let key = keys
        .iter()
        .find(|key| key["kid"] == kid && key["kty"] == "RSA")?;
    DecodingKey::from_rsa_components(key["n"].as_str()?, key["e"].as_str()?).ok()
}

/// The issuer's keys, by way of its discovery document. The emulator calls nobody but this machine:
/// an error says why there are none.
async fn discover(state: &State, issuer: &str) -> Result<Value, String> {
    let mut client = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT);
    // Its own https base may be the issuer.
    if let Some(ca) = &state.ca_pem {
        let ca = Certificate::from_pem(ca.as_bytes()).map_err(|error| error.to_string())?;
        client = client.tls_certs_merge([ca]);
    }
    let client = client.build().map_err(|error| error.to_string())?;
    let configuration = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let document = fetch(&client, &configuration).await?;
    if document["issuer"] != issuer {
        return Err(format!("{configuration} is of another issuer"));
    }
    let jwks = document["jwks_uri"]
        .as_str()
        .ok_or_else(|| format!("{configuration} has no jwks_uri"))?;
    fetch(&client, jwks).await
}

async fn fetch(client: &Client, url: &str) -> Result<Value, String> {
    if !is_loopback(url) {
        return Err(format!(
            "{url} is not on loopback, and nobody else is asked; register the issuer's keys (jwks)"
        ));
    }
    let failed = |error: reqwest::Error| format!("{url}: {error}");
    let mut response = client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > DOCUMENT_LIMIT {
            return Err(format!("{url}: the answer is too long"));
        }
    }
    serde_json::from_slice(&body).map_err(|_| format!("{url}: the answer is no JSON"))
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    matches!(url.scheme(), "http" | "https")
        && match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked() {
        for (url, loopback) in [
            ("http://127.0.0.1:1/x", true),
            ("https://localhost/x", true),
            ("http://[::1]:1/x", true),
            ("http://localhost.example/x", false),
            ("http://127.0.0.1.example/x", false),
            ("http://127.0.0.1@example/x", false),
            ("http://10.0.0.1/x", false),
            ("file:///etc/passwd", false),
            ("nothing", false),
        ] {
            assert_eq!(is_loopback(url), loopback, "{url}");
        }
    }
}
