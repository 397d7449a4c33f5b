//! Counts how each request ended, and how long that took; and writes its line into the access log,
//! where there is one.

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
use tower_obo::Rejection;
use tower_service::Service;

use crate::{
    AccessLog,
    access_log::{Answered, Asked},
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
    log: Option<AccessLog>,
}

impl CountLayer {
    pub(crate) fn new(metrics: &Arc<Metrics>, log: Option<AccessLog>) -> Self {
        Self(Rc::new(Counts {
            metrics: Arc::clone(metrics),
            unrouted: metrics.routes.open("none"),
            log,
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
        let asked = self.counts.log.as_ref().map(|_| {
            let request = &exchange.request;
            Box::new(Asked {
                id: exchange.id.clone(),
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
            })
        });
        CountFuture {
            inner: self.inner.call(exchange),
            open: Open {
                counts: Rc::clone(&self.counts),
                watch: Some(watch),
                asked,
            },
        }
    }
}

/// A request that has not been counted yet; if it never is answered, it is counted as abandoned.
#[derive(Debug)]
struct Open {
    counts: Rc<Counts>,
    watch: Option<Rc<Watch>>,
    /// For the access log.
    asked: Option<Box<Asked>>,
}

impl Open {
    fn close(&mut self, response: Option<&Response<ResponseBody>>) {
        let Some(watch) = self.watch.take() else {
            return;
        };
        let refusal = response.and_then(Refusal::of);
        let outcome = match response {
            Some(response) => Outcome::of(response, refusal),
            None => Outcome::Abandoned,
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
        if let (Some(log), Some(asked)) = (&self.counts.log, self.asked.take()) {
            let rejection = response.and_then(|response| response.extensions().get::<Rejection>());
            let answered = Answered {
                route: route.as_ref().map(|route| &*route.label),
                status: response.map(Response::status),
                outcome,
                problem: refusal.map(|refusal| refusal.problem),
                aadsts: rejection.and_then(Rejection::aadsts),
                took,
                upstream: watch.upstream_took(),
            };
            log.write(&asked, &answered);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close(None);
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
            this.open.close(Some(response));
        }
        polled
    }
}
