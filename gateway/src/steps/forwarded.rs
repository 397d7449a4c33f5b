//! Tells the upstream who called whom. Whatever the client said of that has been removed.

use http::{
    HeaderName, HeaderValue,
    header::{FORWARDED, HOST},
};

use super::step::Step;
use crate::message::{
    answer::{Answer, REQUEST_ID},
    exchange::Exchange,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetForwarded;

impl Step for SetForwarded {
    fn step(&self, exchange: &mut Exchange) -> Result<(), Answer> {
        let Some(route) = &exchange.route else {
            return Err(Answer::not_found());
        };
        let own = route.upstream.upstream().authority.clone();
        let headers = exchange.request.headers_mut();
        let host = headers.insert(HOST, own);
        headers.insert(FORWARDED, exchange.client.forwarded(host.as_ref()));
        headers.insert(X_FORWARDED_FOR, exchange.client.address.clone());
        headers.insert(
            X_FORWARDED_PROTO,
            HeaderValue::from_static(exchange.client.scheme()),
        );
        if let Some(host) = host {
            headers.insert(X_FORWARDED_HOST, host);
        }
        headers.insert(REQUEST_ID, exchange.id.clone());
        Ok(())
    }
}
