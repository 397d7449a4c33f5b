//! The AADSTS codes that matter for On-Behalf-Of, as data: what each means, who has to act, and
//! what the caller is told.
//!
//! From Microsoft's [reference of error codes](https://learn.microsoft.com/entra/identity-platform/reference-error-codes).

/// What the caller gets for a code.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// The account is not one that may use the application: 403.
    AccountRefused,
    /// An application without a user cannot be exchanged: 403.
    AppOnly,
    /// The assertion is refused: 401 `invalid_token`.
    AssertionRefused,
    /// Conditional Access or a device policy: 401 `insufficient_claims` where Entra ID gives
    /// claims, else 403.
    ConditionalAccess,
    /// Consent is missing: 403.
    ConsentRequired,
    /// Our client assertion or certificate is refused: the credential is read again and the
    /// request sent once more; then 502.
    CredentialRefused,
    /// The user has to do something at Entra ID: 401 `insufficient_claims` where Entra ID gives
    /// claims, else 401 `invalid_token`.
    Interaction,
    /// Our registration, configuration or request is wrong: 502.
    Misconfigured,
    /// Entra ID throttles the tenant: 503, for all of its users who want the same downstream.
    Throttled,
    /// Entra ID cannot answer for the moment: 503.
    Unavailable,
}

/// Who has to act, so that the next request is served.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Who {
    /// An administrator of the user's tenant.
    Administrator,
    /// The calling application, with or without its user.
    Caller,
    /// Nobody: it passes by itself.
    Nobody,
    /// Whoever runs this service.
    Operator,
    /// The user who has signed in.
    User,
    /// The user where the tenant lets users do so, else its administrator.
    UserOrAdministrator,
}

impl Who {
    /// In words, as `docs/errors.md` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Caller => "caller",
            Self::Nobody => "nobody",
            Self::Operator => "operator",
            Self::User => "user",
            Self::UserOrAdministrator => "user or administrator",
        }
    }
}

/// One code of Entra ID.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Aadsts {
    /// The number behind `AADSTS`.
    pub code: u32,
    /// What it means.
    pub meaning: &'static str,
    /// What the caller gets.
    pub answer: Answer,
    /// Who has to act.
    pub who: Who,
    /// What they do.
    pub remedy: &'static str,
}

impl Aadsts {
    /// What is known about a code.
    ///
    /// ```
    /// use tower_obo::{Aadsts, AadstsAnswer, AadstsWho};
    ///
    /// let known = Aadsts::find(65001).unwrap();
    /// assert_eq!(known.answer, AadstsAnswer::ConsentRequired);
    /// assert_eq!(known.who, AadstsWho::UserOrAdministrator);
    /// assert_eq!(known.remedy, "consent to the API's permissions for the downstream");
    /// assert!(Aadsts::find(1).is_none());
    /// ```
    #[must_use]
    pub fn find(code: u32) -> Option<&'static Self> {
        let at = TABLE.binary_search_by_key(&code, |row| row.code).ok()?;
        Some(&TABLE[at])
    }

    /// Every code that is known, in order.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        TABLE
    }
}

/// A code for which the remedy of its class holds.
const fn row(code: u32, answer: Answer, meaning: &'static str) -> Aadsts {
    let (who, remedy) = match answer {
        AccountRefused => (
            Who::Administrator,
            "assign the user to the application, invite or enable the account",
        ),
        AppOnly => (Who::Caller, "call with a user's token"),
        AssertionRefused => (Who::Caller, "sign in again and send the new token"),
        ConditionalAccess => (
            Who::UserOrAdministrator,
            "use a device or place that the policy allows",
        ),
        ConsentRequired => (Who::UserOrAdministrator, CONSENT),
        CredentialRefused => (
            Who::Operator,
            "renew the certificate or the federated credential",
        ),
        Interaction => (Who::User, "sign in again, with what Entra ID asks for"),
        Misconfigured => (
            Who::Operator,
            "fix the app registration, its secret or the gateway's configuration",
        ),
        Throttled => (
            Who::Nobody,
            "wait as long as Retry-After says, for all users of the tenant",
        ),
        Unavailable => (Who::Nobody, "wait as long as Retry-After says"),
    };
    Aadsts {
        code,
        meaning,
        answer,
        who,
        remedy,
    }
}

impl Aadsts {
    /// Its own remedy in place of that of its class.
    const fn but(self, who: Who, remedy: &'static str) -> Self {
        Self {
            who,
            remedy,
            ..self
        }
    }
}

const CONSENT: &str = "consent to the API's permissions for the downstream";
const REQUEST_CHANGED: &str = "find out what changes requests on their way to Entra ID; if nothing does, report \
                               it as a fault of tower-obo";

use Answer::{
    AccountRefused, AppOnly, AssertionRefused, ConditionalAccess, ConsentRequired,
    CredentialRefused, Interaction, Misconfigured, Throttled, Unavailable,
};

/// In the order of the codes: [`Aadsts::find`] searches it by halves.
static TABLE: &[Aadsts] = &[
    row(
        28002,
        Misconfigured,
        "the scope names more than one resource",
    ),
    row(
        50001,
        Misconfigured,
        "the resource is not known in the tenant",
    ),
    row(
        50013,
        AssertionRefused,
        "the assertion's signature or issuer is not valid",
    ),
    row(
        50014,
        AccountRefused,
        "the user's account does not exist in the tenant",
    ),
    row(
        50020,
        AccountRefused,
        "the user is not a member of the tenant",
    ),
    row(
        50027,
        AssertionRefused,
        "the assertion is not a well-formed JWT",
    ),
    row(
        50034,
        AccountRefused,
        "the user does not exist in the tenant",
    ),
    row(50049, Misconfigured, "the authority instance is not known"),
    row(50057, AccountRefused, "the account is disabled"),
    row(
        50072,
        Interaction,
        "the user has to enrol for multi-factor authentication",
    ),
    row(50074, Interaction, "strong authentication is required"),
    row(
        50076,
        Interaction,
        "multi-factor authentication is required",
    ),
    row(
        50078,
        Interaction,
        "multi-factor authentication has expired",
    ),
    row(
        50079,
        Interaction,
        "the user has to enrol for multi-factor authentication",
    ),
    row(
        50097,
        ConditionalAccess,
        "device authentication is required",
    ),
    row(
        50105,
        AccountRefused,
        "the user is not assigned to the application",
    ),
    row(
        50129,
        ConditionalAccess,
        "the device is not joined to the workplace",
    ),
    row(
        50132,
        AssertionRefused,
        "the session was revoked or the password changed",
    ),
    row(
        50133,
        AssertionRefused,
        "the session was revoked or the password changed",
    ),
    row(
        50166,
        CredentialRefused,
        "the documents of the client assertion's issuer cannot be fetched",
    )
    .but(
        Who::Operator,
        "let Entra ID reach the issuer's OpenID configuration and keys",
    ),
    row(50173, AssertionRefused, "the grant was revoked"),
    row(
        50196,
        Unavailable,
        "Entra ID sees a request loop and throttles it",
    ),
    row(
        51004,
        AccountRefused,
        "the user's account does not exist in the tenant",
    ),
    row(53000, ConditionalAccess, "the device is not compliant"),
    row(53001, ConditionalAccess, "the device is not domain-joined"),
    row(
        53002,
        ConditionalAccess,
        "the application is not an approved one",
    ),
    row(
        53003,
        ConditionalAccess,
        "Conditional Access blocks the token",
    ),
    row(65001, ConsentRequired, "consent has not been given"),
    row(65004, ConsentRequired, "the user declined to consent"),
    row(
        65005,
        Misconfigured,
        "the registration does not list the resource",
    ),
    row(70000, Interaction, "the grant is not valid any more"),
    row(
        70001,
        Misconfigured,
        "the application is not known in the tenant",
    ),
    row(70002, Misconfigured, "the client's credential is not valid"),
    row(70008, Interaction, "the grant has expired"),
    row(70011, Misconfigured, "the scope is not valid"),
    row(
        70021,
        CredentialRefused,
        "no federated credential matches the client assertion",
    ),
    row(
        70025,
        CredentialRefused,
        "the application has no federated credential",
    ),
    row(
        70043,
        Interaction,
        "the sign-in frequency asks for a new sign-in",
    ),
    row(90002, Misconfigured, "the tenant is not known"),
    row(90006, Unavailable, "Entra ID has a passing fault"),
    row(90012, Unavailable, "Entra ID timed out"),
    row(90014, Misconfigured, "a field is missing from the request")
        .but(Who::Operator, REQUEST_CHANGED),
    row(90024, Unavailable, "Entra ID has a passing fault"),
    row(90033, Unavailable, "Entra ID has a passing fault"),
    row(90055, Throttled, "Entra ID throttles the tenant"),
    row(90094, ConsentRequired, "an administrator has to consent").but(Who::Administrator, CONSENT),
    row(90095, ConsentRequired, "an administrator has to consent").but(Who::Administrator, CONSENT),
    row(
        500011,
        Misconfigured,
        "the resource is not known in the tenant",
    ),
    row(
        500131,
        AssertionRefused,
        "the assertion is for another audience",
    )
    .but(
        Who::Operator,
        "accept only audiences of this app registration: a new sign-in ends in the same answer",
    ),
    row(
        500133,
        AssertionRefused,
        "the assertion has expired or is not valid yet",
    ),
    row(
        500207,
        Misconfigured,
        "the account type does not fit the resource",
    ),
    row(
        530032,
        ConditionalAccess,
        "a security policy blocks the token",
    ),
    row(
        530034,
        ConditionalAccess,
        "a security policy blocks the sign-in",
    ),
    row(
        530035,
        ConditionalAccess,
        "security defaults block the token",
    ),
    row(
        650052,
        Misconfigured,
        "the tenant has no access to the resource",
    ),
    row(650056, Misconfigured, "the registration is misconfigured"),
    row(
        650057,
        Misconfigured,
        "the registration does not list the resource",
    ),
    row(
        700011,
        Misconfigured,
        "the application is not known in the tenant",
    ),
    row(
        700016,
        Misconfigured,
        "the application is not known in the tenant",
    ),
    row(
        700022,
        Misconfigured,
        "the scope names more than one resource",
    ),
    row(
        700023,
        Misconfigured,
        "the client assertion is for another application",
    ),
    row(
        700024,
        CredentialRefused,
        "the client assertion is outside of its lifetime",
    ),
    row(
        700025,
        CredentialRefused,
        "the client is public and must not authenticate",
    )
    .but(
        Who::Operator,
        "register the API as a confidential client, or use the registration that is one",
    ),
    row(
        700027,
        CredentialRefused,
        "the client assertion's signature is not valid",
    ),
    row(700030, CredentialRefused, "the certificate is not valid"),
    row(700082, Interaction, "the grant has expired"),
    row(700084, Interaction, "the grant has expired"),
    row(
        700211,
        CredentialRefused,
        "no federated credential has the client assertion's issuer",
    ),
    row(
        700212,
        CredentialRefused,
        "no federated credential has the client assertion's audience",
    ),
    row(
        700213,
        CredentialRefused,
        "no federated credential has the client assertion's subject",
    ),
    row(
        700223,
        CredentialRefused,
        "the tenant allows no federated credentials",
    ),
    row(
        700229,
        CredentialRefused,
        "the federated credential does not match",
    ),
    row(
        700238,
        CredentialRefused,
        "the tenant allows no federated credentials",
    ),
    row(900144, Misconfigured, "a field is missing from the request")
        .but(Who::Operator, REQUEST_CHANGED),
    row(1000502, CredentialRefused, "the certificate has expired"),
    row(7000112, Misconfigured, "the application is disabled"),
    row(7000114, AppOnly, "an app-only token cannot be exchanged"),
    row(7000214, CredentialRefused, "the certificate was revoked"),
    row(7000215, Misconfigured, "the client secret is wrong"),
    row(7000218, Misconfigured, "the client credential is missing"),
    row(7000222, Misconfigured, "the client secret has expired"),
    row(
        7000272,
        CredentialRefused,
        "the client assertion's signing key is not known",
    ),
    row(
        7000274,
        CredentialRefused,
        "the client assertion is not valid",
    ),
    row(
        7000277,
        CredentialRefused,
        "the client assertion is not valid",
    ),
    row(
        7002137,
        CredentialRefused,
        "no federated credential has the client assertion's subject",
    ),
    row(
        7002138,
        CredentialRefused,
        "no federated credential has the client assertion's subject",
    ),
    row(
        9001023,
        Misconfigured,
        "the grant is not supported at this endpoint",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_without_a_code_twice() {
        assert!(TABLE.windows(2).all(|pair| pair[0].code < pair[1].code));
        for row in TABLE {
            assert_eq!(Aadsts::find(row.code), Some(row));
        }
    }
}
