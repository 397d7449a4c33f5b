//! Downstreams whose tokens the handler asks for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use entra_emulator::{Endpoint, demo};
use http::StatusCode;
use tower_obo::{
    AccessPolicy, Downstream, Event, ExchangeRequest, Exchanging, Observer, Policy, RejectionKind,
    Secret, TokenDefect, TokenExchange, TokenResponse,
};

use crate::{
    downstreams::{admitted, audience, challenge, graph, graph_on_demand, nobody_may_use_graph},
    fixture::World,
};

#[tokio::test]
async fn a_token_on_demand_is_exchanged_when_it_is_asked_for_and_once_for_all() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let downstreams = admitted(&world, graph_on_demand(), &token).await;
    let downstreams = downstreams.downstreams();
    assert_eq!(world.exchanges_asked(), 1, "nobody has asked yet");

    let hold = world.entra.hold(Endpoint::Token);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let downstreams = downstreams.clone();
        waiting.spawn(async move { downstreams.get("graph").await.unwrap() });
    }
    hold.arrived(1).await;
    hold.release();
    let mut got: Vec<_> = waiting.join_all().await;
    // Another request with the same token finds it too.
    let later = admitted(&world, graph_on_demand(), &token).await;
    got.push(later.downstreams().get("graph").await.unwrap());
    for one in &got {
        assert_eq!(one.name(), "graph");
        assert_eq!(one.expose(), got[0].expose());
    }
    assert_eq!(audience(&got[0].header()), "https://graph.microsoft.com");
    let arm = downstreams.get("arm").await.unwrap();
    assert!(audience(&arm.header()).starts_with("https://management."));
    assert_eq!(world.exchanges_asked(), 2);
    let shown = format!("{downstreams:?} {later:?}");
    assert!(!shown.contains(&token) && !shown.contains(got[0].expose()));
}

#[tokio::test]
async fn a_refusal_on_demand_refuses_nothing_but_what_was_asked_for() {
    let world = World::start().await;
    nobody_may_use_graph(&world);
    let token = world.entra.user_token("alice");
    let downstreams = admitted(&world, graph_on_demand(), &token).await;
    let downstreams = downstreams.downstreams();
    let rejection = downstreams.get("graph").await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::ConsentRequired);
    assert_eq!(rejection.status(), StatusCode::FORBIDDEN);
    assert!(downstreams.get("arm").await.is_ok());
}

#[tokio::test]
async fn az_02_an_application_gets_no_users_token_on_demand_either() {
    let world = World::start().await;
    let access = AccessPolicy::any_role(["Subscriptions.Read.All"]).allow_app_only();
    let policy = Policy::new(access).downstream_on_demand(graph());
    let token = world.entra.token().app_only().sign();
    let downstreams = admitted(&world, policy, &token).await.downstreams();
    let rejection = downstreams.get("graph").await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::AppOnlyNotAllowed);
    assert_eq!(world.exchanges_asked(), 0);
}

#[tokio::test]
async fn ca_04_a_stream_that_outlives_its_token_gets_nothing_on_demand() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let admitted = admitted(&world, graph_on_demand(), &token).await;
    world.clock.set(admitted.valid_until().unwrap());
    let rejection = admitted.downstreams().get("graph").await.unwrap_err();
    let expired = RejectionKind::InvalidToken(TokenDefect::Expired);
    assert_eq!(rejection.kind(), expired);
    assert_eq!(world.exchanges_asked(), 1);
}

#[tokio::test]
async fn ex_12_a_challenge_of_a_downstream_on_demand_is_remembered_for_it_alone() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let downstreams = admitted(&world, graph_on_demand(), &token).await;
    let downstreams = downstreams.downstreams();
    let graph = downstreams.get("graph").await.unwrap();
    assert!(graph.challenged(&challenge()).is_some());
    let rejection = downstreams.get("graph").await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::InsufficientClaims);
    assert!(downstreams.get("arm").await.is_ok());
    assert_eq!(world.exchanges_asked(), 2);
}

/// What a handler asks for counts as what comes with a request does: as a hit, and with its bytes.
#[tokio::test]
async fn ca_07_a_token_on_demand_is_counted_as_a_hit_and_with_its_bytes() {
    const TOKEN: usize = 20_000;

    #[derive(Debug)]
    struct Large;

    impl TokenExchange for Large {
        fn exchange(&self, _: ExchangeRequest) -> Exchanging {
            let token = Secret::from("x".repeat(TOKEN));
            let token = TokenResponse::new(token, Duration::from_secs(3_600));
            Box::pin(async { Ok(token) })
        }
    }

    let hits = Hits::default();
    let counted = hits.clone();
    let world = World::with(|core| core.with_exchange(Large).observer(counted)).await;
    let access = AccessPolicy::any_scope([demo::API_SCOPE]);
    let on_demand = Policy::new(access).downstream_on_demand(graph());
    let token = world.entra.user_token("alice");
    let downstreams = admitted(&world, on_demand, &token).await.downstreams();
    let bytes = || world.core.cache_usage().admissions.bytes;
    let before = bytes();
    downstreams.get("graph").await.unwrap();
    assert!(bytes() >= before + TOKEN as u64 / 2, "{}", bytes());
    assert_eq!(hits.0.load(Ordering::Relaxed), 0);
    downstreams.get("graph").await.unwrap();
    assert_eq!(hits.0.load(Ordering::Relaxed), 1);

    let own = Downstream::client_credentials("own", ["https://graph.microsoft.com/.default"]);
    let job = world.core.application([own]).unwrap();
    job.get("own").await.unwrap();
    assert_eq!(hits.0.load(Ordering::Relaxed), 1);
    job.get("own").await.unwrap();
    assert_eq!(hits.0.load(Ordering::Relaxed), 2);
}

/// How often a downstream token was there.
#[derive(Clone, Debug, Default)]
struct Hits(Arc<AtomicUsize>);

impl Observer for Hits {
    fn on(&self, event: &Event<'_>) {
        if matches!(event, Event::Token { hit: true, .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
