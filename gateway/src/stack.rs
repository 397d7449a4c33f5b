//! The order in which a request passes the steps.

use std::{convert::Infallible, rc::Rc, sync::Arc};

use tower::{ServiceBuilder, service_fn};
use tower_obo::Core;
use tower_service::Service;

use crate::{
    authorize::AuthorizeLayer,
    headers::Reserved,
    message::{
        exchange::{Exchange, Reply},
        room::Room,
    },
    record::Readers,
    route::Routes,
    steps::{
        check::Check,
        count::Counts,
        forwarded::SetForwarded,
        limit::{LimitLayer, Running},
        panic_guard::PanicGuardLayer,
        request_id::{Ids, RequestIdLayer},
        route::{AllowedHosts, Pages, RoutingLayer},
        step::StepLayer,
        strip::Strip,
        upstream::forward,
    },
};

/// What the steps of one worker share.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) core: Core,
    pub(crate) retry_challenges: Option<Room>,
    pub(crate) running: Arc<Running>,
    pub(crate) routes: Rc<Routes>,
    pub(crate) reserved: Rc<Reserved>,
    pub(crate) head_bytes: usize,
    pub(crate) target_bytes: usize,
    pub(crate) head_fields: usize,
    pub(crate) allowed: Rc<AllowedHosts>,
    pub(crate) counts: Counts,
    pub(crate) readers: Rc<Readers>,
}

/// The steps, outermost first.
///
/// Every one of them is always ready: whoever is over a limit is refused, not made to wait. So the
/// service may be called without being polled for readiness first.
pub(crate) fn stack(
    parts: Parts,
) -> impl Service<
    Box<Exchange>,
    Response = Reply,
    Error = Infallible,
    Future: Future<Output = Result<Reply, Infallible>>,
> + Clone {
    let routing = RoutingLayer {
        routes: parts.routes,
        allowed: parts.allowed,
    };
    let pages = Pages::of(&routing);
    ServiceBuilder::new()
        // Every answer has an id, also one that tells of a panic; and is counted and logged.
        .layer(RequestIdLayer {
            ids: Rc::new(Ids::new()),
            counts: parts.counts,
        })
        // Below this, a panic is an answer of 500.
        .layer(PanicGuardLayer(pages.clone()))
        // Requests at once; 503 beyond. hyper limits the number of fields before this, over HTTP/1.
        .layer(LimitLayer(parts.running, pages.clone()))
        // Framing, Host, method, the target's form and length: 400 before anything is decided.
        .layer(StepLayer(Check {
            head_bytes: parts.head_bytes,
            target_bytes: parts.target_bytes,
            head_fields: parts.head_fields,
            pages,
        }))
        // Host and path → route, 421, 404, 405; 400 for a path that another reader would take to
        // another route. Preflights are answered here, and whatever is answered below is made to
        // say which web pages may read it.
        .layer(routing)
        // What `Connection` names goes first, then reserved names: before anything is set, so
        // that no client can have the gateway's own headers removed.
        .layer(StepLayer(Strip(parts.reserved)))
        // The token is judged and exchanged; `Authorization` and identity headers are set.
        .layer(AuthorizeLayer {
            core: parts.core,
            retry_challenges: parts.retry_challenges,
        })
        // traceparent, and what a trusted proxy says of the client. Host, Forwarded, X-Forwarded-*,
        // X-Request-Id and Via are told when the request goes out: `message::hop`.
        .layer(StepLayer(SetForwarded {
            readers: parts.readers,
        }))
        // The upstream.
        .service(service_fn(forward))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<S: Service<Box<Exchange>>>(_: fn(Parts) -> S) -> usize {
        size_of::<S::Future>()
    }

    #[test]
    fn the_future_of_a_request_stays_small() {
        // It is moved through every step; each kilobyte more costs some hundred instructions.
        let size = size_of_future(stack);
        assert!(size <= 1048, "{size} bytes");
    }
}
