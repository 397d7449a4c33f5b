//! What changes while a request waits or runs: a token that was good at its begin is looked at again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use entra_emulator::{Endpoint, Fault};
use http::{HeaderMap, HeaderName, StatusCode, header::AUTHORIZATION};
use tower::{Layer, ServiceExt};
use tower_obo::{
    Admitted, Downstream, Event, ExchangeRequest, Exchanging, Observer, Policy, RejectionKind,
    Secret, TokenDefect, TokenExchange, TokenResponse,
};

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

/// Where there is nothing to ask with, what is told is what whoever asks with the next request is told.
#[tokio::test]
async fn ex_13_who_gets_no_other_token_is_told_how_long_the_server_is_to_be_left_alone() {
    for (status, kind) in [
        (429, RejectionKind::Throttled),
        (503, RejectionKind::IdentityProviderUnavailable),
    ] {
        let world = World::start().await;
        let alice = world.entra.user_token("alice");
        let downstreams = admitted(&world, policy(), &alice).await.downstreams();
        let arm = downstreams.get("arm").await.unwrap();
        assert!(arm.challenged(&HeaderMap::new()).is_none());
        // Another of her tokens meets the fault, which stands for this one, too.
        let fault = Fault::status(status).header("retry-after", "90");
        world.entra.fail(Endpoint::Token, fault, 1);
        let another = world.entra.token().claim("number", 1).sign();
        let refused = world.get(&another).await;
        assert_eq!(refused.header("retry-after"), Some("90"), "{status}");
        world.clock.advance(Duration::from_secs(20));
        let rejection = downstreams.get("arm").await.unwrap_err();
        assert_eq!(rejection.kind(), kind, "{status}");
        assert_eq!(rejection.headers()["retry-after"], "70", "{status}");
    }
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
    let pending = world.core.exchange_for_claims(
        &head,
        &admitted,
        std::slice::from_ref(&first),
        &challenge(),
    );
    let admitted = pending.unwrap().await.unwrap();
    let second = admitted.downstreams().get("graph").await.unwrap();
    assert_ne!(first.expose(), second.expose());
    assert_eq!(world.exchanges_asked(), 3);

    // Nobody gets it by somebody else's head.
    let request = with_token(&world.entra.user_token("bob"));
    let head = tower_obo::Head::from(&request);
    let pending = world
        .core
        .exchange_for_claims(&head, &admitted, &[second], &challenge());
    assert!(pending.is_none());
}

/// Gives a user one token, whichever token of theirs it is asked with.
#[derive(Debug)]
struct Keeping;

impl TokenExchange for Keeping {
    fn exchange(&self, _: ExchangeRequest) -> Exchanging {
        let token = Secret::from("the same");
        let token = TokenResponse::new(token, Duration::from_secs(3_600));
        Box::pin(async { Ok(token) })
    }
}

/// Every one of the user's tokens is kept with its own copy of it.
#[tokio::test]
async fn ex_12_a_challenged_token_is_not_sent_for_the_users_other_token_either() {
    let world = World::with(|core| core.with_exchange(Keeping)).await;
    let tokens = [1, 2].map(|_| world.entra.user_token("alice"));
    for token in &tokens {
        admitted(&world, policy(), token).await;
    }
    let both = world.upstream.calls();
    let arm = admitted(&world, policy(), &tokens[0]).await;
    let arm = arm.first_downstream().unwrap();
    assert!(arm.challenged(&challenge()).is_some());
    for token in &tokens {
        let answer = world.send_by(policy(), with_token(token)).await;
        assert_eq!(
            answer.problem_type(),
            "insufficient-claims",
            "{}",
            answer.body
        );
    }
    assert_eq!(world.upstream.calls(), both + 1);
}

/// The application's own token is none that claims are asked for with, nor a handler's that was not sent.
#[tokio::test]
async fn ex_12_what_was_not_sent_is_not_dropped_and_the_applications_own_is_not_challenged() {
    let own = Downstream::client_credentials("own", ["https://graph.microsoft.com/.default"]);
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let own = || policy().downstream_in(own.clone(), HeaderName::from_static("x-own"));
    let policy = || own().downstream_for_handler(graph());
    let first = admitted(&world, policy(), &token).await;
    let sent: Vec<_> = first.sent_tokens().collect();
    let names: Vec<_> = sent.iter().map(tower_obo::DownstreamToken::name).collect();
    assert_eq!(names, ["arm", "own"]);
    let (request, answer) = (with_token(&token), challenge());
    let head = tower_obo::Head::from(&request);
    let exchange = world
        .core
        .exchange_for_claims(&head, &first, &sent, &answer);
    let again = exchange.unwrap().await.unwrap();
    let text = |admitted: &Admitted, name| admitted.downstream(name).unwrap().expose().to_owned();
    assert_ne!(text(&again, "arm"), text(&first, "arm"));
    assert_eq!(text(&again, "own"), text(&first, "own"));
    assert_eq!(text(&again, "graph"), text(&first, "graph"));

    let rejection = again.challenged(&answer).unwrap();
    assert_eq!(rejection.kind(), RejectionKind::InsufficientClaims);
    // One of alice's other tokens finds the application's anew.
    let other = world.entra.user_token("alice");
    let second = admitted(&world, policy(), &other).await;
    assert_ne!(text(&second, "own"), text(&first, "own"));
    // Where there is only that, it is a fault of ours.
    let alone = Policy::new(access()).downstream_in(
        Downstream::client_credentials("own", ["https://graph.microsoft.com/.default"]),
        HeaderName::from_static("x-own"),
    );
    let alone = admitted(&world, alone, &other).await;
    let rejection = alone.challenged(&answer).unwrap();
    assert_eq!(rejection.kind(), RejectionKind::Misconfigured);
    assert!(alone.challenged(&HeaderMap::new()).is_none());
}

/// What becomes of a second attempt whose exchange took a while, in which something `happens` to the
/// other token of the request.
async fn while_claims_are_exchanged(
    happens: impl FnOnce(&World, &Admitted),
) -> Result<[String; 2], RejectionKind> {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let both = policy().downstream_in(graph(), HeaderName::from_static("x-graph-token"));
    let admitted = admitted(&world, both, &token).await;
    let (arm, request) = (admitted.first_downstream().unwrap(), with_token(&token));
    let head = tower_obo::Head::from(&request);
    let pending = (world.core)
        .exchange_for_claims(&head, &admitted, std::slice::from_ref(&arm), &challenge())
        .unwrap();
    let hold = world.entra.hold(Endpoint::Token);
    let pending = tokio::spawn(pending);
    hold.arrived(1).await;
    happens(&world, &admitted);
    hold.release();
    let again = pending
        .await
        .unwrap()
        .map_err(|rejection| rejection.kind())?;
    let mut headers = HeaderMap::new();
    again.apply(&mut headers);
    let sent = |name: HeaderName| headers[name].to_str().unwrap().to_owned();
    let sent = [
        sent(AUTHORIZATION),
        sent(HeaderName::from_static("x-graph-token")),
    ];
    assert_ne!(sent[0], arm.header().to_str().unwrap());
    Ok(sent)
}

fn graph_token(admitted: &Admitted) -> tower_obo::DownstreamToken {
    let tokens = admitted.sets().map(|(_, token)| token);
    let mut both: Vec<_> = tokens.collect();
    let header = both.pop().unwrap();
    let graph = admitted.downstream("graph").unwrap();
    assert_eq!(graph.header(), header);
    graph
}

#[tokio::test]
async fn ex_12_a_second_attempt_takes_no_token_that_was_challenged_meanwhile() {
    let refused = while_claims_are_exchanged(|_, admitted| {
        let graph = graph_token(admitted);
        assert!(graph.challenged(&challenge()).is_some());
    });
    let kind = refused.await.unwrap_err();
    assert_eq!(kind, RejectionKind::InsufficientClaims);
}

#[tokio::test]
async fn ex_13_a_second_attempt_takes_no_token_that_was_dropped_meanwhile() {
    let mut dropped = String::new();
    let sent = while_claims_are_exchanged(|_, admitted| {
        let graph = graph_token(admitted);
        dropped = graph.header().to_str().unwrap().to_owned();
        assert!(graph.challenged(&HeaderMap::new()).is_none());
    });
    assert_ne!(sent.await.unwrap()[1], dropped);
}

#[tokio::test]
async fn ca_04_a_second_attempt_is_not_made_for_who_has_expired_meanwhile() {
    let refused = while_claims_are_exchanged(|world, admitted| {
        world.clock.set(admitted.valid_until().unwrap());
    });
    let kind = refused.await.unwrap_err();
    assert_eq!(kind, RejectionKind::InvalidToken(TokenDefect::Expired));
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
