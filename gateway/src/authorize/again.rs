//! A request without a body that the upstream has answered with a claims challenge: it is sent once
//! more, with a token that satisfies the claims, if Entra ID gives one without the user.

use std::{convert::Infallible, future::Future, pin::Pin, rc::Rc};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tower_obo::{Admitted, Core, Head};
use tower_service::Service;

use super::{challenged, refusal};
use crate::{
    message::{
        body::ResponseBody,
        exchange::{Client, Exchange, Has},
    },
    route::Route,
};

/// What it takes to send a request again: a copy of its head as the client sent it, the caller's
/// token included.
#[derive(Debug)]
pub(super) struct Again<S> {
    core: Core,
    inner: S,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    client: Rc<Client>,
    id: HeaderValue,
    has: Has,
    route: Option<Rc<Route>>,
}

/// The answer to the request that is sent again, or to its caller.
pub(super) type Sending = Pin<Box<dyn Future<Output = Response<ResponseBody>>>>;

impl<S: Clone> Again<S> {
    /// `None` for a request with a body: that is gone once it is sent.
    pub(super) fn of(exchange: &Exchange, core: &Core, inner: &S) -> Option<Box<Self>> {
        exchange.has_no_body().then(|| {
            Box::new(Self {
                core: core.clone(),
                inner: inner.clone(),
                method: exchange.request.method().clone(),
                uri: exchange.request.uri().clone(),
                headers: exchange.request.headers().clone(),
                client: Rc::clone(&exchange.client),
                id: exchange.id.clone(),
                has: exchange.has,
                route: exchange.route.clone(),
            })
        })
    }
}

impl<S> Again<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Infallible> + 'static,
{
    /// Sends the request again after a claims challenge; `None` after any other answer.
    ///
    /// Whatever the upstream says then is the answer: a second challenge goes to the caller.
    pub(super) fn after(
        self: Box<Self>,
        admitted: &Admitted,
        response: &Response<ResponseBody>,
    ) -> Option<Sending> {
        if response.status() != StatusCode::UNAUTHORIZED {
            return None;
        }
        let token = admitted.first_downstream()?;
        let head = Head {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
        };
        let pending = self
            .core
            .exchange_for_claims(&head, admitted, &token, response.headers())?;
        Some(Box::pin(async move {
            // The limits of the first answer are not those of the exchange.
            self.client.watch.begin(false);
            match pending.await {
                Ok(admitted) => self.send(&admitted).await,
                Err(rejection) => refusal(rejection, &self.id),
            }
        }))
    }

    async fn send(mut self: Box<Self>, admitted: &Admitted) -> Response<ResponseBody> {
        admitted.apply(&mut self.headers);
        let mut request = Request::new(None);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        let sending = self.inner.call(Exchange {
            request,
            client: self.client,
            id: self.id.clone(),
            has: self.has,
            route: self.route,
        });
        let Ok(response) = sending.await;
        challenged(admitted, response, &self.id)
    }
}
