//! Finds the route, refuses hosts that are none of ours, and paths that can be read in more than
//! one way. Answers preflights, and lets the route's web pages read the answer.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    cors::{self, Cors, Page},
    host::HostPattern,
    message::{
        answer::Answer,
        body::ResponseBody,
        exchange::{Exchange, Reply},
    },
    metadata,
    route::{Picked, Route, Routes},
};

/// The hosts that callers may ask for.
#[derive(Debug)]
pub(crate) struct AllowedHosts {
    /// Empty: any.
    pub(crate) hosts: Vec<HostPattern>,
    /// The port that we listen on.
    pub(crate) port: u16,
}

impl AllowedHosts {
    fn allows(&self, host: &[u8]) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|own| own.allows(host, self.port))
    }
}

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct RoutingLayer {
    pub(crate) routes: Rc<Routes>,
    pub(crate) allowed: Rc<AllowedHosts>,
}

impl<S> Layer<S> for RoutingLayer {
    type Service = Routing<S>;

    fn layer(&self, inner: S) -> Routing<S> {
        Routing {
            table: self.clone(),
            inner,
        }
    }
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Routing<S> {
    table: RoutingLayer,
    inner: S,
}

/// What becomes of a request.
enum Found {
    Route(Rc<Route>),
    /// It is answered here; the pages that may read the answer.
    Refused(Answer, Option<Rc<Cors>>),
    Preflight(Rc<Cors>),
    Answered(Reply),
}

impl RoutingLayer {
    fn find(&self, exchange: &Exchange) -> Found {
        let request = &exchange.request;
        let host = if self.routes.are_on_hosts() || !self.allowed.hosts.is_empty() {
            exchange.host()
        } else {
            b""
        };
        if !self.allowed.allows(host) {
            return Found::Refused(Answer::misdirected(), None);
        }
        let path = request.uri().path();
        if let Some(asked) = cors::asked_for(request.method(), request.headers()) {
            let cors = match self.routes.pick(&asked, host, path) {
                Ok(Picked::Route(route)) => route.cors.as_ref(),
                Ok(Picked::NoMethod(place)) => place.cors(),
                Ok(Picked::NoPath | Picked::Metadata(_)) | Err(_) => None,
            };
            if let Some(cors) = cors {
                return Found::Preflight(Rc::clone(cors));
            }
            // To any other route it is a request like others.
        }
        match self.routes.pick(request.method(), host, path) {
            Ok(Picked::Route(route)) => Found::Route(Rc::clone(route)),
            Ok(Picked::NoPath) => Found::Refused(Answer::not_found(), None),
            Ok(Picked::Metadata(metadata)) => match metadata.answer(request.method()) {
                Ok(response) => Found::Answered(Box::new(response)),
                Err(answer) => {
                    let mut response = exchange.answer(answer);
                    metadata::let_pages_read(response.headers_mut());
                    Found::Answered(response)
                }
            },
            Ok(Picked::NoMethod(place)) => {
                let answer = Answer::method_not_allowed(place.allow().clone());
                Found::Refused(answer, place.cors().cloned())
            }
            Err(bad) => Found::Refused(Answer::bad_request(bad.detail()), None),
        }
    }
}

/// Makes refusals that come before the route is looked for readable by the pages of the route that the
/// request would have had.
#[derive(Clone, Debug)]
pub(crate) struct Pages(Option<RoutingLayer>);

impl Pages {
    /// Looks for no route where none has pages of other origins.
    pub(crate) fn of(table: &RoutingLayer) -> Self {
        Self(table.routes.have_cors().then(|| table.clone()))
    }

    /// Whether any page of another origin may read anything.
    pub(crate) const fn have_any(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn refuse(&self, exchange: &Exchange, answer: Answer) -> Reply {
        let mut response = exchange.answer(answer);
        if let Some(reader) = self.reader(exchange) {
            reader.apply(&mut response);
        }
        response
    }

    /// Who will read the answer to a request of which nothing has been checked yet.
    pub(crate) fn reader(&self, exchange: &Exchange) -> Option<Box<Reader>> {
        let cors = self.0.as_ref().and_then(|table| table.pages(exchange))?;
        Some(Reader::of(exchange, cors))
    }
}

impl RoutingLayer {
    /// Whose pages may read the answer to a request of which nothing has been checked yet.
    fn pages(&self, exchange: &Exchange) -> Option<&Rc<Cors>> {
        let request = &exchange.request;
        // HTTP/2 and absolute targets name the host there.
        let authority = request.uri().authority();
        let host = authority.map_or_else(
            || exchange.host(),
            |authority| authority.as_str().as_bytes(),
        );
        if !self.allowed.allows(host) {
            return None;
        }
        match self
            .routes
            .pick(request.method(), host, request.uri().path())
        {
            Ok(Picked::Route(route)) => route.cors.as_ref(),
            Ok(Picked::NoMethod(place)) => place.cors(),
            Ok(Picked::NoPath | Picked::Metadata(_)) | Err(_) => None,
        }
    }
}

impl<S> Service<Box<Exchange>> for Routing<S>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = RoutingFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Box<Exchange>) -> Self::Future {
        match self.table.find(&exchange) {
            Found::Route(route) => {
                exchange.watch.charge_to(&route);
                let reader = (route.cors.as_ref()).map(|cors| Reader::of(&exchange, cors));
                if let Some(bounds) = &route.bounds
                    && let Err(answer) = bounds.admit(&exchange)
                {
                    return RoutingFuture::refused(exchange.answer(answer), reader.as_deref());
                }
                exchange.route = Some(route);
                RoutingFuture::Passed {
                    inner: self.inner.call(exchange),
                    reader,
                }
            }
            Found::Refused(answer, cors) => {
                let reader = cors.map(|cors| Reader::of(&exchange, &cors));
                RoutingFuture::refused(exchange.answer(answer), reader.as_deref())
            }
            Found::Answered(response) => RoutingFuture::answered(response),
            Found::Preflight(cors) => {
                let page = cors.page(exchange.request.headers());
                let mut response = Response::new(ResponseBody::whole(Bytes::new()));
                (*response.status_mut(), *response.headers_mut()) = cors.preflight(&page);
                RoutingFuture::answered(Box::new(response))
            }
        }
    }
}

/// The page that will read the answer, on a route that pages of other origins may use.
#[derive(Debug)]
pub(crate) struct Reader {
    cors: Rc<Cors>,
    page: Page,
}

impl Reader {
    fn of(exchange: &Exchange, cors: &Rc<Cors>) -> Box<Self> {
        Box::new(Self {
            cors: Rc::clone(cors),
            page: cors.page(exchange.request.headers()),
        })
    }

    #[cfg(test)]
    pub(crate) fn of_any_page() -> Box<Self> {
        let cors = crate::config::Cors {
            origins: crate::config::CorsOrigins::Any,
            methods: Vec::new(),
            headers: Vec::new(),
            expose: Vec::new(),
            max_age: None,
            credentials: false,
        };
        let page = Page::Allowed(http::HeaderValue::from_static("*"));
        let cors = Rc::new(Cors::new(&cors, &[]));
        Box::new(Self { cors, page })
    }

    pub(crate) fn apply(&self, response: &mut Response<ResponseBody>) {
        self.cors.apply(response.headers_mut(), &self.page);
    }
}

pin_project! {
    /// The future of [`Routing`].
    #[project = RoutingFutureProj]
    #[derive(Debug)]
    pub(crate) enum RoutingFuture<F> {
        Passed { #[pin] inner: F, reader: Option<Box<Reader>> },
        Answered { response: Option<Reply> },
    }
}

impl<F> RoutingFuture<F> {
    fn refused(mut response: Reply, reader: Option<&Reader>) -> Self {
        if let Some(reader) = reader {
            reader.apply(&mut response);
        }
        Self::answered(response)
    }

    fn answered(response: Reply) -> Self {
        Self::Answered {
            response: Some(response),
        }
    }
}

impl<F> Future for RoutingFuture<F>
where
    F: Future<Output = Result<Reply, Infallible>>,
{
    type Output = Result<Reply, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            RoutingFutureProj::Passed { inner, reader } => {
                let mut polled = inner.poll(cx);
                if let Poll::Ready(Ok(response)) = &mut polled
                    && let Some(reader) = reader
                {
                    reader.apply(response);
                }
                polled
            }
            RoutingFutureProj::Answered { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
        }
    }
}
