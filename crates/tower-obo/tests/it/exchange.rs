//! EX-01 … EX-05: what Entra ID's errors become for the caller.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use entra_emulator::{Endpoint, Fault, demo};
use http::StatusCode;
use serde_json::{Value, json};
use tower_obo::Clock;

use crate::{answer::Answer, fixture::World};

const PROSE: &str = "AADSTS: an operator's text with secret-hint-1234";
const CORRELATION: &str = "5d0e1c6a-2b1f-4c8e-9c61-0f6a4f1f3a55";

fn error(name: &str, code: u32) -> Value {
    json!({
        "error": name,
        "error_description": PROSE,
        "error_codes": [code],
        "timestamp": "2026-01-01 00:00:00Z",
        "trace_id": "1a2b3c4d-0000-4000-8000-000000000000",
        "correlation_id": CORRELATION,
        "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
    })
}

fn fault(status: u16, body: &Value) -> Fault {
    Fault::status(status).json(body)
}

/// The exchange fails like this, once; the service behind is not reached.
pub(crate) async fn failing(world: &World, case: &str, token: &str, fault: Fault) -> Answer {
    failing_times(world, case, token, fault, 1).await
}

pub(crate) async fn failing_times(
    world: &World,
    case: &str,
    token: &str,
    fault: Fault,
    times: u64,
) -> Answer {
    let (calls, asked) = (world.upstream.calls(), world.exchanges_asked());
    let faults = usize::try_from(times).unwrap();
    world.entra.fail(Endpoint::Token, fault, faults);
    let answer = world.get(token).await;
    assert_eq!(world.upstream.calls(), calls, "{case}");
    assert_eq!(world.exchanges_asked(), asked + times, "{case}");
    answer.is_a_refusal(case);
    for secret in [token, demo::API_CLIENT_SECRET, PROSE, "secret-hint"] {
        answer.does_not_hold(secret, case);
    }
    answer
}

/// Whether the refusal is remembered for thirty seconds and no longer.
async fn is_remembered_for_thirty_seconds(world: &World, token: &str) {
    let (asked, status) = (world.exchanges_asked(), world.get(token).await.status);
    assert!(status.is_client_error());
    world.clock.advance(Duration::from_secs(29));
    assert_eq!(world.get(token).await.status, status);
    assert_eq!(world.exchanges_asked(), asked, "asked again too soon");
    // Another token of the same user is another matter.
    world
        .accepted("new token", &world.entra.user_token("alice"))
        .await;
    world.clock.advance(Duration::from_secs(1));
    world.accepted("once it is done", token).await;
    assert_eq!(world.exchanges_asked(), asked + 2);
}

#[tokio::test]
async fn ex_01_a_claims_challenge_reaches_the_caller() {
    let claims = r#"{"access_token":{"capolids":{"essential":true,"values":["c1?>~ü"]}}}"#;
    for (name, code) in [
        ("interaction_required", 50079),
        ("invalid_grant", 50076),
        ("interaction_required", 53003),
        ("interaction_required", 1),
    ] {
        let world = World::start().await;
        let token = world.entra.user_token("alice");
        let mut body = error(name, code);
        body["claims"] = claims.into();
        body["suberror"] = "basic_action".into();
        let case = format!("{name} {code}");
        let answer = failing(&world, &case, &token, fault(400, &body)).await;

        let params = ["authorization_uri", "claims", "error"];
        let challenge = answer.challenges(&case, 401, &params);
        assert_eq!(challenge.get("error"), Some("insufficient_claims"));
        let sent = challenge.get("claims").unwrap();
        assert_eq!(sent, STANDARD.encode(claims));
        let uri = challenge.get("authorization_uri").unwrap();
        let tenant = demo::CONTOSO;
        let expected = format!("{}/{tenant}/oauth2/v2.0/authorize", world.entra.url());
        assert_eq!(uri, expected);
        let problem = answer.problem();
        assert_eq!(problem["error"], name);
        assert_eq!(problem["suberror"], "basic_action");
        assert_eq!(problem["aadsts"], format!("AADSTS{code}"));
        assert_eq!(problem["correlation_id"], CORRELATION);
        is_remembered_for_thirty_seconds(&world, &token).await;
    }
}

/// Nobody's header takes them, and they would be remembered.
#[tokio::test]
async fn ex_01_claims_of_any_length_are_not_passed_on() {
    let world = World::start().await;
    let mut body = error("interaction_required", 50076);
    for (length, kind) in [
        (8 * 1024, "insufficient_claims"),
        (8 * 1024 + 1, "invalid_token"),
    ] {
        let token = world.entra.token().sign();
        body["claims"] = format!("{{\"x\":\"{}\"}}", "y".repeat(length - 8)).into();
        assert_eq!(body["claims"].as_str().unwrap().len(), length);
        let case = length.to_string();
        let answer = failing(&world, &case, &token, fault(400, &body)).await;
        assert_eq!(
            answer.challenge().unwrap().get("error"),
            Some(kind),
            "{case}"
        );
        let line = answer.header("www-authenticate").unwrap().len();
        assert!(line < 12 * 1024, "{case}: {line}");
    }
}

#[tokio::test]
async fn ex_01_the_emulators_own_challenge_is_one() {
    let world = World::start().await;
    let token = world.entra.user_token("carol");
    let answer = world.get(&token).await;
    let params = ["authorization_uri", "claims", "error"];
    let challenge = answer.challenges("carol", 401, &params);
    let claims = STANDARD.decode(challenge.get("claims").unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert!(claims["access_token"].is_object(), "{claims}");
}

#[tokio::test]
async fn ex_02_an_interaction_without_claims_asks_for_a_new_sign_in() {
    let world = World::start().await;
    for name in ["interaction_required", "invalid_grant"] {
        for code in 50072..=50079 {
            for claims in [None, Some(json!("")), Some(json!(null)), Some(json!({}))] {
                let token = world.entra.user_token("alice");
                let mut body = error(name, code);
                if let Some(claims) = claims {
                    body["claims"] = claims;
                }
                let case = format!("{name} {code}");
                let answer = failing(&world, &case, &token, fault(400, &body)).await;
                answer.is_invalid_token(&case);
                assert_eq!(answer.problem_type(), "interaction-required", "{case}");
            }
        }
    }
    let token = world.entra.user_token("alice");
    let body = error("interaction_required", 50076);
    failing(&world, "remembered", &token, fault(400, &body)).await;
    is_remembered_for_thirty_seconds(&world, &token).await;
}

#[tokio::test]
async fn ex_02_a_block_without_claims_is_final() {
    let world = World::start().await;
    for code in [
        50097, 50129, 53000, 53001, 53002, 53003, 53004, 53009, 53010, 53011, 530_032, 530_034,
        530_035,
    ] {
        for name in ["interaction_required", "invalid_grant"] {
            let case = format!("{name} {code}");
            let token = world.entra.user_token("alice");
            let body = error(name, code);
            let answer = failing(&world, &case, &token, fault(400, &body)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}");
            assert_eq!(answer.problem_type(), "conditional-access", "{case}");
            assert!(answer.challenge().is_none(), "{case}");
        }
    }
    let token = world.entra.user_token("alice");
    let body = error("interaction_required", 53003);
    failing(&world, "remembered", &token, fault(400, &body)).await;
    is_remembered_for_thirty_seconds(&world, &token).await;
}

#[tokio::test]
async fn ex_03_missing_consent_names_what_has_to_be_consented_to() {
    let world = World::start().await;
    let scope = "https://management.azure.com/user_impersonation";
    for (code, name) in [
        (65001, "invalid_grant"),
        (90094, "invalid_grant"),
        (65001, "interaction_required"),
        (65004, "invalid_grant"),
        (1, "consent_required"),
    ] {
        let token = world.entra.user_token("alice");
        let case = format!("{name} {code}");
        let body = error(name, code);
        let answer = failing(&world, &case, &token, fault(400, &body)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}");
        assert_eq!(answer.problem_type(), "consent-required", "{case}");
        assert_eq!(answer.problem()["scope"], scope, "{case}");
    }
    let token = world.entra.user_token_without_consent("alice");
    let answer = world.get(&token).await;
    assert_eq!(answer.problem_type(), "consent-required");
    is_remembered_for_thirty_seconds(&world, &token).await;
}

#[tokio::test]
async fn ex_04_an_assertion_that_is_refused_is_an_invalid_token() {
    let world = World::start().await;
    for code in [50013, 500_133, 50173, 50132, 50133, 50027, 500_131] {
        let token = world.entra.user_token("alice");
        let case = code.to_string();
        let body = error("invalid_grant", code);
        let answer = failing(&world, &case, &token, fault(400, &body)).await;
        answer.is_invalid_token(&case);
        assert_eq!(answer.problem()["aadsts"], format!("AADSTS{code}"));
    }
    // One that Entra ID has revoked costs an exchange every half a minute, not one a request.
    let token = world.entra.user_token("alice");
    let body = error("invalid_grant", 50173);
    failing(&world, "remembered", &token, fault(400, &body)).await;
    is_remembered_for_thirty_seconds(&world, &token).await;
}

#[tokio::test]
async fn ex_04_a_users_other_tokens_are_not_refused_with_one() {
    let world = World::start().await;
    let (old, new) = (
        world.entra.user_token("alice"),
        world.entra.user_token("alice"),
    );
    let body = error("invalid_grant", 50173);
    failing(&world, "the old one", &old, fault(400, &body)).await;
    world.accepted("the new one", &new).await;
}

/// A token in the last part of its life would still serve while Entra ID cannot answer, but not
/// once it has said that the assertion is no good.
#[tokio::test]
async fn ex_04_a_refused_assertion_loses_its_cached_token() {
    let world = World::start().await;
    let token = world.entra.token().expires_in(100_000).sign();
    world.entra.grant_consent("alice");
    world.accepted("first", &token).await;
    let arm = world.upstream.last().admitted.unwrap();
    let expires = arm.first_downstream().unwrap().expires_at();
    world
        .clock
        .set(expires.saturating_sub(Duration::from_secs(120)));

    let fault_503 = Fault::status(503).header("retry-after", "1");
    world.entra.fail(Endpoint::Token, fault_503.clone(), 1);
    world.accepted("while Entra ID is down", &token).await;
    // It serves for half a minute before Entra ID is asked again.
    world.clock.advance(Duration::from_secs(30));
    let body = error("invalid_grant", 50173);
    let answer = failing(&world, "revoked", &token, fault(400, &body)).await;
    answer.is_invalid_token("revoked");
    world.clock.advance(Duration::from_secs(30));
    let answer = failing(&world, "and down", &token, fault_503).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(world.clock.now() < expires);
}

#[tokio::test]
async fn ex_05_our_own_credential_is_our_own_affair() {
    let world = World::start().await;
    // Those of a client assertion are tried once more, with the credential read again.
    for (code, times) in [
        (7_000_215, 1),
        (7_000_222, 1),
        (7_000_218, 1),
        (700_016, 1),
        (50001, 1),
        (70011, 1),
        (1, 1),
        (700_027, 2),
        (700_024, 2),
        (7_000_274, 2),
    ] {
        let token = world.entra.user_token("alice");
        let case = code.to_string();
        let body = error("invalid_client", code);
        let answer = failing_times(&world, &case, &token, fault(401, &body), times).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{case}");
        assert_eq!(answer.problem_type(), "gateway-misconfigured", "{case}");
        assert_eq!(answer.problem()["actor"], "gateway", "{case}");
        assert!(answer.challenge().is_none(), "{case}");
        // Nobody asks meanwhile.
        world.clock.advance(Duration::from_secs(5));
    }
}
