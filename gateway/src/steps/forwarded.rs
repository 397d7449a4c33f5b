//! What the upstream is told besides by whom it is called: ids, and what a trusted proxy has said. Whatever
//! the client said has been removed, unless it is a proxy that is trusted: then its words stay, and ours
//! are added here. What is ours alone is said last, by [`Hop`](crate::message::hop::Hop).

use std::rc::Rc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{Entry, FORWARDED, HOST, MAX_FORWARDS},
};

use super::{check::is_host, request_id, step::Step};
use crate::{
    message::{
        answer::Answer,
        exchange::{Client, Exchange},
        hop::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO},
    },
    record::Readers,
    trace,
};

pub(super) const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");

/// The step.
#[derive(Clone, Debug)]
pub(crate) struct SetForwarded {
    pub(crate) readers: Rc<Readers>,
}

impl Step for SetForwarded {
    fn step(&self, exchange: &mut Exchange) -> Result<(), Answer> {
        let headers = exchange.request.headers_mut();
        let client = &exchange.client;
        exchange.has.client = exchange.has.client && add(headers, client);
        let traces = self.readers.traces.as_ref();
        if exchange.has.ids || traces.is_some() {
            trace::forward(headers, &exchange.watch, traces);
            keep_client_id(headers, &exchange.id);
        }
        if *exchange.request.method() == Method::OPTIONS {
            exchange.has.ends_here = count_down(exchange.request.headers_mut());
        }
        Ok(())
    }
}

/// The id that Azure's clients give a request is passed on where it is well-formed; else it is ours.
fn keep_client_id(headers: &mut HeaderMap, own: &HeaderValue) {
    let mut all = headers.get_all(CLIENT_REQUEST_ID).iter();
    let is_good = match (all.next(), all.next()) {
        (None, _) => true,
        (Some(one), None) => request_id::is_well_formed(one),
        (Some(_), Some(_)) => false,
    };
    if !is_good {
        headers.insert(CLIENT_REQUEST_ID, own.clone());
    }
}

/// How far an `OPTIONS` may go still (RFC 9110 §7.6.2); `None` where nothing that can be read says so.
fn hops(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(MAX_FORWARDS)?.to_str().ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// One hop less. Whether there is none left, so that the request is answered here.
fn count_down(headers: &mut HeaderMap) -> bool {
    match hops(headers) {
        Some(0) => true,
        Some(hops) => {
            headers.insert(MAX_FORWARDS, HeaderValue::from(hops - 1));
            false
        }
        None => false,
    }
}

/// Whether the header says by which way a request has come.
pub(super) fn is_of_the_chain(name: &HeaderName) -> bool {
    [
        FORWARDED,
        X_FORWARDED_FOR,
        X_FORWARDED_HOST,
        X_FORWARDED_PROTO,
    ]
    .contains(name)
}

/// Adds to what a trusted proxy has said, in the form in which it has said it, if it has said anything.
///
/// A proxy that uses only one of the two forms leaves the other empty, and so does this: begun here,
/// it would name the proxy as the client.
fn add(headers: &mut HeaderMap, client: &Client) -> bool {
    let standard = headers.contains_key(FORWARDED);
    let older = [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO]
        .iter()
        .any(|name| headers.contains_key(name));
    let host = headers.get(HOST).cloned();
    if standard {
        append(headers, FORWARDED, &client.forwarded(host.as_ref()));
    }
    if older {
        append(headers, X_FORWARDED_FOR, &client.address);
        let scheme = HeaderValue::from_static(client.scheme());
        keep(headers, X_FORWARDED_PROTO, Some(scheme), |said| {
            matches!(said, b"http" | b"https")
        });
        keep(headers, X_FORWARDED_HOST, host, is_host);
    }
    standard || older
}

/// Adds an item to a list, which becomes one line.
fn append(headers: &mut HeaderMap, name: HeaderName, item: &HeaderValue) {
    let lines = headers.get_all(&name).iter().chain([item]);
    let lines: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
    if let Ok(all) = HeaderValue::from_bytes(&lines.join(b", ".as_slice())) {
        headers.insert(name, all);
    }
}

/// Keeps what was said once and well; else it is `own`.
fn keep(
    headers: &mut HeaderMap,
    name: HeaderName,
    own: Option<HeaderValue>,
    is_good: impl Fn(&[u8]) -> bool,
) {
    if let Entry::Occupied(said) = headers.entry(name.clone()) {
        let mut values = said.iter();
        let once = (values.next(), values.next());
        if let (Some(value), None) = once
            && is_good(value.as_bytes())
        {
            return;
        }
        said.remove_entry_mult();
    }
    if let Some(own) = own {
        headers.insert(name, own);
    }
}
