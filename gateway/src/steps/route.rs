//! Finds the route, and refuses paths that can be read in more than one way.

use std::rc::Rc;

use super::step::Step;
use crate::{
    message::{answer::Answer, exchange::Exchange},
    route::{Picked, Routes},
};

/// The step.
#[derive(Clone, Debug)]
pub(crate) struct MatchRoute(pub(crate) Rc<Routes>);

impl Step for MatchRoute {
    fn step(&self, exchange: &mut Exchange) -> Result<(), Answer> {
        let request = &exchange.request;
        match self.0.pick(request.method(), request.uri().path()) {
            Ok(Picked::Route(route)) => {
                exchange.route = Some(Rc::clone(route));
                Ok(())
            }
            Ok(Picked::NoPath) => Err(Answer::not_found()),
            Ok(Picked::NoMethod(allow)) => Err(Answer::method_not_allowed(allow.clone())),
            Err(bad) => Err(Answer::bad_request(bad.detail())),
        }
    }
}
