//! What changes while a request waits or runs: a token that was good at its begin is looked at again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use entra_emulator::Endpoint;
use http::{HeaderMap, HeaderName, StatusCode, header::AUTHORIZATION};
use tower::{Layer, ServiceExt};
use tower_obo::{Admitted, Downstream, Event, Observer, Policy, RejectionKind, TokenDefect};

use crate::{
    answer::Answer,
    downstreams::challenge,
    fixture::{World, policy, with_token},
};

fn graph() -> Downstream {
    Downstream::new("graph", ["https://graph.microsoft.com/User.Read"])
}

async fn admitted(world: &World, policy: Policy, token: &str) -> Admitted {
    let answer = world.send_by(policy, with_token(token)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    world.upstream.last().admitted.unwrap()
}

/// A request for two tokens, of which one is there, and what becomes of it when `happens` while it
/// waits for the other.
async fn while_waiting(world: &World, token: &str, happens: impl FnOnce(Admitted)) -> Answer {
    let earlier = admitted(world, policy(), token).await;
    let hold = world.entra.hold(Endpoint::Token);
    let both = policy().downstream_in(graph(), HeaderName::from_static("x-graph-token"));
    let service = world
        .core
        .layer(both)
        .unwrap()
        .layer(world.upstream.clone());
    let answer = tokio::spawn(service.oneshot(with_token(token)));
    hold.arrived(1).await;
    happens(earlier);
    hold.release();
    Answer::of(answer.await.unwrap().unwrap()).await
}

#[tokio::test]
async fn ex_12_a_token_that_is_challenged_while_another_is_waited_for_is_not_sent() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let answer = while_waiting(&world, &token, |earlier| {
        let arm = earlier.first_downstream().unwrap();
        assert!(arm.challenged(&challenge()).is_some());
    });
    let answer = answer.await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    assert_eq!(answer.problem_type(), "insufficient-claims");
    assert_eq!(world.upstream.calls(), 1);
}

#[tokio::test]
async fn ex_13_a_token_that_is_dropped_while_another_is_waited_for_is_asked_for_once_more() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let answer = while_waiting(&world, &token, |earlier| {
        let arm = earlier.first_downstream().unwrap();
        assert!(arm.challenged(&HeaderMap::new()).is_none());
    });
    assert_eq!(answer.await.status, StatusCode::OK);
    let seen = world.upstream.seen();
    assert_ne!(
        seen[0].headers[AUTHORIZATION],
        seen[1].headers[AUTHORIZATION]
    );
    assert_eq!(world.exchanges_asked(), 3);
}

#[tokio::test]
async fn ca_04_a_request_that_outlives_its_token_in_the_wait_is_told_that_it_has_expired() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let answer = while_waiting(&world, &token, |earlier| {
        world.clock.set(earlier.valid_until().unwrap());
    });
    answer.await.has_defect("two", TokenDefect::Expired);
    assert_eq!(world.upstream.calls(), 1);

    // With one downstream alone.
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let until = admitted(&world, Policy::new(access()), &token).await;
    let hold = world.entra.hold(Endpoint::Token);
    let service = world
        .core
        .layer(policy())
        .unwrap()
        .layer(world.upstream.clone());
    let answer = tokio::spawn(service.oneshot(with_token(&token)));
    hold.arrived(1).await;
    world.clock.set(until.valid_until().unwrap());
    hold.release();
    let answer = Answer::of(answer.await.unwrap().unwrap()).await;
    answer.has_defect("one", TokenDefect::Expired);
}

fn access() -> tower_obo::AccessPolicy {
    tower_obo::AccessPolicy::any_scope([entra_emulator::demo::API_SCOPE])
}

/// A handler that got a 401 and asks for the token again must not be given the same one.
#[tokio::test]
async fn ex_12_a_handler_that_asks_again_never_gets_the_token_that_was_challenged() {
    for policy in [policy, || policy().downstream_on_demand(graph())] {
        let world = World::start().await;
        let token = world.entra.user_token("alice");
        let downstreams = admitted(&world, policy(), &token).await.downstreams();
        let arm = downstreams.get("arm").await.unwrap();
        assert!(arm.challenged(&challenge()).is_some());
        let rejection = downstreams.get("arm").await.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::InsufficientClaims);
        assert_eq!(world.exchanges_asked(), 1);
    }
}

#[tokio::test]
async fn ex_13_a_handler_that_asks_again_gets_another_token_than_the_one_that_was_dropped() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let both = || policy().downstream_on_demand(graph());
    let (keeps, keeps_not) = (
        admitted(&world, both(), &token).await.downstreams(),
        admitted(&world, policy(), &token).await.downstreams(),
    );
    let arm = keeps.get("arm").await.unwrap();
    assert_eq!(keeps_not.get("arm").await.unwrap().expose(), arm.expose());
    assert!(arm.challenged(&HeaderMap::new()).is_none());
    // Where the caller's token is not kept, there is nothing to ask with.
    let rejection = keeps_not.get("arm").await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
    let another = keeps.get("arm").await.unwrap();
    assert_ne!(another.expose(), arm.expose());
    let found = keeps_not.get("arm").await.unwrap();
    assert_eq!(found.expose(), another.expose());
    assert_eq!(world.exchanges_asked(), 2);
}

#[tokio::test]
async fn ca_04_a_handler_that_asks_late_gets_no_token_that_has_ended() {
    for policy in [policy, || policy().downstream_on_demand(graph())] {
        let world = World::start().await;
        let token = world.entra.user_token("alice");
        let admitted = admitted(&world, policy(), &token).await;
        world.clock.set(admitted.valid_until().unwrap());
        let rejection = admitted.downstreams().get("arm").await.unwrap_err();
        let expired = RejectionKind::InvalidToken(TokenDefect::Expired);
        assert_eq!(rejection.kind(), expired);
    }
}

#[tokio::test]
async fn ex_12_a_challenge_of_a_downstream_on_demand_can_be_answered_by_an_exchange_too() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let on_demand = policy().downstream_on_demand(graph());
    let admitted = admitted(&world, on_demand, &token).await;
    let (first, request) = (
        admitted.downstreams().get("graph").await.unwrap(),
        with_token(&token),
    );
    let head = tower_obo::Head::from(&request);
    let pending = world
        .core
        .exchange_for_claims(&head, &admitted, &first, &challenge());
    let admitted = pending.unwrap().await.unwrap();
    let second = admitted.downstreams().get("graph").await.unwrap();
    assert_ne!(first.expose(), second.expose());
    assert_eq!(world.exchanges_asked(), 3);

    // Nobody gets it by somebody else's head.
    let request = with_token(&world.entra.user_token("bob"));
    let head = tower_obo::Head::from(&request);
    let pending = world
        .core
        .exchange_for_claims(&head, &admitted, &second, &challenge());
    assert!(pending.is_none());
}

/// Counts the refusals that it is told of.
#[derive(Clone, Debug, Default)]
struct Refusals(Arc<AtomicUsize>);

impl Observer for Refusals {
    fn on(&self, event: &Event<'_>) {
        if let Event::Refused { .. } = event {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test]
async fn an_observer_sees_what_a_handler_is_refused_once() {
    let refusals = Refusals::default();
    let world = World::with(|builder| builder.observer(refusals.clone())).await;
    let token = world.entra.user_token("alice");
    let downstreams = admitted(&world, policy(), &token).await.downstreams();
    let seen = || refusals.0.swap(0, Ordering::SeqCst);
    seen();
    let arm = downstreams.get("arm").await.unwrap();
    assert_eq!(seen(), 0);
    assert!(arm.challenged(&challenge()).is_some());
    assert_eq!(seen(), 1);
    assert!(downstreams.get("arm").await.is_err());
    assert_eq!(seen(), 1);
}
