//! The service that the layer makes.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use crate::{
    BoundPolicy, Core, Decision, Head, ProblemResponse, Rejection, RespondWith,
    future::ResponseFuture,
};

/// Validates, exchanges and injects, in front of `S`. Made by [`OboLayer`](crate::OboLayer).
///
/// A request that goes on carries an [`Admitted`](crate::Admitted) in its extensions. A refusal is
/// a response, made by `R`, with the [`Rejection`] in its extensions; the error type stays that of
/// the inner service.
///
/// **Inside a concurrency limit** an exchange that is waited for holds a permit of the limit: the
/// inner service was ready for this request. Put the limit inside this service's own inner service
/// only if that is meant.
#[derive(Clone, Debug)]
pub struct Obo<S, R = ProblemResponse> {
    inner: S,
    core: Core,
    policy: Arc<BoundPolicy>,
    respond: R,
}

impl<S, R> Obo<S, R> {
    pub(crate) const fn new(inner: S, core: Core, policy: Arc<BoundPolicy>, respond: R) -> Self {
        Self {
            inner,
            core,
            policy,
            respond,
        }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, B, T> Service<Request<B>> for Obo<S, R>
where
    S: Service<Request<B>, Response = Response<T>> + Clone,
    R: RespondWith<T> + Clone,
{
    type Response = Response<T>;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, B, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.core.decide(&Head::from(&request), &self.policy) {
            Decision::Admit(admitted) => {
                admitted.apply(request.headers_mut());
                request.extensions_mut().insert(admitted);
                ResponseFuture::called(self.inner.call(request))
            }
            Decision::Wait(pending) => {
                ResponseFuture::waiting(pending, self.take_ready(), request, self.respond.clone())
            }
            Decision::Refuse(rejection) => {
                // The place that the inner service holds for this request is given back.
                drop(self.take_ready());
                ResponseFuture::refused(respond(&self.respond, &rejection))
            }
        }
    }
}

impl<S: Clone, R> Obo<S, R> {
    /// Takes out the service that was polled ready; a clone of it may not be.
    fn take_ready(&mut self) -> S {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
    }
}

pub(crate) fn respond<T>(with: &impl RespondWith<T>, rejection: &Rejection) -> Response<T> {
    let mut response = with.respond(rejection);
    response.extensions_mut().insert(rejection.clone());
    response
}
