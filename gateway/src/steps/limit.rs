//! The limit of requests at once.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::Response;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::route::Pages;
use crate::message::{answer::Answer, body::ResponseBody, exchange::Exchange};

/// Counts the running requests of all workers.
///
/// The one thing that requests of two workers share: the limit is a promise to the upstream, and
/// split by worker it would refuse on a busy one while others idle. Two relaxed additions a
/// request; nothing waits for anything.
#[derive(Debug)]
pub(crate) struct Running {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Running {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(most),
        })
    }

    /// How many run.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed) as u64
    }

    /// How many may.
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed) as u64
    }

    /// Another limit, which those that run already are not held to.
    pub(crate) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    pub(crate) fn permit(self: &Arc<Self>) -> Option<Permit> {
        // Made first, so that it gives back what it took when it is refused.
        let permit = Permit(Arc::clone(self));
        (self.now.fetch_add(1, Ordering::Relaxed) < self.most.load(Ordering::Relaxed))
            .then_some(permit)
    }
}

/// One running request; the count goes down when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Running>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct LimitLayer(pub(crate) Arc<Running>, pub(crate) Pages);

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit {
            running: Arc::clone(&self.0),
            pages: self.1.clone(),
            inner,
        }
    }
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Limit<S> {
    running: Arc<Running>,
    pages: Pages,
    inner: S,
}

impl<S> Service<Exchange> for Limit<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Infallible>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = LimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        match self.running.permit() {
            Some(permit) => LimitFuture::Running {
                inner: self.inner.call(exchange),
                permit: Some(permit),
            },
            None => LimitFuture::Refused {
                response: Some(Box::new(
                    (self.pages).refuse(&exchange, Answer::too_many_requests()),
                )),
            },
        }
    }
}

pin_project! {
    /// The future of [`Limit`].
    #[project = LimitFutureProj]
    #[derive(Debug)]
    pub(crate) enum LimitFuture<F> {
        Running { #[pin] inner: F, permit: Option<Permit> },
        Refused { response: Option<Box<Response<ResponseBody>>> },
    }
}

impl<F> Future for LimitFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, Infallible>>,
{
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            LimitFutureProj::Running { inner, permit } => {
                let mut polled = inner.poll(cx);
                // A request runs until its answer is written, or nearly so.
                if let Poll::Ready(Ok(response)) = &mut polled
                    && let Some(permit) = permit.take()
                {
                    response.body_mut().hold(permit);
                }
                polled
            }
            LimitFutureProj::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(*response)),
                None => Poll::Pending,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_allowed_run_and_refusals_do_not_count() {
        let running = Running::new(2);
        let first = running.permit().unwrap();
        let _second = running.permit().unwrap();
        assert!(running.permit().is_none());
        assert!(running.permit().is_none());
        drop(first);
        assert!(running.permit().is_some());
        assert_eq!(running.now.load(Ordering::Relaxed), 1);
    }
}
