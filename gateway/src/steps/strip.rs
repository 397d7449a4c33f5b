//! Removes what must not pass: headers of the connection first, so that `Connection` cannot name
//! away what is set later, then every name that only the gateway may set.
//!
//! `Authorization` stays for the next step, which judges it and removes it.

use std::rc::Rc;

use http::{
    HeaderValue, Version,
    header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING},
};

use super::step::Step;
use crate::{
    headers::{self, Reserved},
    message::{answer::Answer, exchange::Exchange},
};

/// The step.
#[derive(Clone, Debug)]
pub(crate) struct Strip(pub(crate) Rc<Reserved>);

impl Step for Strip {
    fn step(&self, exchange: &mut Exchange) -> Result<(), Answer> {
        let headers = exchange.request.headers_mut();
        headers::strip_connection(headers);
        headers::remove_where(headers, |name| {
            *name != AUTHORIZATION && self.0.contains(name)
        });
        // Ours to answer, and answered: by `100 Continue` once the upstream wants the body.
        if exchange.has.expect {
            headers.remove(EXPECT);
        }
        if exchange.has.transfer_encoding {
            // Said anew, since without it a GET would lose its body on the way.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            headers.remove(CONTENT_LENGTH);
        }
        *exchange.request.version_mut() = Version::HTTP_11;
        Ok(())
    }
}
