//! A request that the upstream has answered with a claims challenge: it is sent once more, with a token
//! that satisfies the claims, if Entra ID gives one without the user.
//!
//! Only one without a body, or with a small one, which is kept while it is sent.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use tower_obo::{Admitted, Core, Head, Pending};
use tower_service::Service;

use super::{challenged, is_unauthorized, note_late_decision, refusal, stream_ends, time_left};
use crate::{
    message::{
        answer::Answer,
        body::ResponseBody,
        exchange::{Client, Exchange, Has, Reply},
        room::Room,
        upload::{KeptBody, Upload},
    },
    net::watch::Watch,
    record::Work,
    route::Route,
};

/// What is kept of a request until its answer has come. Not larger than an id, since every request
/// has room for it.
#[derive(Debug)]
pub(super) enum Kept<S> {
    /// Its id: it cannot be sent again, or must not.
    Id(HeaderValue),
    /// The same of a gRPC call.
    Grpc(Box<HeaderValue>),
    Again(Box<Again<S>>),
}

/// What it takes to send a request again: a copy of its head as the client sent it, the caller's
/// token included.
pub(super) struct Again<S> {
    core: Core,
    inner: S,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// `None` where there is none.
    body: Option<Rc<KeptBody>>,
    client: Rc<Client>,
    watch: Rc<Watch>,
    id: HeaderValue,
    has: Has,
    route: Option<Rc<Route>>,
}

/// The answer to the request that is sent again, or to its caller.
pub(super) type Sending = Pin<Box<dyn Future<Output = Reply>>>;

impl<S> Kept<S> {
    /// Of a request that is not sent again.
    pub(super) fn id_of(id: HeaderValue, grpc: bool) -> Self {
        if grpc {
            Self::Grpc(Box::new(id))
        } else {
            Self::Id(id)
        }
    }

    /// The request's id.
    pub(super) fn id(&self) -> &HeaderValue {
        match self {
            Self::Id(id) => id,
            Self::Grpc(id) => id,
            Self::Again(again) => &again.id,
        }
    }

    /// Whether the request is a gRPC call.
    pub(super) const fn is_grpc(&self) -> bool {
        match self {
            Self::Id(_) => false,
            Self::Grpc(_) => true,
            Self::Again(again) => again.has.grpc,
        }
    }
}

impl<S> Kept<S>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible> + 'static,
{
    /// Sends the request again after a claims challenge; `None` after any other answer.
    ///
    /// Whatever the upstream says then is the answer: a second challenge goes to the caller.
    pub(super) fn send_again(
        &mut self,
        admitted: &Admitted,
        response: &Response<ResponseBody>,
    ) -> Option<Sending> {
        let Self::Again(again) = self else {
            return None;
        };
        let pending = again.exchange(admitted, response)?;
        let (id, grpc) = (again.id.clone(), again.has.grpc);
        match mem::replace(self, Self::id_of(id, grpc)) {
            Self::Again(again) => Some(Box::pin(again.after(pending))),
            Self::Id(_) | Self::Grpc(_) => None,
        }
    }
}

impl<S: Clone> Again<S> {
    /// `None` of a request whose body would be gone once it is sent.
    pub(super) fn of(exchange: &mut Exchange, room: &Room, core: &Core, inner: &S) -> Option<Self> {
        let body = if exchange.has_no_body() {
            None
        } else {
            Some(exchange.request.body_mut().keep(room)?)
        };
        Some(Self {
            body,
            core: core.clone(),
            inner: inner.clone(),
            method: exchange.request.method().clone(),
            uri: exchange.request.uri().clone(),
            headers: exchange.request.headers().clone(),
            client: Rc::clone(&exchange.client),
            watch: Rc::clone(&exchange.watch),
            id: exchange.id.clone(),
            has: exchange.has,
            route: exchange.route.clone(),
        })
    }
}

impl<S> Again<S> {
    /// The exchange that a claims challenge asks for.
    fn exchange(&self, admitted: &Admitted, response: &Response<ResponseBody>) -> Option<Pending> {
        if !is_unauthorized(response, self.has.grpc) {
            return None;
        }
        // An upstream that challenges before it has read the body has not been sent all of it.
        if self.body.as_ref().is_some_and(|body| !body.is_whole()) {
            return None;
        }
        let tokens: Vec<_> = admitted.sent_tokens().collect();
        let head = Head {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
        };
        self.core
            .exchange_for_claims(&head, admitted, &tokens, response.headers())
    }
}

impl<S> Again<S>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
{
    async fn after(self: Box<Self>, exchange: Pending) -> Reply {
        // The limits of the first answer are not those of the exchange.
        self.watch.begin_again(false);
        let mut exchange = pin!(exchange);
        let begun = self.watch.stopwatch();
        let decided = poll_fn(|cx| match exchange.as_mut().poll(cx) {
            Poll::Pending if self.watch.is_out_of_time() => Poll::Ready(None),
            polled => polled.map(Some),
        });
        let decided = decided.await;
        if let Some(begun) = begun {
            self.watch.note(|record| record.add(Work::Exchange, begun));
        }
        let Some(decided) = decided else {
            let answer = Answer::out_of_time().for_grpc(self.has.grpc);
            return Box::new(answer.into_response(&self.id));
        };
        self.watch
            .note(|record| note_late_decision(record, &decided));
        match decided {
            Ok(admitted) => self.send(&admitted).await,
            Err(rejection) => refusal(rejection, &self.id),
        }
    }

    async fn send(mut self: Box<Self>, admitted: &Admitted) -> Reply {
        admitted.apply(&mut self.headers);
        let body = self.body.map(|body| body.take()).unwrap_or_default();
        self.watch.begin_again(!body.is_empty());
        stream_ends(self.route.as_ref(), self.has, &self.watch, admitted);
        let mut request = Request::new(Upload::Whole(body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        let sending = self.inner.call(Box::new(Exchange {
            request,
            client: self.client,
            watch: self.watch,
            id: self.id.clone(),
            has: self.has,
            route: self.route,
        }));
        let Ok(mut response) = sending.await;
        let caller = admitted.principal();
        response
            .body()
            .end_with_token(caller, || time_left(admitted));
        challenged(admitted, &mut response, &self.id, self.has.grpc);
        response
    }
}

impl<S> fmt::Debug for Again<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the headers, which hold the caller's token, nor the query.
        f.debug_struct("Again")
            .field("id", &self.id)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tower_obo::{Credential, Entra};

    use super::*;
    use crate::{config::Limits, net::watch::Watches};

    #[tokio::test]
    async fn lo_03_what_is_kept_of_a_request_shows_no_token_and_no_query() {
        let guid = "00000000-0000-0000-0000-000000000001";
        let core = Core::builder(Entra::tenant(guid))
            .client(guid, Credential::secret("x"))
            .build()
            .unwrap();
        let watch = Watches::new(&Limits::default()).add();
        let mut exchange = Exchange {
            request: Request::get("/a?q=secret")
                .header("authorization", "Bearer secret")
                .body(Upload::default())
                .unwrap(),
            client: Rc::new(Client::on_loopback()),
            watch,
            id: HeaderValue::from_static("the-id"),
            has: Has::default(),
            route: None,
        };
        let again = Again::of(&mut exchange, &Room::default(), &core, &()).unwrap();
        for shown in [format!("{exchange:?}"), format!("{again:?}")] {
            assert!(shown.contains("the-id"), "{shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
