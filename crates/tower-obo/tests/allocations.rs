//! What a request costs whose token is known: nothing on the heap but its place among the extensions.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use entra_emulator::{Emulator, demo};
use http::{Extensions, Request, Response, StatusCode, header::AUTHORIZATION};
use tower::{Layer as _, Service};
use tower_obo::{Admitted, Credential, Downstream, Entra, OboLayer};

#[derive(Clone)]
struct Nothing;

/// What the service was given, to show that it was.
struct Given(Option<Admitted>);

impl From<Bytes> for Given {
    fn from(_: Bytes) -> Self {
        Self(None)
    }
}

impl Service<Request<()>> for Nothing {
    type Response = Response<Given>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        let given = Given(request.extensions_mut().remove());
        ready(Ok(Response::new(given)))
    }
}

#[test]
fn a_known_token_allocates_its_place_among_the_extensions_and_nothing_else() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let (emulator, layer) = runtime.block_on(async {
        let emulator = Emulator::builder().start().await.unwrap();
        let authority = Entra::tenant(demo::CONTOSO)
            .authority(emulator.url())
            .allow_http_loopback(true);
        let downstream = Downstream::azure_resource_manager();
        let layer = OboLayer::builder(authority)
            .client(
                demo::API_CLIENT_ID,
                Credential::secret(demo::API_CLIENT_SECRET),
            )
            .require_scope(demo::API_SCOPE)
            .downstream(downstream)
            .build();
        (emulator, layer.unwrap())
    });
    let bearer = format!("Bearer {}", emulator.user_token("alice"));
    let request = || {
        Request::get("/")
            .header(AUTHORIZATION, &bearer)
            .body(())
            .unwrap()
    };
    let mut service = layer.layer(Nothing);
    // The first brings key and token, the second what is made for the first time only.
    for _ in 0..2 {
        let answer = runtime.block_on(service.call(request())).unwrap();
        assert!(answer.into_body().0.is_some(), "it went on with a token");
    }

    let known = request();
    let (mut answer, mut cx) = (None, Context::from_waker(Waker::noop()));
    let whole = allocation_counter::measure(|| {
        let call = std::pin::pin!(service.call(known));
        if let Poll::Ready(Ok(response)) = call.poll(&mut cx) {
            answer = Some(response);
        }
    });
    let answer = answer.expect("a known token waits for nothing");
    assert_eq!(answer.status(), StatusCode::OK);
    let admitted = answer.into_body().0.expect("it went on with a token");

    let place = allocation_counter::measure(|| {
        Extensions::new().insert(admitted);
    });
    assert!(place.count_total > 0, "it is counted");
    assert_eq!(whole.count_total, place.count_total, "{whole:?}");
    assert_eq!(whole.bytes_total, place.bytes_total, "{whole:?}");
}
