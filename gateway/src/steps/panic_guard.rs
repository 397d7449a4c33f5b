//! A panic while a request is served is an answer of 500, not the end of the worker.

use std::{
    convert::Infallible,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderValue, header::ORIGIN};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::route::{Pages, Reader};
use crate::message::{
    answer::Answer,
    exchange::{Exchange, Reply},
};

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct PanicGuardLayer(pub(crate) Pages);

impl<S> Layer<S> for PanicGuardLayer {
    type Service = PanicGuard<S>;

    fn layer(&self, inner: S) -> PanicGuard<S> {
        PanicGuard {
            inner,
            pages: self.0.clone(),
        }
    }
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct PanicGuard<S> {
    inner: S,
    pages: Pages,
}

impl<S> Service<Box<Exchange>> for PanicGuard<S>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = PanicGuardFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Box<Exchange>) -> Self::Future {
        let id = exchange.id.clone();
        let grpc = exchange.is_grpc();
        let mut reader = None;
        // What is shared beyond the request (pools, routes) is changed in single steps that do
        // not panic halfway.
        let called = catch_unwind(AssertUnwindSafe(|| {
            // Only a page that says where it comes from is told that it may read.
            if self.pages.have_any() && exchange.request.headers().contains_key(ORIGIN) {
                reader = self.pages.reader(&exchange);
            }
            self.inner.call(exchange)
        }));
        PanicGuardFuture {
            inner: called.ok(),
            id,
            grpc,
            reader,
        }
    }
}

pin_project! {
    /// The future of [`PanicGuard`].
    #[derive(Debug)]
    pub(crate) struct PanicGuardFuture<F> {
        #[pin]
        inner: Option<F>,
        id: HeaderValue,
        grpc: bool,
        reader: Option<Box<Reader>>,
    }
}

impl<F> Future for PanicGuardFuture<F>
where
    F: Future<Output = Result<Reply, Infallible>>,
{
    type Output = Result<Reply, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut() {
            if let Ok(polled) = catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
                return polled;
            }
            // Dropped here, within the guard's reach, since its destructors saw half a change.
            let drop_it = AssertUnwindSafe(|| this.inner.as_mut().set(None));
            drop(catch_unwind(drop_it));
        }
        // The message may hold anything, and nothing shows it; the program's panic hook has said where.
        tracing::error!(request_id = ?this.id, "a request made the gateway panic");
        let mut response = Answer::panicked()
            .for_grpc(*this.grpc)
            .into_response(this.id);
        if let Some(reader) = this.reader {
            reader.apply(&mut response);
        }
        Poll::Ready(Ok(Box::new(response)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(
        future: PanicGuardFuture<impl Future<Output = Result<Reply, Infallible>>>,
    ) -> (u16, Option<String>) {
        let mut future = Box::pin(future);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(response)) => {
                let grpc = response.headers().get("grpc-status");
                let grpc = grpc.map(|status| status.to_str().unwrap().to_owned());
                (response.status().as_u16(), grpc)
            }
            Poll::Pending => (0, None),
        }
    }

    #[test]
    fn a_panic_is_an_answer_wherever_it_happens_and_to_grpc_one_of_grpc() {
        for (grpc, answer) in [(false, (500, None)), (true, (200, Some("13".to_owned())))] {
            let id = HeaderValue::from_static("x");
            let polled = PanicGuardFuture {
                inner: Some(async { panic!("in poll") }),
                id: id.clone(),
                grpc,
                reader: None,
            };
            assert_eq!(head(polled), answer);
            let called = PanicGuardFuture {
                inner: None::<std::future::Ready<_>>,
                id,
                grpc,
                reader: None,
            };
            assert_eq!(head(called), answer);
        }
    }

    #[test]
    fn hd_14_pages_can_read_that_it_was_a_panic() {
        let polled = PanicGuardFuture {
            inner: Some(async { panic!("in poll") }),
            id: HeaderValue::from_static("x"),
            grpc: false,
            reader: Some(Reader::of_any_page()),
        };
        let mut polled = Box::pin(polled);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Ok(response)) = polled.as_mut().poll(&mut cx) else {
            panic!("it has not ended");
        };
        let origin = response.headers().get("access-control-allow-origin");
        assert_eq!(origin.unwrap(), "*");
    }
}
