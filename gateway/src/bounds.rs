//! The limits of one route, as its requests meet them.

use std::{rc::Rc, sync::Arc, time::Duration};

use hyper::body::Body as _;

use crate::{
    config::{Limits, RouteLimits},
    message::{answer::Answer, exchange::Exchange},
    steps::limit::Running,
};

/// What a route limits besides what all do. Most have none.
#[derive(Debug)]
pub(crate) struct Bounds {
    body_bytes: Option<u64>,
    running: Option<Arc<Running>>,
    pub(crate) times: Times,
}

/// Times that are not those of all routes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) response: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) total: Option<Duration>,
}

impl Bounds {
    /// `running` counts the route's requests in the whole process, where their number is limited.
    pub(crate) fn new(
        all: &Limits,
        own: &RouteLimits,
        running: Option<Arc<Running>>,
    ) -> Option<Rc<Self>> {
        let bounds = Self {
            body_bytes: own.body_bytes.or(all.body_bytes),
            running,
            times: Times {
                response: own.response_timeout,
                idle: own.idle_timeout,
                total: own.total_timeout.or(all.total_timeout),
            },
        };
        let times = bounds.times;
        let any = bounds.body_bytes.is_some()
            || bounds.running.is_some()
            || times.response.or(times.idle).or(times.total).is_some();
        any.then(|| Rc::new(bounds))
    }

    /// Lets a request run within these limits.
    ///
    /// # Errors
    ///
    /// The answer to one that is beyond them already.
    pub(crate) fn admit(&self, exchange: &Exchange) -> Result<(), Answer> {
        if let Some(most) = self.body_bytes {
            // A length that was declared. Without one, the bytes are counted as they come.
            let declared = exchange.request.body().size_hint().lower();
            if declared > most {
                return Err(Answer::body_too_large());
            }
            exchange.watch.allow_body(most);
        }
        if let Some(running) = &self.running {
            let permit = running.permit().ok_or(Answer::too_many_requests())?;
            exchange.watch.hold(permit);
        }
        exchange.watch.keep_to(&self.times);
        Ok(())
    }
}
