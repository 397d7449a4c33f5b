//! The layer among other services: readiness, permits, bodies, and futures that are dropped.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Future, ready},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use entra_emulator::{Endpoint, demo};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit, service_fn};
use tower_obo::{
    AccessPolicy, Admitted, Credential, Downstream, Entra, ExchangeRequest, Exchanging, Obo,
    OboLayer, Policy, Rejection, Secret, TokenExchange, TokenResponse,
};

use crate::{
    answer::Answer,
    fixture::{Body, Upstream, World, policy, with_token},
};

type Limited = Obo<ConcurrencyLimit<Upstream>>;

fn limited(world: &World) -> Limited {
    let one = ConcurrencyLimit::new(world.upstream.clone(), 1);
    world.core.layer(policy()).unwrap().layer(one)
}

/// Whether the one permit of the limit is free for somebody else.
fn is_free(service: &Limited) -> bool {
    let mut other = service.clone();
    let mut ready = pin!(ServiceExt::<Request<Body>>::ready(&mut other));
    let mut context = Context::from_waker(Waker::noop());
    ready.as_mut().poll(&mut context).is_ready()
}

async fn when_ready<S>(service: &mut S) -> &mut S
where
    S: Service<Request<Body>, Error: std::fmt::Debug>,
{
    ServiceExt::<Request<Body>>::ready(service).await.unwrap()
}

#[tokio::test]
async fn behind_a_concurrency_limit_every_path_calls_a_service_that_is_ready() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let bad = world.entra.token().expired().sign();
    let mut service = limited(&world);
    for (case, token, status) in [
        ("waits for the exchange", &token, 200),
        ("is known", &token, 200),
        ("is refused", &bad, 401),
        ("is known, after a refusal", &token, 200),
        ("is refused again", &bad, 401),
    ] {
        let called = when_ready(&mut service).await.call(with_token(token));
        let answer = Answer::of(called.await.unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{case}");
        assert!(is_free(&service), "{case}");
    }
    assert_eq!(world.upstream.calls(), 3);
}

#[tokio::test]
async fn a_refusal_gives_its_permit_back_at_once() {
    let world = World::start().await;
    let bad = world.entra.token().expired().sign();
    let mut service = limited(&world);
    let refused = when_ready(&mut service).await.call(with_token(&bad));
    // The refusal has not even been polled, and the service that made it is still there.
    assert!(is_free(&service));
    assert_eq!(refused.await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_request_that_waits_holds_its_permit_until_it_ends_or_is_dropped() {
    let world = World::start().await;
    let mut service = limited(&world);
    let hold = world.entra.hold(Endpoint::Token);
    let token = world.entra.user_token("alice");
    let waiting = when_ready(&mut service).await.call(with_token(&token));
    assert!(!is_free(&service), "the inner service is ready for it");
    drop(waiting);
    assert!(is_free(&service), "dropped before it was polled");

    let waiting = when_ready(&mut service).await.call(with_token(&token));
    let mut waiting = Box::pin(waiting);
    poll_once(waiting.as_mut());
    hold.arrived(1).await;
    assert!(!is_free(&service));
    drop(waiting);
    assert!(is_free(&service), "dropped while the exchange is under way");
    hold.release();

    // An exchange that fails gives the permit back with the answer.
    let token = world.entra.user_token_without_consent("bob");
    let refused = when_ready(&mut service).await.call(with_token(&token));
    let mut refused = Box::pin(refused);
    let answer = (&mut refused).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(is_free(&service), "though the future is still there");
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.poll(&mut context).is_pending());
}

#[tokio::test]
async fn behind_a_buffer_every_path_uses_the_place_that_it_has_reserved() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let bad = world.entra.token().expired().sign();
    let buffer = Buffer::new(world.upstream.clone(), 1);
    let mut service = world.core.layer(policy()).unwrap().layer(buffer);
    for (case, token, status) in [
        ("waits", &token, 200),
        ("is known", &token, 200),
        ("is refused", &bad, 401),
        ("is refused again", &bad, 401),
        ("is known", &token, 200),
    ] {
        let called = when_ready(&mut service).await.call(with_token(token));
        let status_of = called.await.unwrap().status();
        assert_eq!(status_of.as_u16(), status, "{case}");
    }
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..100 {
        let token = if at % 3 == 0 {
            bad.clone()
        } else {
            token.clone()
        };
        tasks.spawn(service.clone().oneshot(with_token(&token)));
    }
    let mut served = 0;
    while let Some(answer) = tasks.join_next().await {
        served += usize::from(answer.unwrap().unwrap().status() == StatusCode::OK);
    }
    assert_eq!(served, 66);
}

/// A body that cannot leave its thread, and that nothing can be made into.
#[derive(Clone)]
struct Local(Rc<Cell<u32>>);

#[tokio::test]
async fn bodies_need_not_be_send_nor_made_from_bytes() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let bad = world.entra.token().expired().sign();
    let served = Rc::new(Cell::new(0));
    let inner = service_fn(|request: Request<Local>| {
        let body = request.into_body();
        body.0.set(body.0.get() + 1);
        ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let refused = served.clone();
    let respond = move |rejection: &Rejection| {
        let mut response = Response::new(Local(refused.clone()));
        *response.status_mut() = rejection.status();
        *response.headers_mut() = rejection.headers();
        response
    };
    let layer = world.core.layer(policy()).unwrap().respond_with(respond);
    let service = layer.layer(inner);
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            for (token, status) in [(&token, 200), (&token, 200), (&bad, 401)] {
                let body = Local(served.clone());
                let request = with_token(token).map(|_| body);
                let call = service.clone().oneshot(request);
                let response = tokio::task::spawn_local(call).await.unwrap().unwrap();
                assert_eq!(response.status().as_u16(), status);
                if status == 401 {
                    assert!(response.headers().contains_key("www-authenticate"));
                    assert!(response.extensions().get::<Rejection>().is_some());
                }
            }
        })
        .await;
    assert_eq!(served.get(), 2);
}

#[tokio::test]
async fn two_layers_of_one_core_share_tokens_and_no_policy() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let lenient = world.core.layer(policy()).unwrap();
    let access = AccessPolicy::any_scope(["another_scope"]);
    let strict = Policy::new(access).downstream(Downstream::azure_resource_manager());
    let strict = world.core.layer(strict).unwrap();
    for _ in 0..3 {
        let service = lenient.layer(world.upstream.clone());
        let answer = service.oneshot(with_token(&token)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let service = strict.layer(world.upstream.clone());
        let answer = Answer::of(service.oneshot(with_token(&token)).await.unwrap()).await;
        answer.lacks_scope("strict", "another_scope");
    }
    assert_eq!(world.exchanges_asked(), 1);
    assert_eq!(world.upstream.calls(), 3);
}

#[tokio::test]
async fn several_downstreams_are_there_for_the_handler_and_one_in_the_header() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let other = Downstream::new("other", [format!("{}/.default", demo::ARM_RESOURCE)]);
    let answer = world
        .send_by(policy().downstream_for_handler(other), with_token(&token))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let seen = world.upstream.last();
    let admitted: Admitted = seen.admitted.clone().unwrap();
    let (arm, other) = (admitted.downstream("arm"), admitted.downstream("other"));
    let (arm, other) = (arm.unwrap(), other.unwrap());
    assert_eq!(seen.authorization(), format!("Bearer {}", arm.expose()));
    assert_ne!(arm.expose(), other.expose());
    assert_eq!(world.exchanges_asked(), 2);
    assert!(!format!("{admitted:?} {arm:?}").contains(arm.expose()));
}

#[tokio::test]
async fn a_core_that_is_dropped_in_the_middle_of_an_exchange_leaves_nothing_behind() {
    let world = World::start().await;
    let hold = world.entra.hold(Endpoint::Token);
    let token = world.entra.user_token("alice");
    let layer = world.core.layer(policy()).unwrap();
    let mut call = Box::pin(
        layer
            .layer(world.upstream.clone())
            .oneshot(with_token(&token)),
    );
    poll_once(call.as_mut());
    hold.arrived(1).await;
    let World {
        core,
        upstream,
        entra,
        ..
    } = world;
    drop((layer, core));
    // The one who waits still gets an answer.
    let answer = tokio::spawn(call);
    hold.release();
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(upstream.calls(), 1);
    entra.shutdown().await;
}

/// An inner service whose error must stay its own.
#[derive(Clone)]
struct Failing;

impl<B> Service<Request<B>> for Failing {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Self::Response, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Err("the inner service's own"))
    }
}

#[tokio::test]
async fn the_error_of_the_inner_service_stays_its_own() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let service = world.core.layer(policy()).unwrap().layer(Failing);
    for _ in 0..2 {
        let error = service
            .clone()
            .oneshot(with_token(&token))
            .await
            .unwrap_err();
        assert_eq!(error, "the inner service's own");
    }
}

#[tokio::test]
async fn a_custom_exchange_may_be_asked_for_an_audience_alone() {
    #[derive(Debug)]
    struct Canned;

    impl TokenExchange for Canned {
        fn exchange(&self, request: ExchangeRequest) -> Exchanging {
            assert_eq!(request.audiences.join(","), "stock-api");
            let token = TokenResponse::new(Secret::from("canned"), Duration::from_secs(60));
            Box::pin(async { Ok(token) })
        }
    }

    let world = World::start().await;
    let layer = OboLayer::builder(Entra::tenant(demo::CONTOSO).authority(world.entra.url()))
        .allow_http_loopback(true)
        .client(demo::API_CLIENT_ID, Credential::secret("unused"))
        .require_scope(demo::API_SCOPE)
        .downstream(Downstream::token_exchange("stock").audience("stock-api"))
        .configure(|core| core.with_exchange(Canned))
        .build()
        .unwrap();
    let service = layer.layer(world.upstream.clone());
    let answer = service.oneshot(with_token(&world.entra.user_token("alice")));
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    assert_eq!(world.upstream.last().authorization(), "Bearer canned");
}
