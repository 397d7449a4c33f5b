//! The table.

use super::Aadsts;
use Class::{
    Account, Administrator, AppOnly, Assertion, ConditionalAccess, Consent, Credential,
    Interaction, Misconfigured, Request, Unavailable,
};

/// Codes for which the same people do the same.
#[derive(Clone, Copy)]
enum Class {
    Account,
    Administrator,
    AppOnly,
    Assertion,
    ConditionalAccess,
    Consent,
    Credential,
    Interaction,
    Misconfigured,
    Request,
    Unavailable,
}

const OPERATOR: &str = "operator";
const ADMINISTRATOR: &str = "administrator";
const CALLER: &str = "caller";
const EITHER: &str = "user or administrator";

const fn row(code: u32, class: Class, meaning: &'static str) -> Aadsts {
    let (who, remedy) = match class {
        Account => (
            ADMINISTRATOR,
            "assign the user to the application, invite or enable the account",
        ),
        Administrator => (ADMINISTRATOR, "assign a role of the API to the application"),
        AppOnly => (CALLER, "call with a user's token"),
        Assertion => (CALLER, "sign in again and send the new token"),
        ConditionalAccess => (EITHER, "use a device or place that the policy allows"),
        Consent => (EITHER, CONSENT),
        Credential => (
            OPERATOR,
            "renew the certificate or the federated credential",
        ),
        Interaction => ("user", "sign in again, with what Entra ID asks for"),
        Misconfigured => (
            OPERATOR,
            "fix the app registration, its secret or the application's settings",
        ),
        Request => (OPERATOR, "fix what the application sends"),
        Unavailable => ("nobody", "wait as long as Retry-After says"),
    };
    Aadsts {
        code,
        meaning,
        who,
        remedy,
        here: None,
    }
}

impl Aadsts {
    /// Its own remedy in place of that of its class.
    const fn but(self, who: &'static str, remedy: &'static str) -> Self {
        Self {
            who,
            remedy,
            ..self
        }
    }

    /// What helps in the emulator.
    const fn here(self, here: &'static str) -> Self {
        Self {
            here: Some(here),
            ..self
        }
    }
}

const CONSENT: &str = "consent to the permissions that the application asks for";
const REQUEST: &str = "fix what the application sends";

/// In the order of the codes: [`Aadsts::find`] searches it by halves.
#[rustfmt::skip]
pub(super) static TABLE: &[Aadsts] = &[
    row(28000, Misconfigured, "the scope names more than one resource"),
    row(28002, Misconfigured, "the scope names more than one resource"),
    row(50001, Misconfigured, "the resource is not known in the tenant"),
    row(50011, Misconfigured, "the redirect URI is not one of those that are registered for the application")
        .but(OPERATOR, "register the redirect URI, or send one that is registered")
        .here("the home page lists the redirect URIs of each application; `--redirect-uri` sets the \
            demo web app's, a file others"),
    row(50013, Assertion, "the assertion's signature or issuer is not valid"),
    row(50014, Account, "the user's account does not exist in the tenant"),
    row(50020, Account, "the user is not a member of the tenant")
        .here("the home page lists the users of each tenant"),
    row(50027, Assertion, "the assertion is not a well-formed JWT"),
    row(50034, Account, "the user does not exist in the tenant")
        .here("the home page lists the users of each tenant"),
    row(50049, Misconfigured, "the authority instance is not known"),
    row(50057, Account, "the account is disabled")
        .here("`Enable` on the home page, or `entra-emulator user NAME --enable`"),
    row(50058, Interaction, "nobody is signed in, and a silent sign-in may not ask")
        .but("user", "sign in on a page, which the application has to show"),
    row(50072, Interaction, "the user has to enrol for multi-factor authentication"),
    row(50074, Interaction, "strong authentication is required"),
    row(50076, Interaction, "multi-factor authentication is required")
        .here("sign in and type the code that the page shows; `entra-emulator token --user NAME --mfa` prints such \
            a token, and `entra-emulator user NAME --mfa not-required` lets the user in without"),
    row(50078, Interaction, "multi-factor authentication has expired"),
    row(50079, Interaction, "the user has to enrol for multi-factor authentication")
        .here("sign in and type the code that the page shows; `entra-emulator user NAME --mfa not-\
            required` lets the user in without"),
    row(50097, ConditionalAccess, "device authentication is required"),
    row(50105, Account, "the user is not assigned to the application"),
    row(50126, Interaction, "the user name or the password is wrong")
        .but("user", "type them again")
        .here("the home page and the sign-in page list all passwords"),
    row(50129, ConditionalAccess, "the device is not joined to the workplace"),
    row(50132, Assertion, "the session was revoked or the password changed"),
    row(50133, Assertion, "the session was revoked or the password changed"),
    row(50147, Request, "the PKCE code challenge is not one"),
    row(50166, Credential, "the documents of the client assertion's issuer cannot be fetched")
        .but(OPERATOR, "let Entra ID reach the issuer's OpenID configuration and keys"),
    row(50173, Assertion, "the grant was revoked")
        .here("somebody pressed `Revoke sessions`, or ran `entra-emulator user NAME --revoke`: a token \
            from now on is good again"),
    row(50194, Request, "an application of one tenant was asked for at /common or /organizations"),
    row(50196, Unavailable, "Entra ID sees a request loop and throttles it"),
    row(51004, Account, "the user's account does not exist in the tenant"),
    row(53000, ConditionalAccess, "the device is not compliant"),
    row(53001, ConditionalAccess, "the device is not domain-joined"),
    row(53002, ConditionalAccess, "the application is not an approved one"),
    row(53003, ConditionalAccess, "Conditional Access blocks the token"),
    row(54005, Request, "the authorization code has been redeemed already")
        .but(OPERATOR, "redeem each code once, and go on with the refresh token"),
    row(65001, Consent, "consent has not been given")
        .here("sign in and accept, or `entra-emulator user NAME --consent`"),
    row(65004, Consent, "the user declined to consent"),
    row(65005, Misconfigured, "the registration does not list the resource"),
    row(70000, Interaction, "the grant is not valid any more"),
    row(70001, Misconfigured, "the application is not known in the tenant"),
    row(70002, Misconfigured, "the client's credential is not valid"),
    row(70003, Request, "the grant type is not supported"),
    row(70008, Interaction, "the grant has expired"),
    row(70011, Misconfigured, "the scope is not valid"),
    row(70021, Credential, "no federated credential matches the client assertion"),
    row(70025, Credential, "the application has no federated credential"),
    row(70043, Interaction, "the sign-in frequency asks for a new sign-in"),
    row(90002, Misconfigured, "the tenant is not known")
        .here("the home page lists the tenants; `--config` names a file with others"),
    row(90006, Unavailable, "Entra ID has a passing fault"),
    row(90012, Unavailable, "Entra ID timed out"),
    row(90014, Misconfigured, "a field is missing from the request").but(OPERATOR, REQUEST),
    row(90023, Request, "a parameter has a value that is not supported"),
    row(90024, Unavailable, "Entra ID has a passing fault"),
    row(90033, Unavailable, "Entra ID has a passing fault"),
    row(90055, Unavailable, "Entra ID throttles the tenant"),
    row(90094, Consent, "an administrator has to consent").but(ADMINISTRATOR, CONSENT),
    row(90095, Consent, "an administrator has to consent").but(ADMINISTRATOR, CONSENT),
    row(165000, Interaction, "the sign-in page is of another browser session, or was open too long")
        .but("user", "start again from the application"),
    row(500011, Misconfigured, "the resource is not known in the tenant")
        .here("the home page lists the applications; `--config` names a file with others"),
    row(500112, Request, "the redirect URI is not the one that the authorization code was asked for with"),
    row(500131, Assertion, "the assertion is for another audience")
        .but(OPERATOR, "accept only audiences of this app registration: a new sign-in ends in the same answer"),
    row(500133, Assertion, "the assertion has expired or is not valid yet"),
    row(500207, Misconfigured, "the account type does not fit the resource"),
    row(501051, Administrator, "the application has none of the API's roles"),
    row(501481, Request, "the PKCE code verifier does not fit the code challenge"),
    row(530032, ConditionalAccess, "a security policy blocks the token"),
    row(530034, ConditionalAccess, "a security policy blocks the sign-in"),
    row(530035, ConditionalAccess, "security defaults block the token"),
    row(650052, Misconfigured, "the tenant has no access to the resource"),
    row(650056, Misconfigured, "the registration is misconfigured"),
    row(650057, Misconfigured, "the registration does not list the resource"),
    row(700005, Request, "the authorization code or refresh token was issued to another application"),
    row(700011, Misconfigured, "the application is not known in the tenant"),
    row(700016, Misconfigured, "the application is not known in the tenant")
        .here("the home page lists the applications; `--config` names a file with others"),
    row(700021, Credential, "the client assertion is of another application than the one that sends it"),
    row(700022, Misconfigured, "the scope names more than one resource"),
    row(700023, Misconfigured, "the client assertion is for another application"),
    row(700024, Credential, "the client assertion is outside of its lifetime"),
    row(700025, Credential, "the client is public and must not authenticate")
        .but(OPERATOR, "register the API as a confidential client, or use the registration that is one"),
    row(700027, Credential, "the client assertion's signature is not valid"),
    row(700030, Credential, "the certificate is not valid"),
    row(700054, Misconfigured, "the application may not ask for this response type"),
    row(700082, Interaction, "the grant has expired"),
    row(700084, Interaction, "the grant has expired"),
    row(700211, Credential, "no federated credential has the client assertion's issuer"),
    row(700212, Credential, "no federated credential has the client assertion's audience"),
    row(700213, Credential, "no federated credential has the client assertion's subject"),
    row(700223, Credential, "the tenant allows no federated credentials"),
    row(700229, Credential, "the federated credential does not match"),
    row(700238, Credential, "the tenant allows no federated credentials"),
    row(900144, Misconfigured, "a field is missing from the request").but(OPERATOR, REQUEST),
    row(900561, Request, "the endpoint takes POST only"),
    row(1000502, Credential, "the certificate has expired"),
    row(1002012, Request, "client credentials take one scope, which ends in /.default"),
    row(7000112, Misconfigured, "the application is disabled"),
    row(7000114, AppOnly, "an app-only token cannot be exchanged"),
    row(7000214, Credential, "the certificate was revoked"),
    row(7000215, Misconfigured, "the client secret is wrong")
        .here("the home page lists the secrets of each application"),
    row(7000218, Misconfigured, "the client credential is missing"),
    row(7000222, Misconfigured, "the client secret has expired")
        .here("the home page lists the secrets of each application"),
    row(7000272, Credential, "the client assertion's signing key is not known"),
    row(7000274, Credential, "the client assertion is not valid"),
    row(7000277, Credential, "the client assertion is not valid"),
    row(7002137, Credential, "no federated credential has the client assertion's subject"),
    row(7002138, Credential, "no federated credential has the client assertion's subject"),
    row(9000411, Request, "a parameter stands there twice"),
    row(9001023, Misconfigured, "the grant is not supported at this endpoint"),
];
