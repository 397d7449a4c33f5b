//! The future that [`Obo`](crate::Obo) answers with.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{Pending, RespondWith, service::respond};

pin_project! {
    /// The response to come: the inner service's, or a refusal.
    ///
    /// Nothing is boxed while the inner service is at work. While the network is, the request stays
    /// here, so that its body needs neither `Send` nor `'static`.
    pub struct ResponseFuture<S, R, B, T>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, R, B, T, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, R, B, T, F> {
        Calling {
            #[pin]
            call: F,
        },
        Waiting {
            #[pin]
            pending: Pending,
            waiting: Option<Waiting<S, R, B>>,
        },
        Refused {
            response: Option<Response<T>>,
        },
    }
}

/// What goes on when the decision is there.
struct Waiting<S, R, B> {
    service: S,
    request: Request<B>,
    respond: R,
}

impl<S, R, B, T> ResponseFuture<S, R, B, T>
where
    S: Service<Request<B>>,
{
    pub(crate) const fn called(call: S::Future) -> Self {
        Self {
            state: State::Calling { call },
        }
    }

    pub(crate) const fn waiting(
        pending: Pending,
        service: S,
        request: Request<B>,
        respond: R,
    ) -> Self {
        Self {
            state: State::Waiting {
                pending,
                waiting: Some(Waiting {
                    service,
                    request,
                    respond,
                }),
            },
        }
    }

    pub(crate) const fn refused(response: Response<T>) -> Self {
        Self {
            state: State::Refused {
                response: Some(response),
            },
        }
    }
}

impl<S, R, B, T> Future for ResponseFuture<S, R, B, T>
where
    S: Service<Request<B>, Response = Response<T>>,
    R: RespondWith<T>,
{
    type Output = Result<Response<T>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const AGAIN: &str = "polled after completion";
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Calling { call } => return call.poll(cx),
                StateProjection::Refused { response } => {
                    #[expect(clippy::expect_used, reason = "the contract of Future")]
                    return Poll::Ready(Ok(response.take().expect(AGAIN)));
                }
                StateProjection::Waiting { pending, waiting } => {
                    let decision = ready!(pending.poll(cx));
                    #[expect(clippy::expect_used, reason = "the contract of Future")]
                    let Waiting {
                        mut service,
                        mut request,
                        respond: with,
                    } = waiting.take().expect(AGAIN);
                    match decision {
                        Ok(admitted) => {
                            admitted.apply(request.headers_mut());
                            request.extensions_mut().insert(admitted);
                            State::Calling {
                                call: service.call(request),
                            }
                        }
                        Err(rejection) => State::Refused {
                            response: Some(respond(&with, &rejection)),
                        },
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, R, B, T> fmt::Debug for ResponseFuture<S, R, B, T>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
