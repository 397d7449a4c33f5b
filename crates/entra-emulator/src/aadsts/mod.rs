//! Every refusal of the Entra endpoints with its AADSTS code, in Entra's own words.
//!
//! Codes and texts: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.

mod assertion;
mod meaning;

pub(crate) use self::assertion::*;
pub use self::meaning::Aadsts;

use serde_json::json;

use crate::directory::Application;
use crate::error::AadError;

pub(crate) fn missing_body_parameter(name: &str) -> AadError {
    AadError::new(
        "invalid_request",
        900_144,
        format!("The request body must contain the following parameter: '{name}'."),
    )
}

pub(crate) fn missing_query_parameter(name: &str) -> AadError {
    AadError::new(
        "invalid_request",
        900_144,
        format!("The request must contain the following parameter: '{name}'."),
    )
}

pub(crate) fn duplicated_parameter(name: &str) -> AadError {
    AadError::new(
        "invalid_request",
        9_000_411,
        format!("The request is not properly formatted. The parameter '{name}' is duplicated."),
    )
}

pub(crate) fn only_post(method: &str) -> AadError {
    AadError::new(
        "invalid_request",
        900_561,
        format!("The endpoint only accepts POST requests. Received a {method} request."),
    )
}

pub(crate) fn unsupported_grant(grant: &str) -> AadError {
    AadError::new(
        "unsupported_grant_type",
        70_003,
        format!("The app requested an unsupported grant type '{grant}'."),
    )
}

pub(crate) fn unsupported_response_type(kind: &str) -> AadError {
    AadError::new(
        "unsupported_response_type",
        700_054,
        format!("response_type '{kind}' is not enabled for the application."),
    )
}

pub(crate) fn invalid_value(parameter: &str) -> AadError {
    AadError::new(
        "invalid_request",
        90_023,
        format!("Invalid STS request: the emulator doesn't accept this value of '{parameter}'."),
    )
}

pub(crate) fn tenant_not_found(tenant: &str) -> AadError {
    AadError::new(
        "invalid_request",
        90_002,
        format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
        ),
    )
}

pub(crate) fn common_not_supported() -> AadError {
    AadError::new(
        "invalid_request",
        9_001_023,
        "The grant type is not supported over the /common, /consumers or /organizations endpoints. Please use the tenant-specific endpoint.",
    )
}

pub(crate) fn application_not_found(client_id: &str, tenant: &str) -> AadError {
    AadError::new(
        "unauthorized_client",
        700_016,
        format!(
            "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
        ),
    )
}

pub(crate) fn not_multi_tenant(client_id: &str) -> AadError {
    AadError::new(
        "invalid_request",
        50_194,
        format!(
            "Application '{client_id}' is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps. Use a tenant-specific endpoint or configure the application to be multi-tenant."
        ),
    )
}

pub(crate) fn wrong_secret(client_id: &str) -> AadError {
    AadError::new(
        "invalid_client",
        7_000_215,
        format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client_id}'."
        ),
    )
}

pub(crate) fn expired_secret(client_id: &str) -> AadError {
    AadError::new(
        "invalid_client",
        7_000_222,
        format!(
            "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds."
        ),
    )
}

pub(crate) fn missing_credential() -> AadError {
    AadError::new(
        "invalid_client",
        7_000_218,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    )
}

pub(crate) fn public_client_with_secret() -> AadError {
    AadError::new(
        "invalid_client",
        700_025,
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    )
}

pub(crate) fn malformed_assertion() -> AadError {
    AadError::new(
        "invalid_request",
        50_027,
        "JWT token is invalid or malformed.",
    )
}

pub(crate) fn bad_signature(reason: &str) -> AadError {
    AadError::new(
        "invalid_grant",
        50_013,
        format!("Assertion failed signature validation. [Reason - {reason}]"),
    )
}

pub(crate) fn wrong_assertion_audience(found: &str, expected: &str) -> AadError {
    AadError::new(
        "invalid_grant",
        500_131,
        format!(
            "Assertion audience does not match the Client app presenting the assertion. The audience in the assertion was '{found}' and the expected audience is '{expected}' or one of the Application Uris of this application with App ID '{expected}'. The downstream client must request a token for the expected audience (the application that made the OBO request) and this application should use that token as the assertion."
        ),
    )
}

pub(crate) fn assertion_lifetime(now: &str, expires: &str) -> AadError {
    AadError::new(
        "invalid_grant",
        500_133,
        format!(
            "Assertion is not within its valid time range. Ensure that the access token is not expired before using it for user assertion, or request a new token. Current time: {now}, expiry time of assertion {expires}."
        ),
    )
}

pub(crate) fn app_only_assertion(client_id: &str) -> AadError {
    AadError::new(
        "unauthorized_client",
        7_000_114,
        format!("Application '{client_id}' is not allowed to make application on-behalf-of calls."),
    )
}

pub(crate) fn resource_not_found(resource: &str, tenant: &str) -> AadError {
    AadError::new(
        "invalid_resource",
        500_011,
        format!(
            "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."
        ),
    )
}

pub(crate) fn invalid_scope(scope: &str) -> AadError {
    AadError::new(
        "invalid_scope",
        70_011,
        format!(
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
        ),
    )
}

pub(crate) fn client_credentials_scope(scope: &str) -> AadError {
    AadError::new(
        "invalid_scope",
        1_002_012,
        format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
        ),
    )
}

pub(crate) fn not_assigned(client: &Application, resource: &Application) -> AadError {
    AadError::new(
        "invalid_grant",
        501_051,
        format!(
            "Application '{}'({}) is not assigned to a role for the application '{}'({}).",
            client.client_id, client.display_name, resource.client_id, resource.display_name
        ),
    )
}

pub(crate) fn unknown_instance(host: &str) -> AadError {
    AadError::new(
        "invalid_instance",
        50_049,
        format!("Unknown or invalid instance: '{host}' is no host of this emulator."),
    )
}

pub(crate) fn several_resources(scope: &str) -> AadError {
    AadError::new(
        "invalid_request",
        28_000,
        format!(
            "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope {scope} is not valid."
        ),
    )
}

pub(crate) fn resource_not_listed(client_id: &str, resource: &str) -> AadError {
    AadError::new(
        "invalid_resource",
        650_057,
        format!(
            "Invalid resource. The client has requested access to a resource which is not listed in the requested permissions in the client's application registration. Client app ID: {client_id}. Resource value from request: {resource}."
        ),
    )
}

pub(crate) fn consent_required(client_id: &str, name: &str) -> AadError {
    AadError::new(
        "invalid_grant",
        65_001,
        format!(
            "The user or administrator has not consented to use the application with ID '{client_id}' named '{name}'. Send an interactive authorization request for this user and resource."
        ),
    )
    .suberror("consent_required")
}

pub(crate) fn silent_consent_required(client_id: &str, name: &str) -> AadError {
    AadError {
        error: "consent_required",
        ..consent_required(client_id, name)
    }
}

pub(crate) fn consent_declined() -> AadError {
    AadError::new(
        "access_denied",
        65_004,
        "User declined to consent to access the app.",
    )
}

pub(crate) fn silent_sign_in_required() -> AadError {
    AadError::new(
        "login_required",
        50_058,
        "A silent sign-in request was sent but no user is signed in.",
    )
}

pub(crate) fn unregistered_redirect(redirect_uri: &str, client_id: &str) -> AadError {
    AadError::new(
        "invalid_request",
        50_011,
        format!(
            "The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs configured for the application '{client_id}'. Make sure the redirect URI sent in the request matches one added to your application in the Azure portal."
        ),
    )
}

pub(crate) fn redirect_mismatch(sent: &str, authorized: &str) -> AadError {
    AadError::new(
        "invalid_client",
        500_112,
        format!(
            "The reply address '{sent}' does not match the reply address '{authorized}' provided when requesting Authorization code."
        ),
    )
}

pub(crate) fn invalid_grant() -> AadError {
    AadError::new(
        "invalid_grant",
        70_000,
        "Provided grant is invalid or malformed.",
    )
}

pub(crate) fn grant_of_another_client() -> AadError {
    AadError::new(
        "invalid_grant",
        700_005,
        "Provided Authorization Code or refresh token is intended to use against other client.",
    )
}

pub(crate) fn code_redeemed() -> AadError {
    AadError::new(
        "invalid_grant",
        54_005,
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
    )
}

pub(crate) fn grant_expired() -> AadError {
    AadError::new(
        "invalid_grant",
        70_008,
        "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.",
    )
}

pub(crate) fn pkce_mismatch() -> AadError {
    AadError::new(
        "invalid_grant",
        501_481,
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    )
}

pub(crate) fn invalid_code_challenge() -> AadError {
    AadError::new(
        "invalid_request",
        50_147,
        "Invalid size or method of Code_Challenge parameter: the emulator accepts S256.",
    )
}

/// Multi-factor authentication is needed for `resource`; the claims are what the client sends back
/// to /authorize.
pub(crate) fn mfa_required(resource: &str, enrolled: bool, policy: &str) -> AadError {
    let (code, message) = if enrolled {
        (
            50_076,
            format!(
                "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '{resource}'."
            ),
        )
    } else {
        (
            50_079,
            format!(
                "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '{resource}'."
            ),
        )
    };
    AadError::new("interaction_required", code, message)
        .suberror("basic_action")
        .claims(json!({"access_token": {"polids": {"essential": true, "values": [policy]}}}))
}

pub(crate) fn user_disabled() -> AadError {
    AadError::new("invalid_grant", 50_057, "The user account is disabled.")
}

pub(crate) fn session_revoked() -> AadError {
    AadError::new(
        "invalid_grant",
        50_173,
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password.",
    )
    .suberror("bad_token")
}

pub(crate) fn user_not_in_tenant(user: &str, tenant: &str) -> AadError {
    AadError::new(
        "invalid_grant",
        50_034,
        format!(
            "The user account {user} does not exist in the {tenant} directory. To sign into this application, the account must be added to the directory."
        ),
    )
}

pub(crate) fn foreign_user(user: &str, tenant: &str) -> AadError {
    AadError::new(
        "invalid_request",
        50_020,
        format!(
            "User account '{user}' does not exist in tenant '{tenant}' and cannot access the application in that tenant. The account needs to be added as an external user in the tenant first."
        ),
    )
}

pub(crate) fn wrong_password() -> AadError {
    AadError::new(
        "invalid_grant",
        50_126,
        "Error validating credentials due to invalid username or password.",
    )
}

pub(crate) fn flow_lost() -> AadError {
    AadError::new(
        "invalid_request",
        165_000,
        "Invalid request: the page was open too long or belongs to another browser session. Start again from the application.",
    )
}
