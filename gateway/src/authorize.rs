//! The seam to `tower-obo`: how its core is made from the configuration, and the step that asks it
//! about every request.
//!
//! The core decides; this applies the decision. A request whose token is known is decided within
//! `call` and goes straight on, with nothing boxed; only a request that has to wait for keys or an
//! exchange is put aside.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Response, StatusCode};
use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tower_layer::Layer;
use tower_obo::{
    AccessPolicy, Admitted, BoundPolicy, ConfigErrors, Core, Decision, Downstream, Entra, Head,
    Pending, Policy, Rejection, TokioSpawner,
};
use tower_service::Service;

use crate::{
    config::{Access, Config, Credential, Route},
    message::{answer::Answer, body::ResponseBody, exchange::Exchange},
};

/// Makes the core, whose network work runs on `control`, and one policy for each route.
///
/// # Errors
///
/// Everything that the library finds wrong with the configuration.
pub(crate) fn core(
    config: &Config,
    control: Handle,
) -> Result<(Core, Vec<Arc<BoundPolicy>>), ConfigErrors> {
    let mut entra =
        Entra::tenant(&config.entra.tenant).allow_http_loopback(config.entra.allow_http_loopback);
    if let Some(authority) = &config.entra.authority {
        entra = entra.authority(authority);
    }
    let credential = match &config.entra.credential {
        Credential::Secret(secret) => tower_obo::Credential::secret(secret.expose()),
        Credential::SecretFile(file) => tower_obo::Credential::secret_file(file.path()),
    };
    let mut builder = Core::builder(entra)
        .client(&config.entra.client_id, credential)
        .spawner(TokioSpawner::new(control));
    for audience in &config.audiences {
        builder = builder.audience(audience);
    }
    for (claim, _) in config
        .routes
        .iter()
        .flat_map(|route| &route.identity_headers)
    {
        builder = builder.keep_claim(claim);
    }
    if let Some(bytes) = config.cache_max_bytes {
        builder = builder.cache_max_bytes(bytes);
    }
    let core = builder.build()?;
    let policies = config
        .routes
        .iter()
        .map(|route| core.bind(policy(config, route)))
        .collect();
    Ok((core, policies))
}

fn policy(config: &Config, route: &Route) -> Policy {
    let mut policy = match route.access {
        Access::Public => Policy::public(),
        Access::Required => Policy::new(AccessPolicy::any_scope(
            route.scopes.iter().map(String::as_str),
        )),
    };
    if let Some(name) = &route.downstream
        && let Some(scope) = config.downstreams.get(name)
    {
        policy = policy.downstream(Downstream::new(name.as_str(), [scope.as_str()]));
    }
    for (claim, header) in &route.identity_headers {
        policy = policy.identity_header(claim.as_str(), header.clone());
    }
    policy
}

/// The answer to a 401 of the upstream that asks the user for more: the same challenge, in the form
/// that the caller's client reads. The token that was refused is dropped. Any other answer is passed
/// on as it is.
fn challenged(
    admitted: &Admitted,
    response: Response<ResponseBody>,
    id: &HeaderValue,
) -> Response<ResponseBody> {
    if response.status() != StatusCode::UNAUTHORIZED {
        return response;
    }
    let token = admitted.first_downstream();
    match token.and_then(|token| token.challenged(response.headers())) {
        Some(rejection) => refusal(rejection, id),
        None => response,
    }
}

/// The answer to a request that is not let through. One line joins the library's id of the refusal,
/// which Entra's log knows after an exchange, to the gateway's id of the request.
fn refusal(rejection: Rejection, id: &HeaderValue) -> Response<ResponseBody> {
    let id = id.to_str().unwrap_or_default();
    tracing::debug!(
        request_id = id,
        reason = rejection.kind().name(),
        correlation_id = rejection.correlation_id(),
        "request refused"
    );
    rejection.with_request_id(id).to_response()
}

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizeLayer(pub(crate) Core);

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize {
            core: self.0.clone(),
            inner,
        }
    }
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Authorize<S> {
    core: Core,
    inner: S,
}

impl<S> Service<Exchange> for Authorize<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Infallible> + Clone,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = AuthorizeFuture<S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> Self::Future {
        let Some(route) = &exchange.route else {
            return AuthorizeFuture::refused(exchange.answer(Answer::not_found()));
        };
        match self
            .core
            .decide(&Head::from(&exchange.request), &route.policy)
        {
            Decision::Admit(admitted) => {
                admitted.apply(exchange.request.headers_mut());
                AuthorizeFuture::Passed {
                    id: exchange.id.clone(),
                    inner: self.inner.call(exchange),
                    admitted,
                }
            }
            Decision::Wait(pending) => {
                // The service that was made ready is the one that is called later.
                let clone = self.inner.clone();
                AuthorizeFuture::Waiting {
                    pending,
                    put_aside: Some(Box::new((
                        exchange,
                        std::mem::replace(&mut self.inner, clone),
                    ))),
                }
            }
            Decision::Refuse(rejection) => {
                AuthorizeFuture::refused(refusal(rejection, &exchange.id))
            }
        }
    }
}

pin_project! {
    /// The future of [`Authorize`].
    #[project = AuthorizeFutureProj]
    #[derive(Debug)]
    pub(crate) enum AuthorizeFuture<S, F> {
        Passed { #[pin] inner: F, admitted: Admitted, id: HeaderValue },
        Waiting { pending: Pending, put_aside: Option<Box<(Exchange, S)>> },
        Refused { response: Option<Box<Response<ResponseBody>>> },
    }
}

impl<S, F> AuthorizeFuture<S, F> {
    fn refused(response: Response<ResponseBody>) -> Self {
        Self::Refused {
            response: Some(Box::new(response)),
        }
    }
}

impl<S> Future for AuthorizeFuture<S, S::Future>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Infallible>,
{
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                AuthorizeFutureProj::Passed {
                    inner,
                    admitted,
                    id,
                } => {
                    let Ok(response) = ready!(inner.poll(cx));
                    return Poll::Ready(Ok(challenged(admitted, response, id)));
                }
                AuthorizeFutureProj::Refused { response } => {
                    return match response.take() {
                        Some(response) => Poll::Ready(Ok(*response)),
                        None => Poll::Pending,
                    };
                }
                AuthorizeFutureProj::Waiting { pending, put_aside } => {
                    let decided = ready!(Pin::new(pending).poll(cx));
                    match (decided, put_aside.take()) {
                        (Ok(admitted), Some(put_aside)) => {
                            let (mut exchange, mut inner) = *put_aside;
                            admitted.apply(exchange.request.headers_mut());
                            Self::Passed {
                                id: exchange.id.clone(),
                                inner: inner.call(exchange),
                                admitted,
                            }
                        }
                        (Err(rejection), Some(put_aside)) => {
                            Self::refused(refusal(rejection, &put_aside.0.id))
                        }
                        (_, None) => return Poll::Pending,
                    }
                }
            };
            self.set(next);
        }
    }
}
