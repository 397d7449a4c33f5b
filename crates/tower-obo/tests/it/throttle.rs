//! EX-06: Entra ID asks to slow down, or has a fault.

use std::time::Duration;

use entra_emulator::{Endpoint, Fault, demo};
use http::StatusCode;
use serde_json::json;
use tower_obo::{AccessPolicy, Clock, Downstream, Entra, Policy};

use crate::{
    answer::Answer,
    exchange::{failing, failing_times},
    fixture::{World, with_token},
};

#[tokio::test]
async fn ex_06_a_throttle_is_passed_on_and_never_answered_with_a_retry() {
    for (value, seconds) in [
        (Some("17".to_owned()), 17..=17),
        (Some("0".to_owned()), 1..=1),
        (Some("999999".to_owned()), 3600..=3600),
        (Some("-5".to_owned()), 5..=5),
        (Some("soon".to_owned()), 5..=5),
        (None, 5..=5),
        (Some("Fri, 31 Dec 1999 23:59:59 GMT".to_owned()), 1..=1),
        (Some(IN_90_SECONDS.to_owned()), 90..=90),
    ] {
        let world = World::of(Entra::tenants([demo::CONTOSO, demo::FABRIKAM]), |builder| {
            builder
        })
        .await;
        let cached = world.entra.user_token("bob");
        world.accepted("cached", &cached).await;
        let case = format!("{value:?}");
        let mut throttle = Fault::status(429);
        if let Some(mut value) = value {
            if value == IN_90_SECONDS {
                value = date_in(90, &world.clock);
            }
            throttle = throttle.header("retry-after", value);
        }
        let token = world.entra.user_token("alice");
        let answer = failing(&world, &case, &token, throttle).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{case}");
        assert!(answer.challenge().is_none(), "{case}");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(seconds.contains(&wait), "{case}: {wait}");

        // It holds back everybody who shares the limit, and nobody else.
        let asked = world.exchanges_asked();
        let other = world.entra.user_token("frank");
        assert_eq!(world.get(&other).await.status.as_u16(), 503, "{case}");
        world.accepted("cached", &cached).await;
        assert_eq!(world.exchanges_asked(), asked, "{case}");
        world
            .accepted("tenant", &world.entra.user_token("erin"))
            .await;
        world.clock.advance(Duration::from_secs(wait));
        world.accepted("afterwards", &token).await;
    }
}

/// Stands for a date, which depends on when the test runs.
const IN_90_SECONDS: &str = "in 90 seconds";

fn date_in(seconds: u64, clock: &impl Clock) -> String {
    let then = clock.now() + Duration::from_secs(seconds);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(then.as_unix()))
}

#[tokio::test]
async fn ex_06_a_fault_is_tried_again_once_unless_it_says_how_long_to_wait() {
    for status in [408, 500, 502, 503, 504] {
        for (value, times) in [(Some("17"), 1), (None, 2), (Some("garbage"), 2)] {
            let world = World::start().await;
            let token = world.entra.user_token("alice");
            let case = format!("{status} {value:?}");
            let mut down = Fault::status(status);
            if let Some(value) = value {
                down = down.header("retry-after", value);
            }
            let answer = failing_times(&world, &case, &token, down, times).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{case}");
            let expected = if times == 1 { "17" } else { "5" };
            assert_eq!(answer.header("retry-after"), Some(expected), "{case}");
            // Others are not held back by it.
            world.accepted("bob", &world.entra.user_token("bob")).await;
        }
    }
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    world.entra.fail(Endpoint::Token, Fault::status(500), 1);
    world.accepted("the second attempt helps", &token).await;
    assert_eq!(world.exchanges_asked(), 2);
}

/// A loop that is asked for once more is a longer loop. It is one user's; a tenant that is throttled is
/// everybody's of that tenant.
#[tokio::test]
async fn ex_06_a_throttle_without_429_is_not_answered_with_a_retry_either() {
    for (code, of_the_tenant) in [(50196, false), (90055, true)] {
        let world = World::of(Entra::tenants([demo::CONTOSO, demo::FABRIKAM]), |builder| {
            builder
        })
        .await;
        let token = world.entra.user_token("alice");
        let case = code.to_string();
        let body = json!({"error": "temporarily_unavailable", "error_codes": [code]});
        let throttle = Fault::status(400).json(&body);
        let answer = failing(&world, &case, &token, throttle).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{case}");
        assert_eq!(answer.header("retry-after"), Some("5"), "{case}");
        let asked = world.exchanges_asked();
        assert_eq!(world.get(&token).await.status.as_u16(), 503, "{case}");
        let bob = world.entra.user_token("bob");
        let status = world.get(&bob).await.status.as_u16();
        assert_eq!(status, if of_the_tenant { 503 } else { 200 }, "{case}");
        let of_bob = u64::from(!of_the_tenant);
        assert_eq!(world.exchanges_asked(), asked + of_bob, "{case}");
        world
            .accepted("tenant", &world.entra.user_token("erin"))
            .await;
        world.clock.advance(Duration::from_secs(5));
        world.accepted("afterwards", &token).await;
        world.accepted("bob afterwards", &bob).await;
    }
}

/// The limit is one of the tenant, the client and the resource.
#[tokio::test]
async fn ex_06_a_throttle_holds_back_every_scope_of_its_resource_and_no_other_resource() {
    let world = World::start().await;
    let downstream = |scope: &str| {
        let downstream = Downstream::new("downstream", [scope]);
        Policy::new(AccessPolicy::any_scope([demo::API_SCOPE])).downstream(downstream)
    };
    let throttle = Fault::status(429).header("retry-after", "600");
    let token = world.entra.user_token("alice");
    failing(&world, "throttle", &token, throttle).await;
    let asked = world.exchanges_asked();
    for scope in [
        "https://management.azure.com/.default",
        "https://management.azure.com//.default",
        "https://management.core.windows.net//.default",
    ] {
        let answer = world.send_by(downstream(scope), with_token(&token)).await;
        assert_eq!(answer.status.as_u16(), 503, "{scope}");
        assert_eq!(answer.problem_type(), "throttled", "{scope}");
    }
    assert_eq!(world.exchanges_asked(), asked);
    let graph = downstream("https://graph.microsoft.com/User.Read");
    let answer = world.send_by(graph, with_token(&token)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

/// Entra ID knows Graph by several names; its limit is that of the one application.
#[tokio::test]
async fn ex_06_a_throttle_holds_back_a_resource_by_whatever_name() {
    let world = World::start().await;
    let graph = |scope: &str| {
        let downstream = Downstream::new("downstream", [scope]);
        Policy::new(AccessPolicy::any_scope([demo::API_SCOPE])).downstream(downstream)
    };
    let token = world.entra.user_token("alice");
    let throttle = Fault::status(429).header("retry-after", "600");
    world.entra.fail(Endpoint::Token, throttle, 1);
    for scope in [
        "User.Read",
        "https://graph.microsoft.com/Mail.Read",
        "00000003-0000-0000-c000-000000000000/.default",
    ] {
        let answer = world.send_by(graph(scope), with_token(&token)).await;
        assert_eq!(answer.status.as_u16(), 503, "{scope}");
        assert_eq!(answer.problem_type(), "throttled", "{scope}");
    }
    assert_eq!(world.exchanges_asked(), 1);
    world.accepted("another resource", &token).await;
}

/// Who presses reload must not have each request wait for a server in trouble.
#[tokio::test]
async fn ex_06_a_fault_is_not_asked_for_again_before_the_caller_may() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    failing_times(&world, "fault", &token, Fault::status(503), 2).await;
    world.clock.advance(Duration::from_secs(2));
    let answer = world.get(&token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), Some("3"));
    assert_eq!(world.exchanges_asked(), 2);
    world.accepted("bob", &world.entra.user_token("bob")).await;
    world.clock.advance(Duration::from_secs(3));
    world.accepted("afterwards", &token).await;
}

/// Whoever renews a token, or has two apps open, is the same user to a server in trouble.
#[tokio::test]
async fn ex_06_a_fault_holds_back_its_user_with_every_token_and_no_other_user_or_resource() {
    let world = World::start().await;
    let [first, second] = [(); 2].map(|()| world.entra.user_token("alice"));
    let down = Fault::status(503).header("retry-after", "60");
    failing(&world, "fault", &first, down).await;
    let asked = world.exchanges_asked();
    for token in [&first, &second] {
        let answer = world.get(token).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), Some("60"));
    }
    assert_eq!(world.exchanges_asked(), asked);
    world.accepted("bob", &world.entra.user_token("bob")).await;
    let graph = Downstream::new("graph", ["https://graph.microsoft.com/User.Read"]);
    let graph = Policy::new(AccessPolicy::any_scope([demo::API_SCOPE])).downstream(graph);
    let answer = world.send_by(graph, with_token(&second)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    world.clock.advance(Duration::from_secs(60));
    world.accepted("afterwards", &second).await;
}

/// Entra ID locks out and throttles who goes on with a wrong secret.
#[tokio::test]
async fn ex_05_a_secret_that_is_refused_is_presented_once_in_five_seconds_by_all() {
    let world = World::start().await;
    let body = json!({"error": "invalid_client", "error_codes": [7_000_215],
        "correlation_id": "5d0e1c6a-2b1f-4c8e-9c61-0f6a4f1f3a55"});
    let refused = Fault::status(401).json(&body);
    let first = failing(&world, "alice", &world.entra.user_token("alice"), refused).await;
    let bob = world.entra.user_token("bob");
    let answer = world.get(&bob).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.problem()["aadsts"], "AADSTS7000215");
    let id = |answer: &Answer| answer.problem()["correlation_id"].clone();
    assert_ne!(id(&answer), id(&first), "it is that of another's exchange");
    assert_eq!(world.exchanges_asked(), 1);
    world.clock.advance(Duration::from_secs(5));
    world.accepted("once it is mended", &bob).await;
}
