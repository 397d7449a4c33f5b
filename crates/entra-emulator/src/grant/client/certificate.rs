//! Assertions that an application signs itself, with the key of a registered certificate.
//!
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>

use jsonwebtoken::{Algorithm, DecodingKey};

use super::assertion::Assertion;
use crate::aadsts;
use crate::clock::entra_time;
use crate::directory::{Application, Certificate, TokenVersion};
use crate::error::AadError;
use crate::state::State;
use crate::tenant::Authority;
use crate::token::signature::verifies;

pub(super) fn check(
    state: &State,
    authority: &Authority,
    client: &Application,
    assertion: &Assertion<'_>,
) -> Result<(), AadError> {
    let algorithm = match assertion.header("alg") {
        Some("PS256") => Algorithm::PS256,
        Some("RS256") => Algorithm::RS256,
        other => {
            return Err(aadsts::client_assertion_algorithm(
                other.unwrap_or_default(),
            ));
        }
    };
    let own = |id: &str| id.eq_ignore_ascii_case(&client.client_id);
    if !own(&assertion.issuer) || !own(&assertion.subject) {
        return Err(aadsts::client_assertion_of_another());
    }
    let certificate = registered(client, assertion)?;
    let thumbprint = certificate.thumbprint_hex();
    let now = state.now();
    if certificate.not_after() <= now || certificate.not_before() > now {
        return Err(aadsts::certificate_expired(
            &thumbprint,
            &entra_time(certificate.not_before()),
            &entra_time(certificate.not_after()),
        ));
    }
    let key = DecodingKey::from_rsa_der(certificate.public_key());
    if !verifies(algorithm, &key, assertion.message, assertion.signature) {
        return Err(aadsts::client_assertion_signature(&thumbprint));
    }
    check_audience(state, authority, client, assertion)?;
    assertion.check_lifetime(now)
}

/// The certificate that the header names, by `x5t#S256`, by `x5t`, or by both.
fn registered<'a>(
    client: &'a Application,
    assertion: &Assertion<'_>,
) -> Result<&'a Certificate, AadError> {
    // msal-python leaves the padding on, and Entra ID doesn't mind.
    let unpadded = |name| Some(assertion.header(name)?.trim_end_matches('='));
    let sha256 = unpadded("x5t#S256");
    let sha1 = unpadded("x5t");
    let Some(named) = sha256.or(sha1) else {
        return Err(aadsts::malformed_client_assertion(
            "No certificate thumbprint specified in token header.",
        ));
    };
    client
        .certificates
        .iter()
        .find(|own| {
            sha256.is_none_or(|named| named == own.thumbprint_sha256())
                && sha1.is_none_or(|named| named == own.thumbprint())
        })
        .ok_or_else(|| aadsts::certificate_not_registered(named, &client.client_id))
}

/// The token endpoint or an issuer, of the tenant that is spoken to. `common` stands for the
/// client's own tenant, too.
fn check_audience(
    state: &State,
    authority: &Authority,
    client: &Application,
    assertion: &Assertion<'_>,
) -> Result<(), AadError> {
    let directory = state.directory();
    let tenant = authority.id().unwrap_or(&client.tenant);
    let domain = directory.tenant(tenant).map(|tenant| &*tenant.domain);
    let any: &[&str] = match authority {
        Authority::Any => &["common", "organizations"],
        Authority::Tenant(_) => &[],
    };
    let names = [tenant]
        .into_iter()
        .chain(domain)
        .chain(any.iter().copied());
    let audiences = assertion.audiences();
    let ours = names.flat_map(|name| {
        [
            format!("{}/{name}/oauth2/v2.0/token", state.url),
            format!("{}/{name}/oauth2/token", state.url),
            state.issuer(TokenVersion::V2, name),
            state.issuer(TokenVersion::V1, name),
        ]
    });
    match &audiences[..] {
        [audience] if ours.into_iter().any(|own| own == *audience) => Ok(()),
        _ => Err(aadsts::client_assertion_audience()),
    }
}
