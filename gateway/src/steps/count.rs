//! Counts how each request ended, and how long that took; and writes its line into the access log,
//! where there is one.

use std::{rc::Rc, sync::Arc};

use http::Response;
use tower_obo::Rejection;

use crate::{
    AccessLog,
    access_log::{Answered, Asked},
    message::{body::ResponseBody, exchange::Exchange},
    metrics::{Figures, Metrics, Outcome, Refusal},
    net::watch::Watch,
};

/// Where one worker counts. Not a layer of its own: one more would cost a request more than the counting
/// does, since every layer moves it once.
#[derive(Clone, Debug)]
pub(crate) struct Counts(Rc<Places>);

#[derive(Debug)]
struct Places {
    metrics: Arc<Metrics>,
    /// Requests that got no route.
    unrouted: Arc<Figures>,
    log: Option<AccessLog>,
}

impl Counts {
    pub(crate) fn new(metrics: &Arc<Metrics>, log: Option<AccessLog>) -> Self {
        Self(Rc::new(Places {
            metrics: Arc::clone(metrics),
            unrouted: metrics.routes.open("none"),
            log,
        }))
    }

    /// A request begins, and has its id.
    pub(crate) fn open(&self, exchange: &Exchange) -> Open {
        let watch = Rc::clone(&exchange.watch);
        watch.open_account();
        let asked = self.0.log.as_ref().map(|_| {
            let request = &exchange.request;
            Box::new(Asked {
                id: exchange.id.clone(),
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
            })
        });
        Open {
            places: Rc::clone(&self.0),
            watch: Some(watch),
            asked,
        }
    }
}

/// A request that has not been counted yet; if it never is answered, it is counted as abandoned.
#[derive(Debug)]
pub(crate) struct Open {
    places: Rc<Places>,
    watch: Option<Rc<Watch>>,
    /// For the access log.
    asked: Option<Box<Asked>>,
}

impl Open {
    /// It has this answer, or none where the client left.
    pub(crate) fn close(&mut self, response: Option<&Response<ResponseBody>>) {
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
            None => &self.places.unrouted,
        };
        figures.count(outcome, took);
        if let Some(refusal) = refusal {
            self.places.metrics.refused(refusal);
        }
        if let (Some(log), Some(asked)) = (&self.places.log, self.asked.take()) {
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
