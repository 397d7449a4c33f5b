//! What to do about a refusal, for whoever runs the gateway.

use tower_obo::{Aadsts, AadstsAnswer, ExchangeError, ExchangeErrorKind};

/// Whether a code says that the client is not known, or its proof is no good: it would come for
/// every API.
pub(super) fn is_of_client(code: Option<u32>) -> bool {
    let Some(code) = code else {
        return false;
    };
    let of_credential =
        Aadsts::find(code).is_some_and(|known| known.answer == AadstsAnswer::CredentialRefused);
    of_credential
        || matches!(
            code,
            70001
                | 70002
                | 90002
                | 700_011
                | 700_016
                | 700_021
                | 700_023
                | 7_000_112
                | 7_000_215
                | 7_000_218
                | 7_000_222
        )
}

/// What to do about a code; `None`: nothing in particular.
pub(super) const fn of_code(code: u32) -> Option<&'static str> {
    Some(match code {
        90002 => {
            "compare `entra.tenant` with the tenant's GUID (Entra admin center, Overview); a tenant is in one cloud alone, which `entra.authority` names"
        }
        70001 | 700_011 | 700_016 => {
            "`entra.client_id` must be the application (client) ID of the app registration, and `entra.tenant` its tenant; in another tenant an administrator has to consent to the application first"
        }
        7_000_215 => {
            "give the secret's value, which is shown once when it is made, and not its ID; in doubt make another (App registrations, Certificates & secrets)"
        }
        7_000_222 => {
            "make another secret (App registrations, Certificates & secrets) and put it in the old one's place"
        }
        7_000_112 => "let an administrator enable the application (Enterprise applications)",
        700_025 => {
            "the app registration must not be a public client (Authentication, Allow public client flows)"
        }
        700_024 => "compare this machine's clock with the time",
        700_027 | 700_030 | 1_000_502 | 7_000_214 => {
            "upload the certificate that is in the file, without its key, to the app registration (Certificates & secrets); one that has expired or was revoked needs a successor"
        }
        70021 | 70025 | 700_211..=700_213 | 700_229 | 7_000_272 | 7_002_137 | 7_002_138 => {
            "compare the federated credential of the app registration with the token: issuer, subject and audience must be the same to the letter"
        }
        50166 => {
            "the token's issuer (`iss`) must answer Entra ID from outside, over https, with its OpenID configuration and the keys that this names"
        }
        700_223 | 700_238 => "the tenant's policy must allow federated credentials",
        65001 | 65004 | 90094 | 90095 => {
            "let an administrator consent for everybody (App registrations, API permissions, Grant admin consent), or the user at the next sign-in"
        }
        65005 | 650_056 | 650_057 => {
            "add the API to the app registration (API permissions), and consent to it"
        }
        50001 | 500_011 | 650_052 => {
            "what stands before the last `/` of the scope must be the API's Application ID URI or client id, and the API must be in the tenant (Enterprise applications)"
        }
        28002 | 70011 | 700_022 => "compare the scope with those that the API exposes",
        501_051 => {
            "give the application a role of the API (API permissions, Application permissions, and admin consent)"
        }
        50105 => "assign the user to the application (Enterprise applications, Users and groups)",
        50013 | 50027 | 500_131 | 500_133 => {
            "give a fresh access token whose audience is this API, `entra.client_id`"
        }
        _ => return None,
    })
}

pub(super) fn of_error(error: &ExchangeError) -> Option<String> {
    use ExchangeErrorKind as K;
    if error.credential_problem().is_some() {
        let advice = "put what is wanted in place, or name another credential; nothing was asked";
        return Some(advice.to_owned());
    }
    // Of a caller's token it is another kind.
    if error.aadsts() == Some(50027) && error.kind() == K::Misconfigured {
        let advice = "the client assertion is no JWT: look at what gives it";
        return Some(advice.to_owned());
    }
    if let Some(advice) = error.aadsts().and_then(of_code) {
        return Some(advice.to_owned());
    }
    let advice = match error.kind() {
        K::Timeout | K::Unavailable => {
            "see that this machine reaches the token endpoint, and try again"
        }
        K::UntrustedServer => {
            "name the authority of its certificate (`entra.ca_file`), or find out who answers in its place"
        }
        K::Throttled => "wait a few minutes and try again",
        K::ConsentRequired => return of_code(65001).map(str::to_owned),
        K::InsufficientClaims | K::InteractionRequired | K::ConditionalAccess => {
            "this user has to satisfy a policy first, and the gateway tells callers so; check with the token of a user who has, or look at the sign-in log"
        }
        K::AssertionRefused => return of_code(50013).map(str::to_owned),
        _ => match error.aadsts() {
            Some(code) => {
                let remedy = Aadsts::find(code).map_or("look the code up", |known| known.remedy);
                return Some(format!(
                    "{remedy}: https://login.microsoftonline.com/error?code={code}"
                ));
            }
            None if error.oauth_error() == Some("invalid_client") => {
                "compare client id and credential with those that the provider has, and how it wants them (`oidc.secret_in_header`)"
            }
            None => return None,
        },
    };
    Some(advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_operator_can_mend_has_an_advice() {
        for known in Aadsts::all() {
            let is_ours = matches!(
                known.answer,
                AadstsAnswer::CredentialRefused | AadstsAnswer::ConsentRequired
            );
            assert!(
                !is_ours || of_code(known.code).is_some() || is_general(known.code),
                "AADSTS{}",
                known.code
            );
        }
    }

    /// Codes for which there is nothing to say beyond what they mean.
    fn is_general(code: u32) -> bool {
        matches!(code, 7_000_274 | 7_000_277)
    }

    #[test]
    fn a_code_without_an_advice_can_be_looked_up() {
        let error = ExchangeError::new(ExchangeErrorKind::Misconfigured, "no").with_aadsts(123_456);
        let advice = of_error(&error).unwrap();
        assert!(advice.ends_with("?code=123456"), "{advice}");
    }
}
