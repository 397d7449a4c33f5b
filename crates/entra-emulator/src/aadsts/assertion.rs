//! Refusals of client assertions: certificates and federated credentials.

use crate::error::AadError;

fn invalid_client(code: u32, message: impl Into<String>) -> AadError {
    AadError::new("invalid_client", code, message)
}

/// Something every client assertion has is not there or not readable.
pub(crate) fn malformed_client_assertion(what: &str) -> AadError {
    AadError::new(
        "invalid_request",
        50_027,
        format!("JWT token is invalid or malformed. {what}"),
    )
}

pub(crate) fn certificate_not_registered(thumbprint: &str, client_id: &str) -> AadError {
    client_assertion_key(
        &format!(
            "The key was not found., Thumbprint of key used by client: '{thumbprint}', Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{client_id}'"
        ),
        "The certificate with identifier used to sign the client assertion is not registered on application.",
    )
}

pub(crate) fn certificate_expired(thumbprint: &str, start: &str, end: &str) -> AadError {
    client_assertion_key(
        &format!(
            "The key used is expired., Thumbprint of key used by client: '{thumbprint}', Found key 'Start={start}, End={end}'"
        ),
        "The certificate with identifier used to sign the client assertion is expired on application.",
    )
}

pub(crate) fn client_assertion_signature(thumbprint: &str) -> AadError {
    client_assertion_key(
        &format!(
            "The provided signature value did not match the expected signature value., Thumbprint of key used by client: '{thumbprint}'"
        ),
        "Client assertion contains an invalid signature.",
    )
}

pub(crate) fn client_assertion_algorithm(algorithm: &str) -> AadError {
    client_assertion_key(
        &format!("The signature algorithm '{algorithm}' is not supported."),
        "Client assertion contains an invalid signature.",
    )
}

fn client_assertion_key(reason: &str, message: &str) -> AadError {
    invalid_client(700_027, format!("{message} [Reason - {reason}]"))
}

pub(crate) fn client_assertion_lifetime(now: &str, valid_from: &str, expires: &str) -> AadError {
    invalid_client(
        700_024,
        format!(
            "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {valid_from}, expiry time of assertion {expires}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
        ),
    )
}

pub(crate) fn client_assertion_audience() -> AadError {
    invalid_client(
        700_023,
        "Client assertion audience claim does not match Realm issuer. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
    )
}

pub(crate) fn client_assertion_of_another() -> AadError {
    invalid_client(
        700_021,
        "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
    )
}

const FEDERATION: &str = "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

pub(crate) fn no_federated_issuer(issuer: &str) -> AadError {
    no_federated(700_211, "issuer", issuer, "")
}

pub(crate) fn no_federated_audience(audience: &str) -> AadError {
    no_federated(700_212, "audience", audience, "")
}

pub(crate) fn no_federated_subject(subject: &str) -> AadError {
    no_federated(700_213, "subject", subject, "")
}

pub(crate) fn federated_subject_case(subject: &str) -> AadError {
    no_federated(
        7_002_138,
        "subject",
        subject,
        " The subject matches with case-insensitive comparison, but not with case-sensitive comparison.",
    )
}

fn no_federated(code: u32, what: &str, value: &str, more: &str) -> AadError {
    invalid_client(
        code,
        format!(
            "No matching federated identity record found for presented assertion {what} '{value}'.{more} {FEDERATION}"
        ),
    )
}

pub(crate) fn federated_key_not_found(kid: &str, issuer: &str) -> AadError {
    invalid_client(
        7_000_272,
        format!(
            "The certificate with identifier {kid} used to sign the federated credential could not be found in the metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata exposes the key used to sign the incoming token."
        ),
    )
}

/// An issuer's documents can't be had; `reason` is the emulator's own.
pub(crate) fn federated_issuer_unreachable(reason: &str) -> AadError {
    AadError::new(
        "invalid_request",
        50_166,
        format!("Request to External OIDC endpoint failed. [entra-emulator: {reason}]"),
    )
}
