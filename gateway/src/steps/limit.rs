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
        let permit = Permit {
            running: Some(Arc::clone(self)),
            share: None,
        };
        self.has_room().then_some(permit)
    }

    fn end_one(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether far more have come than may run.
    fn is_flooded(&self) -> bool {
        self.now.load(Ordering::Relaxed) > self.most.load(Ordering::Relaxed).saturating_mul(2)
    }

    fn has_room(&self) -> bool {
        self.now.fetch_add(1, Ordering::Relaxed) < self.most.load(Ordering::Relaxed)
    }
}

/// One running request; the counts go down when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    /// `None` once it counts as over.
    running: Option<Arc<Running>>,
    /// Those of the client's address, of which it is one until nothing is left to be read.
    share: Option<Arc<Running>>,
}

impl Permit {
    /// The same request as one of `share`; `None` where that has no room.
    fn within(mut self, share: &Arc<Running>) -> Option<Self> {
        self.share = Some(Arc::clone(share));
        share.has_room().then_some(self)
    }

    /// A request that is refused and not read yet.
    fn unread(share: &Arc<Running>) -> Self {
        share.has_room();
        Self {
            running: None,
            share: Some(Arc::clone(share)),
        }
    }

    /// The request is over for the others. What its client has not read yet counts for its address.
    pub(crate) fn end(&mut self) {
        if let Some(running) = self.running.take() {
            running.end_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end();
        if let Some(share) = &self.share {
            share.end_one();
        }
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
                response: Some(Box::new(self.refuse(&exchange))),
            },
        }
    }
}

impl<S> Limit<S> {
    /// A refusal that is not read takes memory too, and counts for its address. Who has been refused as
    /// often as it may be served, and has read nothing of that, hears no more.
    fn refuse(&self, exchange: &Exchange) -> Response<ResponseBody> {
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

    #[test]
    fn what_a_share_refuses_counts_nowhere() {
        let (running, share) = (Running::new(3), Running::new(1));
        let within = || running.permit()?.within(&share);
        let first = within().unwrap();
        assert!(within().is_none());
        let other = running.permit().unwrap();
        assert_eq!((running.now(), share.now()), (2, 1));
        drop(first);
        assert!(within().is_some());
        drop(other);
        assert_eq!((running.now(), share.now()), (0, 0));
    }

    #[test]
    fn what_is_over_and_not_read_counts_for_its_address_alone() {
        let (running, share) = (Running::new(9), Running::new(2));
        let mut unread = running.permit().unwrap().within(&share).unwrap();
        unread.end();
        unread.end();
        assert_eq!((running.now(), share.now()), (0, 1));
        let refused: Vec<_> = (0..3).map(|_| Permit::unread(&share)).collect();
        assert!(!share.is_flooded());
        let more = Permit::unread(&share);
        assert!(share.is_flooded());
        drop((unread, refused, more));
        assert_eq!((running.now(), share.now()), (0, 0));
    }
}
