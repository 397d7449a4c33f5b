//! The seam to `tower-obo`: how its core is made from the configuration, and the step that asks it
//! about every request.
//!
//! The core decides; this applies the decision. A request whose token is known is decided within
//! `call` and goes straight on, with nothing boxed; only a request that has to wait for keys or an
//! exchange is put aside.

mod again;
mod waits;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderValue, Response, StatusCode};
use pin_project_lite::pin_project;
use tokio::{runtime::Handle, time::Instant};
use tower_layer::Layer;
use tower_obo::{
    AccessPolicy, Admitted, BoundPolicy, Clock as _, Core, Decision, DenyList, Entra, Head,
    Observer, Pending, Policy, Rejection, SystemClock, TokioSpawner,
};
use tower_service::Service;

use self::{
    again::{Again, Kept, Sending},
    waits::Waits,
};
use crate::{
    config::{Access, Config, Permission, Route, Tenants},
    message::{
        answer::Answer,
        body::{ResponseBody, TokenEnds},
        exchange::{Exchange, Has, Reply},
        room::Room,
    },
    metadata,
    net::watch::Watch,
    record::{Record, Work},
    route,
    run::StartError,
};

/// Makes the core, whose network work runs on `control`, and one policy for each route. Where there is an
/// `earlier` one of the same client, it goes on with what that has.
///
/// # Errors
///
/// Everything that the library finds wrong with the configuration, or a file that cannot be read.
pub(crate) fn core(
    config: &Config,
    control: Handle,
    observer: Arc<dyn Observer>,
    deny: DenyList,
    earlier: Option<&Core>,
) -> Result<(Core, Vec<Arc<BoundPolicy>>), StartError> {
    let mut builder = match &config.entra.other {
        Some(other) => Core::builder(other.for_library(config)),
        None => Core::builder(entra(config)),
    }
    .client(
        &config.entra.client_id,
        config.entra.credential.for_library(),
    )
    .spawner(TokioSpawner::new(control))
    .shared_observer(observer)
    .deny_list(deny)
    .with_leeway(config.accept.clock_skew)
    .with_unknown_key_cool_down(config.accept.key_cool_down)
    .with_key_max_age(config.accept.key_max_age)
    .with_max_token_bytes(config.limits.token_bytes)
    .with_key_wait(config.limits.keys_timeout)
    .with_http_timeout(config.limits.exchange_timeout)
    .max_exchanges(config.limits.exchanges);
    if config.entra.answer_claims_challenges {
        builder = builder.answer_claims_challenges();
    }
    if !config.accept.algorithms.is_empty() {
        builder = builder.with_algorithms(config.accept.algorithms.iter().copied());
    }
    if config.accept.audience_lists {
        builder = builder.accept_audience_lists();
    }
    for audience in &config.accept.audiences {
        builder = builder.audience(audience);
    }
    for (claim, _) in config
        .routes
        .iter()
        .flat_map(|route| &route.identity_headers)
    {
        builder = builder.keep_claim(claim);
    }
    if let Some(resource) = &config.resource {
        builder = builder.with_resource_metadata(metadata::url(resource));
    }
    if let Some(bytes) = config.cache_max_bytes {
        builder = builder.cache_max_bytes(bytes);
    }
    if let Some(store) = config.shared_store.as_ref().filter(|_| earlier.is_none()) {
        let store = store.read().map_err(StartError::SharedStore)?;
        builder = builder.shared_store(store);
    }
    let core = match earlier {
        None => builder.build()?,
        Some(earlier) => builder.build_succeeding(earlier)?,
    };
    let policies = config
        .routes
        .iter()
        .map(|route| core.bind(policy(config, route)))
        .collect::<Result<_, _>>()?;
    Ok((core, policies))
}

fn entra(config: &Config) -> Entra {
    let mut entra = match &config.accept.tenants {
        Tenants::Own => Entra::tenant(&config.entra.tenant),
        Tenants::Listed(tenants) => Entra::tenants(tenants),
        Tenants::Any => Entra::any_tenant(),
    }
    .allow_http_loopback(config.entra.allow_http_loopback);
    if let Some(authority) = &config.entra.authority {
        entra = entra.authority(authority);
    }
    if let Some(path) = &config.entra.ca_file {
        entra = entra.ca_file(path);
    }
    if config.entra.own_signing_keys {
        entra = entra.own_signing_keys_of(&config.entra.client_id);
    }
    entra
}

fn policy(config: &Config, route: &Route) -> Policy {
    let mut policy = match access(route) {
        None => Policy::public(),
        Some(access) => Policy::new(access),
    };
    if route.pass_caller_token {
        policy = policy.pass_caller_token();
    }
    for name in &route.downstreams {
        if let Some(api) = config.downstreams.get(name) {
            policy = policy.downstream_in(api.for_library(name), api.header.clone());
        }
    }
    for (claim, header) in &route.identity_headers {
        policy = policy.identity_header(claim.as_str(), header.clone());
    }
    policy
}

/// Who may use the route; `None`: anybody.
fn access(route: &Route) -> Option<AccessPolicy> {
    let roles = route.roles.iter().map(String::as_str);
    let access = match route.access {
        Access::Public => return None,
        Access::AppOnly => AccessPolicy::any_role(roles).require_app_only(),
        Access::Required => of_users(route),
        Access::UsersAndApps => of_users(route).allow_app_only(),
    };
    Some(
        route
            .clients
            .iter()
            .fold(access, |access, client| access.client(client.as_str())),
    )
}

/// What a user's token has to grant. An empty list lets nobody in; where there are no roles to ask for, none is
/// asked for.
fn of_users(route: &Route) -> AccessPolicy {
    let scopes = route.scopes.iter().map(String::as_str);
    let roles = route.roles.iter().map(String::as_str);
    let access = match route.permission {
        Permission::ScopeOrRole => return AccessPolicy::any_scope_or_role(scopes, roles),
        _ if scopes.len() == 0 && roles.len() > 0 => return AccessPolicy::any_role(roles),
        Permission::AnyScope => AccessPolicy::any_scope(scopes),
        Permission::AllScopes => AccessPolicy::all_scopes(scopes),
    };
    match roles.len() {
        0 => access,
        _ => access.and_any_role(roles),
    }
}

/// The answer to a 401 of the upstream that asks the user for more: the same challenge, in the form
/// that the caller's client reads. All tokens that it got are dropped, since nobody can tell which it
/// refuses. Any other answer is passed on as it is.
fn challenged(
    admitted: &Admitted,
    response: &mut Response<ResponseBody>,
    id: &HeaderValue,
    grpc: bool,
) {
    if !is_unauthorized(response, grpc) {
        return;
    }
    if let Some(rejection) = admitted.challenged(response.headers()) {
        let caller = admitted.principal();
        response
            .body()
            .note(|record| record.refused(caller, &rejection));
        *response = *refusal(rejection.for_grpc(grpc), id);
    }
}

/// Whether the answer refuses the token. A gRPC server says so with `UNAUTHENTICATED` and status 200, in
/// headers that are trailers too.
fn is_unauthorized(response: &Response<ResponseBody>, grpc: bool) -> bool {
    match response.status() {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::OK if grpc => {
            let status = response.headers().get("grpc-status");
            status.is_some_and(|status| status == "16")
        }
        _ => false,
    }
}

/// Writes down what was decided, and how long that took.
fn note_decision(record: &mut Record, decision: &Decision, begun: Option<Instant>) {
    match decision {
        // Nothing was judged.
        Decision::Admit(admitted) if admitted.principal().is_none() => return,
        Decision::Admit(admitted) => record.admitted(admitted),
        Decision::Refuse(rejection) => record.refused(None, rejection),
        Decision::Wait(_) => {}
    }
    if let Some(begun) = begun {
        record.add(Work::Validation, begun);
    }
}

/// The same, of one that was waited for.
fn note_late_decision(record: &Record, decided: &Result<Admitted, Rejection>) {
    match decided {
        Ok(admitted) => record.admitted(admitted),
        Err(rejection) => record.refused(None, rejection),
    }
}

/// How long the caller may still be served.
fn time_left(admitted: &Admitted) -> Option<Duration> {
    let until = admitted.valid_until()?;
    Some(until.saturating_since(SystemClock.now()))
}

fn stream_ends_of(exchange: &Exchange, admitted: &Admitted) {
    let route = exchange.route.as_ref();
    stream_ends(route, exchange.has, &exchange.watch, admitted);
}

/// A body that has no length may be sent for as long as the caller's token is good, and a tunnel
/// be used.
fn stream_ends(route: Option<&Rc<route::Route>>, has: Has, watch: &Watch, admitted: &Admitted) {
    if !has.transfer_encoding && !has.upgrade {
        return;
    }
    if route.is_some_and(|route| route.token_ends == TokenEnds::TheStream) {
        watch.end_after(time_left(admitted));
    }
    watch.streams_for(admitted.principal());
}

/// The answer to a request that is not let through. One line joins the library's id of the refusal,
/// which Entra's log knows after an exchange, to the gateway's id of the request.
fn refusal(rejection: Rejection, id: &HeaderValue) -> Reply {
    let id = id.to_str().unwrap_or_default();
    tracing::debug!(
        request_id = id,
        reason = rejection.kind().name(),
        correlation_id = rejection.correlation_id(),
        "request refused"
    );
    Box::new(rejection.with_request_id(id).to_response())
}

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizeLayer {
    pub(crate) core: Core,
    /// Where a claims challenge of the upstream is answered by a new exchange and the request sent
    /// again, if it has no body or a small one that finds room here.
    pub(crate) retry_challenges: Option<Room>,
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize {
            core: self.core.clone(),
            retry_challenges: self.retry_challenges.clone(),
            inner,
        }
    }
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Authorize<S> {
    core: Core,
    retry_challenges: Option<Room>,
    inner: S,
}

impl<S: Clone> Authorize<S> {
    /// What is kept of a request that goes on, for after its answer.
    fn keep(&self, exchange: &mut Exchange) -> Kept<S> {
        if let Some(room) = &self.retry_challenges
            && let Some(again) = Again::of(exchange, room, &self.core, &self.inner)
        {
            return Kept::Again(Box::new(again));
        }
        Kept::id_of(exchange.id.clone(), exchange.has.grpc)
    }
}

impl<S> Service<Box<Exchange>> for Authorize<S>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible> + Clone + 'static,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = AuthorizeFuture<S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Box<Exchange>) -> Self::Future {
        let Some(route) = &exchange.route else {
            return AuthorizeFuture::refused(exchange.answer(Answer::not_found()));
        };
        let begun = exchange.watch.stopwatch();
        let decision = self
            .core
            .decide(&Head::from(&exchange.request), &route.policy);
        exchange
            .watch
            .note(|record| note_decision(record, &decision, begun));
        match decision {
            Decision::Admit(admitted) => {
                let kept = self.keep(&mut exchange);
                stream_ends_of(&exchange, &admitted);
                admitted.apply(exchange.request.headers_mut());
                AuthorizeFuture::Passed {
                    inner: self.inner.call(exchange),
                    admitted,
                    kept,
                }
            }
            Decision::Wait(pending) => {
                // The service that was made ready is the one that is called later.
                let clone = self.inner.clone();
                AuthorizeFuture::Waiting {
                    put_aside: Some(Box::new(PutAside {
                        waits: Waits::new(&pending, &exchange.watch),
                        kept: self.keep(&mut exchange),
                        exchange,
                        inner: std::mem::replace(&mut self.inner, clone),
                    })),
                    pending,
                }
            }
            Decision::Refuse(rejection) => {
                let rejection = rejection.for_grpc(exchange.has.grpc);
                AuthorizeFuture::refused(refusal(rejection, &exchange.id))
            }
        }
    }
}

pin_project! {
    /// The future of [`Authorize`].
    #[project = AuthorizeFutureProj]
    pub(crate) enum AuthorizeFuture<S, F> {
        Passed {
            #[pin]
            inner: F,
            admitted: Admitted,
            kept: Kept<S>,
        },
        Waiting { pending: Pending, put_aside: Option<Box<PutAside<S>>> },
        SentAgain { sending: Sending },
        Refused { response: Option<Reply> },
    }
}

/// A request that waits for a decision, and the service that was made ready for it.
#[derive(Debug)]
struct PutAside<S> {
    exchange: Box<Exchange>,
    inner: S,
    kept: Kept<S>,
    waits: Waits,
}

impl<S, F> AuthorizeFuture<S, F> {
    fn refused(response: Reply) -> Self {
        Self::Refused {
            response: Some(response),
        }
    }
}

impl<S> Future for AuthorizeFuture<S, S::Future>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible> + 'static,
{
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                AuthorizeFutureProj::Passed {
                    inner,
                    admitted,
                    kept,
                } => {
                    let mut polled = inner.poll(cx);
                    let Poll::Ready(Ok(response)) = &mut polled else {
                        return polled;
                    };
                    let caller = admitted.principal();
                    response
                        .body()
                        .end_with_token(caller, || time_left(admitted));
                    match kept.send_again(admitted, response) {
                        Some(sending) => Self::SentAgain { sending },
                        None => {
                            challenged(admitted, response, kept.id(), kept.is_grpc());
                            return polled;
                        }
                    }
                }
                AuthorizeFutureProj::SentAgain { sending } => {
                    return sending.as_mut().poll(cx).map(Ok);
                }
                AuthorizeFutureProj::Refused { response } => {
                    return match response.take() {
                        Some(response) => Poll::Ready(Ok(response)),
                        None => Poll::Pending,
                    };
                }
                AuthorizeFutureProj::Waiting { pending, put_aside } => {
                    let decided = Pin::new(&mut *pending).poll(cx);
                    if let Some(aside) = put_aside {
                        let waits = &mut aside.waits;
                        waits.look(pending, &aside.exchange.watch, decided.is_ready());
                    }
                    if let Some(late) =
                        put_aside.take_if(|aside| aside.exchange.watch.is_out_of_time())
                    {
                        let answer = late.exchange.answer(Answer::out_of_time());
                        self.set(Self::refused(answer));
                        continue;
                    }
                    let decided = ready!(decided);
                    if let Some(aside) = put_aside {
                        let watch = &aside.exchange.watch;
                        watch.note(|record| note_late_decision(record, &decided));
                    }
                    match (decided, put_aside.take()) {
                        (Ok(admitted), Some(put_aside)) => {
                            let PutAside {
                                mut exchange,
                                mut inner,
                                kept,
                                waits: _,
                            } = *put_aside;
                            stream_ends_of(&exchange, &admitted);
                            admitted.apply(exchange.request.headers_mut());
                            Self::Passed {
                                inner: inner.call(exchange),
                                admitted,
                                kept,
                            }
                        }
                        (Err(rejection), Some(put_aside)) => {
                            let rejection = rejection.for_grpc(put_aside.exchange.has.grpc);
                            Self::refused(refusal(rejection, &put_aside.exchange.id))
                        }
                        (_, None) => return Poll::Pending,
                    }
                }
            };
            self.set(next);
        }
    }
}
