//! Counts how each request ended, and how long that took.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use http::Response;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    message::{body::ResponseBody, exchange::Exchange},
    metrics::{Figures, Metrics, Outcome, Refusal},
    net::watch::Watch,
};

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct CountLayer(Rc<Counts>);

/// Where one worker counts.
#[derive(Debug)]
struct Counts {
    metrics: Arc<Metrics>,
    /// Requests that got no route.
    unrouted: Arc<Figures>,
}

impl CountLayer {
    pub(crate) fn new(metrics: &Arc<Metrics>) -> Self {
        Self(Rc::new(Counts {
            metrics: Arc::clone(metrics),
            unrouted: metrics.routes.open("none"),
        }))
    }
}

impl<S> Layer<S> for CountLayer {
    type Service = Count<S>;

    fn layer(&self, inner: S) -> Count<S> {
        Count {
            counts: Rc::clone(&self.0),
            inner,
        }
    }
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Count<S> {
    counts: Rc<Counts>,
    inner: S,
}

impl<S> Service<Exchange> for Count<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Infallible>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = CountFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        let watch = Rc::clone(&exchange.watch);
        watch.open_account();
        CountFuture {
            inner: self.inner.call(exchange),
            open: Open {
                counts: Rc::clone(&self.counts),
                watch: Some(watch),
            },
        }
    }
}

/// A request that has not been counted yet; if it never is answered, it is counted as abandoned.
#[derive(Debug)]
struct Open {
    counts: Rc<Counts>,
    watch: Option<Rc<Watch>>,
}

impl Open {
    fn close(&mut self, outcome: Outcome, refusal: Option<Refusal>) {
        let Some(watch) = self.watch.take() else {
            return;
        };
        let (took, route) = watch.close_account();
        let figures = match &route {
            Some(route) => &route.figures,
            None => &self.counts.unrouted,
        };
        figures.count(outcome, took);
        if let Some(refusal) = refusal {
            self.counts.metrics.refused(refusal);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close(Outcome::Abandoned, None);
    }
}

pin_project! {
    /// The future of [`Count`].
    #[derive(Debug)]
    pub(crate) struct CountFuture<F> {
        #[pin]
        inner: F,
        open: Open,
    }
}

impl<F> Future for CountFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, Infallible>>,
{
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.inner.poll(cx);
        if let Poll::Ready(Ok(response)) = &polled {
            let refusal = Refusal::of(response);
            this.open.close(Outcome::of(response, refusal), refusal);
        }
        polled
    }
}
