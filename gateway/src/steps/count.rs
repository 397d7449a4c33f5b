//! Counts how each request ended, and how long that took; and begins the record of each, where somebody
//! writes about requests.

use std::{rc::Rc, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Response};
use tower_obo::Rejection;

use crate::{
    message::{body::ResponseBody, exchange::Exchange, unparsed::Unparsed},
    metrics::{Figures, Metrics, Outcome, Refusal},
    net::watch::Watch,
    record::{Begun, Ended, Readers, Record},
    server_timing::{self, SERVER_TIMING},
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
    readers: Rc<Readers>,
}

impl Counts {
    pub(crate) fn new(metrics: &Arc<Metrics>, readers: Rc<Readers>) -> Self {
        Self(Rc::new(Places {
            metrics: Arc::clone(metrics),
            unrouted: metrics.routes.open("none"),
            readers,
        }))
    }

    /// What was no request has been refused. Nothing of it is known but that.
    pub(crate) fn unparsed(&self, refused: &Unparsed) {
        let outcome = Outcome::Refused(refused.refusal.actor);
        self.0.unrouted.count(outcome, Duration::ZERO);
        self.0.metrics.refused(refused.refusal);
        let readers = &self.0.readers;
        let (true, Ok(id), Ok(unknown)) = (
            readers.access.is_some(),
            HeaderValue::from_str(&refused.id),
            Method::from_bytes(b"-"),
        ) else {
            return;
        };
        let mut record = Record::new(readers, id, unknown, "-");
        record.answer = Some(Begun {
            status: refused.status,
            outcome,
            refusal: Some(refused.refusal),
            aadsts: None,
            after: Duration::ZERO,
        });
        // Written as it is dropped.
        record.ended = Ended::Complete;
    }

    /// A request begins, and has its id.
    pub(crate) fn open(&self, exchange: &Exchange) -> Open {
        let watch = Rc::clone(&exchange.watch);
        watch.open_account(self.0.readers.open(exchange));
        Open {
            places: Rc::clone(&self.0),
            watch: Some(watch),
        }
    }
}

/// A request that has not been counted yet; if it never is answered, it is counted as abandoned.
#[derive(Debug)]
pub(crate) struct Open {
    places: Rc<Places>,
    watch: Option<Rc<Watch>>,
}

impl Open {
    /// Has the answer say where the time went, where its route wants that.
    pub(crate) fn tell_times(&self, response: &mut Response<ResponseBody>) {
        if !self.places.readers.server_timing {
            return;
        }
        let mut times = None;
        if let Some(watch) = &self.watch {
            watch.note(|record| times = server_timing::of(record));
        }
        if let Some(times) = times {
            response.headers_mut().append(SERVER_TIMING, times);
        }
    }

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
        watch.note(|record| {
            if let Some(trace) = &record.trace {
                figures.note(trace.exemplar(took));
            }
        });
        if let Some(refusal) = refusal {
            self.places.metrics.refused(refusal);
        }
        match response {
            Some(response) => watch.note(|record| {
                let rejection = response.extensions().get::<Rejection>();
                record.answer = Some(Begun {
                    status: response.status(),
                    outcome,
                    refusal,
                    aadsts: rejection.and_then(Rejection::aadsts),
                    after: took,
                });
            }),
            None => watch.end_record(),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close(None);
    }
}
