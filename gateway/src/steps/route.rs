//! Finds the route, refuses hosts that are none of ours, and paths that can be read in more than
//! one way.

use std::rc::Rc;

use super::step::Step;
use crate::{
    host::HostPattern,
    message::{answer::Answer, exchange::Exchange},
    route::{Picked, Routes},
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

/// The step.
#[derive(Clone, Debug)]
pub(crate) struct MatchRoute {
    pub(crate) routes: Rc<Routes>,
    pub(crate) allowed: Rc<AllowedHosts>,
}

impl Step for MatchRoute {
    fn step(&self, exchange: &mut Exchange) -> Result<(), Answer> {
        let request = &exchange.request;
        let host = if self.routes.are_on_hosts() || !self.allowed.hosts.is_empty() {
            exchange.host()
        } else {
            b""
        };
        if !self.allowed.allows(host) {
            return Err(Answer::misdirected());
        }
        match self
            .routes
            .pick(request.method(), host, request.uri().path())
        {
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
