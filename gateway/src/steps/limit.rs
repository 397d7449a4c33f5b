//! The limit of requests at once.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

mod running;

pub(crate) use self::running::{Connected, HeldBack, Permit, Running, Share};
use super::route::Pages;
use crate::message::{
    answer::Answer,
    exchange::{Exchange, Reply},
};

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

impl<S> Service<Box<Exchange>> for Limit<S>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = LimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Box<Exchange>) -> Self::Future {
        let permit = self.running.permit();
        let permit = match exchange.client.share() {
            Some(share) => permit.and_then(|permit| permit.within(share)),
            None => permit,
        };
        match permit {
            Some(permit) => LimitFuture::Running {
                inner: self.inner.call(exchange),
                permit: Some(permit),
            },
            None => LimitFuture::Refused {
                response: Some(self.refuse(&exchange)),
            },
        }
    }
}

impl<S> Limit<S> {
    /// A refusal that is not read takes memory too, and counts for its address. Who has been refused as
    /// often as it may be served, and has read nothing of that, hears no more.
    fn refuse(&self, exchange: &Exchange) -> Reply {
        let mut response = (self.pages).refuse(exchange, Answer::too_many_requests());
        if let Some(share) = exchange.client.share() {
            let permit = Permit::unread(share);
            if share.is_flooded() {
                exchange.watch.give_up();
            }
            response.body_mut().hold(permit);
        }
        response
    }
}

pin_project! {
    /// The future of [`Limit`].
    #[project = LimitFutureProj]
    #[derive(Debug)]
    pub(crate) enum LimitFuture<F> {
        Running { #[pin] inner: F, permit: Option<Permit> },
        Refused { response: Option<Reply> },
    }
}

impl<F> Future for LimitFuture<F>
where
    F: Future<Output = Result<Reply, Infallible>>,
{
    type Output = Result<Reply, Infallible>;

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
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
        }
    }
}
