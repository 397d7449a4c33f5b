//! What a request is counted and written down with.

use std::{rc::Rc, time::Duration};

use tokio::time::Instant;

use super::Watch;
use crate::{record::Record, route::Route};

impl Watch {
    /// The request's time begins; `record` is what is kept of it, if anything is.
    pub(crate) fn open_account(&self, record: Option<Box<Record>>) {
        let begun = record
            .as_ref()
            .map_or_else(Instant::now, |record| record.begun);
        self.account.set((Some(begun), None));
        self.end_record();
        if record.is_some() {
            self.record.replace(record);
        }
    }

    /// The request has a route.
    pub(crate) fn charge_to(&self, route: &Rc<Route>) {
        let (begun, _) = self.account.take();
        self.account.set((begun, Some(Rc::clone(route))));
        self.note(|record| record.route = Some(Rc::clone(&route.names)));
    }

    /// How long the request has taken, and the route it got, if it got one.
    pub(crate) fn close_account(&self) -> (Duration, Option<Rc<Route>>) {
        let (begun, route) = self.account.take();
        (begun.map_or(Duration::ZERO, |begun| begun.elapsed()), route)
    }

    /// Writes something down, where anything is.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut *self.record.borrow_mut() {
            note(record);
        }
    }

    /// Now, where anybody wants to know how long something takes.
    pub(crate) fn stopwatch(&self) -> Option<Instant> {
        self.record.borrow().is_some().then(Instant::now)
    }

    /// The exchange with the client is over.
    pub(crate) fn end_record(&self) {
        if let Some(record) = self.record.take() {
            record.end(self.is_cut() || self.ending().is_some());
        }
    }

    /// The same, unless the connection goes on in another protocol.
    pub(crate) fn end_record_of_answer(&self) {
        let goes_on = (self.record.borrow().as_ref()).is_none_or(|record| record.is_tunnel());
        if !goes_on {
            self.end_record();
        }
    }
}
