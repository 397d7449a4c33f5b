//! Steps that look at a request, change it or refuse it, without waiting for anything.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::message::{
    answer::Answer,
    exchange::{Exchange, Reply},
};

/// A step that never waits.
pub(crate) trait Step {
    /// Changes the request, or refuses it.
    fn step(&self, exchange: &mut Exchange) -> Result<(), Answer>;

    /// The response that says so.
    fn refuse(&self, exchange: &Exchange, answer: Answer) -> Reply {
        exchange.answer(answer)
    }
}

/// Makes a layer of a [`Step`].
#[derive(Clone, Debug)]
pub(crate) struct StepLayer<T>(pub(crate) T);

impl<T: Clone, S> Layer<S> for StepLayer<T> {
    type Service = StepService<T, S>;

    fn layer(&self, inner: S) -> Self::Service {
        StepService {
            step: self.0.clone(),
            inner,
        }
    }
}

/// A [`Step`] and what comes after it.
#[derive(Clone, Debug)]
pub(crate) struct StepService<T, S> {
    step: T,
    inner: S,
}

impl<T, S> Service<Box<Exchange>> for StepService<T, S>
where
    T: Step,
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = StepFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Box<Exchange>) -> Self::Future {
        match self.step.step(&mut exchange) {
            Ok(()) => StepFuture::Passed {
                inner: self.inner.call(exchange),
            },
            Err(answer) => StepFuture::Refused {
                response: Some(self.step.refuse(&exchange, answer)),
            },
        }
    }
}

pin_project! {
    /// The future of [`StepService`].
    #[project = StepFutureProj]
    #[derive(Debug)]
    pub(crate) enum StepFuture<F> {
        Passed { #[pin] inner: F },
        Refused { response: Option<Reply> },
    }
}

impl<F> Future for StepFuture<F>
where
    F: Future<Output = Result<Reply, Infallible>>,
{
    type Output = Result<Reply, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            StepFutureProj::Passed { inner } => inner.poll(cx),
            StepFutureProj::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
        }
    }
}
