//! Removes what must not pass: headers of the connection first, so that `Connection` cannot name
//! away what is set later, then every name that only the gateway may set.
//!
//! `Authorization` stays for the next step, which judges it and removes it.

use std::rc::Rc;

use http::{
    HeaderValue, Version,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING},
};

use super::{forwarded, step::Step};
use crate::{
    headers::{self, Reserved},
    message::{answer::Answer, exchange::Exchange, trailers, websocket},
};

/// The step.
#[derive(Clone, Debug)]
pub(crate) struct Strip(pub(crate) Rc<Reserved>);

impl Step for Strip {
    fn step(&self, exchange: &mut Exchange) -> Result<(), Answer> {
        exchange.has.upgrade = exchange.has.upgrade && websocket::is_asked_for(exchange);
        let headers = exchange.request.headers_mut();
        // `Connection` would have to name both, and a tunnel has no trailers.
        exchange.has.te = exchange.has.te && !exchange.has.upgrade && trailers::are_read(headers);
        // Said anew too, and only where trailers can be: behind a body of unknown length.
        let trailing = if exchange.has.trailer && exchange.has.transfer_encoding {
            let route = exchange.route.as_deref();
            let listed = route.and_then(|route| route.trailers.as_deref());
            trailers::announced(headers, listed, |name| !self.0.contains(name))
        } else {
            None
        };
        let trusted = exchange.client.is_trusted();
        exchange.has.client = trusted;
        headers::strip_connection_and(headers, |name| {
            *name != AUTHORIZATION
                && self.0.contains(name)
                // The step that sets them adds to what a trusted proxy says.
                && !(trusted && forwarded::is_of_the_chain(name))
        });
        // Ours to answer, and answered: by `100 Continue` once the upstream has the head.
        if exchange.has.expect {
            headers.remove(EXPECT);
        }
        if exchange.has.transfer_encoding {
            // Said anew, since without it a GET would lose its body on the way.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            headers.remove(CONTENT_LENGTH);
        }
        if exchange.has.te {
            // RFC 9110 §10.1.4: `TE` is of one connection, and `Connection` says so.
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        exchange.has.trailer = trailing.is_some();
        if let Some(trailing) = trailing {
            headers.insert(TRAILER, trailing);
        }
        if exchange.has.upgrade {
            websocket::name(headers);
        }
        *exchange.request.version_mut() = Version::HTTP_11;
        Ok(())
    }
}
