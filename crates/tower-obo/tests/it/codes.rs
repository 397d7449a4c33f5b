//! Each AADSTS code of the table, as a caller sees it: where the emulator refuses of its own accord
//! what Entra ID refuses with that code, by its own answer; the others by an answer with that code.

use entra_emulator::{Endpoint, Fault, demo, directory::Mfa};
use http::StatusCode;
use serde_json::json;
use tower_obo::{Aadsts, AadstsAnswer as A, AccessPolicy, Credential, Downstream, Entra, Policy};

use crate::{
    answer::Answer,
    fixture::{World, policy, with_token},
    forge::{self, Attacker},
};

/// What the emulator does of its own accord.
const OWN: [u32; 15] = [
    50013, 50034, 50057, 50076, 50079, 50173, 65001, 70011, 90002, 500_011, 500_131, 500_133,
    700_016, 700_025, 7_000_215,
];

/// The table once more, so that a row that is wrong there does not go unseen.
const EXPECTED: [(A, &[u32]); 10] = [
    (
        A::AccountRefused,
        &[50014, 50020, 50034, 50057, 50105, 51004],
    ),
    (A::AppOnly, &[7_000_114]),
    (
        A::AssertionRefused,
        &[50013, 50027, 50132, 50133, 50173, 500_131, 500_133],
    ),
    (
        A::ConditionalAccess,
        &[
            50097, 50129, 53000, 53001, 53002, 53003, 530_032, 530_034, 530_035,
        ],
    ),
    (A::ConsentRequired, &[65001, 65004, 90094, 90095]),
    (
        A::CredentialRefused,
        &[
            50166, 70021, 70025, 700_024, 700_025, 700_027, 700_030, 700_211, 700_212, 700_213,
            700_223, 700_229, 700_238, 1_000_502, 7_000_214, 7_000_272, 7_000_274, 7_000_277,
            7_002_137, 7_002_138,
        ],
    ),
    (
        A::Interaction,
        &[
            50072, 50074, 50076, 50078, 50079, 70000, 70008, 70043, 700_082, 700_084,
        ],
    ),
    (
        A::Misconfigured,
        &[
            28002, 50001, 50049, 65005, 70001, 70002, 70011, 90002, 90014, 500_011, 500_207,
            650_052, 650_056, 650_057, 700_011, 700_016, 700_022, 700_023, 900_144, 7_000_112,
            7_000_215, 7_000_218, 7_000_222, 9_001_023,
        ],
    ),
    (A::Throttled, &[90055]),
    (A::Unavailable, &[50196, 90006, 90012, 90024, 90033]),
];

fn expected(code: u32) -> A {
    let row = EXPECTED.iter().find(|(_, codes)| codes.contains(&code));
    row.unwrap_or_else(|| panic!("{code} has no expectation")).0
}

const UNKNOWN: &str = "77777777-7777-4777-8777-777777777777";

/// Makes the emulator refuse an exchange with that code.
async fn provoked(code: u32) -> Answer {
    let world = match code {
        90002 | 50034 => World::of(Entra::any_tenant(), |builder| builder).await,
        500_131 => World::with(|builder| builder.audience("api://another")).await,
        700_016 => {
            let builder = |builder: tower_obo::CoreBuilder| {
                builder
                    .client(UNKNOWN, Credential::secret("s"))
                    .audience(demo::API_CLIENT_ID)
            };
            World::with(builder).await
        }
        7_000_215 => {
            let secret = Credential::secret("wrong");
            World::with(|builder| builder.client(demo::API_CLIENT_ID, secret)).await
        }
        _ => World::start().await,
    };
    let entra = &world.entra;
    let mfa = |mfa: Mfa| {
        entra.update_directory(|directory| directory.user_mut("alice").unwrap().mfa = mfa);
    };
    let mut policy = policy();
    let downstream = |scope: &str| {
        Policy::new(AccessPolicy::any_scope([demo::API_SCOPE]))
            .downstream(Downstream::new("other", [scope]))
    };
    let token = match code {
        50013 => {
            // A key that the service trusts, and that the emulator does not know any more.
            let signer = Attacker::new();
            let mut keys = entra.jwks(None);
            let mut key = signer.jwk("gone");
            key["issuer"] = keys["keys"][0]["issuer"].clone();
            keys["keys"].as_array_mut().unwrap().push(key);
            entra.set_jwks(keys);
            entra.grant_consent("alice");
            let header = json!({"typ": "JWT", "alg": "RS256", "kid": "gone"});
            signer.sign(&header, &forge::payload(entra))
        }
        50034 => entra.token().tenant(demo::FABRIKAM).sign(),
        90002 => entra.token().tenant(UNKNOWN).sign(),
        500_131 => entra.token().claim("aud", "api://another").sign(),
        // Within the leeway that the service has, and Entra ID has not.
        500_133 => entra.token().expires_in(-30).sign(),
        65001 => entra.user_token_without_consent("alice"),
        _ => entra.user_token("alice"),
    };
    match code {
        50057 => entra.update_directory(|directory| {
            directory.user_mut("alice").unwrap().disabled = true;
        }),
        50076 => mfa(Mfa::Required),
        50079 => mfa(Mfa::NotEnrolled),
        50173 => entra.revoke_sessions("alice"),
        70011 => policy = downstream("no scope at all"),
        500_011 => policy = downstream("https://unknown.example/.default"),
        700_025 => entra.update_directory(|directory| {
            let api = directory.application_mut(demo::API_CLIENT_ID).unwrap();
            api.secrets.clear();
        }),
        _ => {}
    }
    world.send_by(policy, with_token(&token)).await
}

#[tokio::test]
async fn codes_that_the_emulator_gives_itself_are_answered_as_the_table_says() {
    for code in OWN {
        let answer = provoked(code).await;
        answered(code, &answer);
    }
}

#[test]
fn every_code_that_is_expected_is_in_the_table() {
    let expected: usize = EXPECTED.iter().map(|(_, codes)| codes.len()).sum();
    assert_eq!(Aadsts::all().len(), expected);
}

#[tokio::test]
async fn every_other_code_is_answered_as_the_table_says() {
    let world = World::start().await;
    for row in Aadsts::all() {
        if OWN.contains(&row.code) {
            continue;
        }
        // The names are Entra ID's.
        let (status, error) = match row.answer {
            A::AppOnly => (400, "unauthorized_client"),
            A::ConditionalAccess | A::Interaction => (400, "interaction_required"),
            A::CredentialRefused => (401, "invalid_client"),
            A::Misconfigured if row.code > 7_000_000 => (401, "invalid_client"),
            A::Misconfigured => (400, "invalid_request"),
            A::Throttled | A::Unavailable => (400, "temporarily_unavailable"),
            _ => (400, "invalid_grant"),
        };
        let body = json!({
            "error": error, "error_codes": [row.code], "suberror": "basic_action",
            "error_description": format!("AADSTS{}: for the operator alone", row.code),
            "correlation_id": UNKNOWN, "trace_id": UNKNOWN,
        });
        let token = world.entra.user_token("alice");
        let fault = Fault::status(status).json(&body);
        world.entra.fail(Endpoint::Token, fault, 2);
        let answer = world.get(&token).await;
        world.entra.clear_faults();
        // What is said of a tenant stands for a while, for every token of it.
        world.clock.advance(std::time::Duration::from_secs(5));
        answered(row.code, &answer);
        answer.does_not_hold("operator alone", error);
        let problem = answer.problem();
        assert_eq!(problem["error"], error);
        assert_eq!(problem["correlation_id"], UNKNOWN);
        assert_eq!(problem["trace_id"], UNKNOWN);
    }
}

/// It has the status, the challenge (read by a parser of somebody else) and the problem document of
/// the code's row.
fn answered(code: u32, answer: &Answer) {
    let case = format!("AADSTS{code}: {}", answer.body);
    answer.is_a_refusal(&case);
    let with_claims = answer.rejection.as_ref().unwrap().claims().is_some();
    let (status, kind, error) = match expected(code) {
        A::AccountRefused => (403, "account-refused", None),
        A::AppOnly => (403, "app-only-not-allowed", Some("insufficient_scope")),
        A::AssertionRefused => (401, "assertion-refused", Some("invalid_token")),
        A::ConditionalAccess | A::Interaction if with_claims => {
            (401, "insufficient-claims", Some("insufficient_claims"))
        }
        A::ConditionalAccess => (403, "conditional-access", None),
        A::ConsentRequired => (403, "consent-required", None),
        A::CredentialRefused | A::Misconfigured => (502, "gateway-misconfigured", None),
        A::Interaction => (401, "interaction-required", Some("invalid_token")),
        A::Throttled => (503, "throttled", None),
        A::Unavailable => (503, "identity-provider-unavailable", None),
        other => panic!("{other:?} has no expectation"),
    };
    assert_eq!(answer.status.as_u16(), status, "{case}");
    assert_eq!(answer.problem_type(), kind, "{case}");
    let challenge = answer.challenge();
    let found = challenge.as_ref().map(|challenge| challenge.get("error"));
    assert_eq!(found, error.map(Some), "{case}");
    assert_eq!(
        challenge.is_some_and(|challenge| challenge.get("claims").is_some()),
        with_claims,
        "{case}"
    );
    let waits = answer.header("retry-after").is_some();
    assert_eq!(
        waits,
        answer.status == StatusCode::SERVICE_UNAVAILABLE,
        "{case}"
    );
    let problem = answer.problem();
    assert_eq!(problem["aadsts"], format!("AADSTS{code}"));
    for member in [
        "title",
        "detail",
        "actor",
        "error",
        "correlation_id",
        "trace_id",
    ] {
        assert!(!problem[member].as_str().unwrap().is_empty(), "{case}");
    }
}
