//! A request on its way through the stack, with what the steps have learned about it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use http::{HeaderValue, Request, Response, Version, header::HOST};
use hyper::body::Body as _;
use tower_obo::Head;

use super::{answer::Answer, body::ResponseBody, upload::Upload};
use crate::{
    net::{network::Network, watch::Watch},
    route::Route,
    steps::limit::{Connected, Share},
};

/// The answer on its way back through the steps. Boxed, since each of them hands it on.
pub(crate) type Reply = Box<Response<ResponseBody>>;

/// One request. A type of its own, so that what the steps add needs no allocation, as the
/// request's extensions would.
pub(crate) struct Exchange {
    pub(crate) request: Request<Upload>,
    pub(crate) client: Rc<Client>,
    /// What the request is doing.
    pub(crate) watch: Rc<Watch>,
    /// `x-request-id`; empty before the first step.
    pub(crate) id: HeaderValue,
    /// Which headers that matter to HTTP itself the request has, so that each step need not look
    /// for them again.
    pub(crate) has: Has,
    /// Set by the step that matches routes.
    pub(crate) route: Option<Rc<Route>>,
}

impl Exchange {
    /// Whether the request has no body, or none that is still to come.
    pub(crate) fn has_no_body(&self) -> bool {
        self.request.body().is_end_stream()
    }

    /// The host that was asked for, with its port; empty where HTTP/1.0 names none.
    pub(crate) fn host(&self) -> &[u8] {
        let host = self.request.headers().get(HOST);
        host.map_or(b"", HeaderValue::as_bytes)
    }

    /// The answer to this request, given by the gateway itself.
    pub(crate) fn answer(&self, answer: Answer) -> Reply {
        Box::new(answer.for_grpc(self.is_grpc()).into_response(&self.id))
    }

    /// Whether it is a gRPC call, also before `has` is known. There are none over HTTP/1, where the status
    /// of an answer says whether the connection can be trusted.
    pub(crate) fn is_grpc(&self) -> bool {
        self.request.version() == Version::HTTP_2 && Head::from(&self.request).is_grpc()
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the headers, which hold tokens, nor the query.
        f.debug_struct("Exchange")
            .field("id", &self.id)
            .field("method", self.request.method())
            .finish_non_exhaustive()
    }
}

/// Which headers a request has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Has {
    pub(crate) expect: bool,
    /// Also where HTTP/2 gives a body without a length, since HTTP/1.1 needs a word for that.
    pub(crate) transfer_encoding: bool,
    /// `TE`; once the step that strips has passed: one that says `trailers`.
    pub(crate) te: bool,
    /// `Trailer`; once the step that strips has passed: one that names fields that may pass.
    pub(crate) trailer: bool,
    /// `Upgrade`; once the step that strips has passed: a wish for WebSocket that may be granted.
    pub(crate) upgrade: bool,
    /// In which it came; it goes on in the upstream's.
    pub(crate) version: Version,
    /// It has gone as far as it may, and is answered instead of being forwarded.
    pub(crate) ends_here: bool,
    /// `traceparent`, `tracestate` or `client-request-id`, which have to be looked at.
    pub(crate) ids: bool,
    /// A proxy that is trusted may say who the client is: decided when what others say is taken out, since
    /// it may be trusted no more when an exchange has been waited for. Once the step that adds to it has
    /// passed: it has said so.
    pub(crate) client: bool,
    /// It is a gRPC call, and is refused in the form of gRPC.
    pub(crate) grpc: bool,
}

/// The client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Whether it speaks TLS.
    pub(crate) secure: bool,
    peer: IpAddr,
    /// Whether it is a proxy that says truly who the client is.
    trusted: Cell<bool>,
    /// Counts for its address.
    connected: Option<Connected>,
    /// The client's address as a header value.
    pub(crate) address: HeaderValue,
    /// What stands for the client in `Forwarded` (RFC 7239 §6: IPv6 in brackets and quotes).
    node: String,
    /// What was made for the last `Host`: a connection rarely has two.
    told: RefCell<Option<Told>>,
}

/// What is told of the client to the upstream of a request for one host.
#[derive(Debug)]
struct Told {
    host: HeaderValue,
    forwarded: HeaderValue,
    /// `Forwarded` and the older form of it, as HTTP/1 has them.
    lines: Box<[u8]>,
}

impl Client {
    /// Nobody is trusted before [`trust`](Self::trust) has been told whom to.
    pub(crate) fn new(
        peer: SocketAddr,
        secure: bool,
        connected: impl Into<Option<Connected>>,
    ) -> Self {
        // An IPv4 client of a dual-stack socket is an IPv4 client.
        let ip = peer.ip().to_canonical();
        let text = ip.to_string();
        let node = if ip.is_ipv6() {
            format!("\"[{text}]\"")
        } else {
            text.clone()
        };
        Self {
            secure,
            peer: peer.ip(),
            trusted: Cell::new(false),
            connected: connected.into(),
            address: HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown")),
            node,
            told: RefCell::new(None),
        }
    }

    #[cfg(test)]
    pub(crate) fn on_loopback() -> Self {
        Self::new(([127, 0, 0, 1], 1).into(), false, None)
    }

    /// Takes its word for who the client is if it is one of these, and else not any more.
    pub(crate) fn trust(&self, proxies: &[Network]) {
        let trusted = proxies.iter().any(|network| network.contains(self.peer));
        self.trusted.set(trusted);
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted.get()
    }

    /// The running requests of its address, unless it is a proxy, which has many clients.
    pub(crate) fn share(&self) -> Option<&Arc<Share>> {
        let connected = self.connected.as_ref().filter(|_| !self.is_trusted());
        connected.map(Connected::share)
    }

    /// `https` or `http`.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// `Forwarded` (RFC 7239) for a request to `host`.
    pub(crate) fn forwarded(&self, host: Option<&HeaderValue>) -> HeaderValue {
        self.with_told(host, |told| told.forwarded.clone())
    }

    /// Writes `Forwarded`, `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    pub(crate) fn write_way(&self, out: &mut Vec<u8>, host: Option<&HeaderValue>) {
        self.with_told(host, |told| out.extend_from_slice(&told.lines));
    }

    fn with_told<T>(&self, host: Option<&HeaderValue>, read: impl FnOnce(&Told) -> T) -> T {
        let empty = HeaderValue::from_static("");
        let host = host.unwrap_or(&empty);
        if let Some(told) = &*self.told.borrow()
            && told.host == host
        {
            return read(told);
        }
        read(self.told.borrow_mut().insert(self.tell(host)))
    }

    fn tell(&self, host: &HeaderValue) -> Told {
        let (node, proto) = (&self.node, self.scheme());
        let address = self.address.to_str().unwrap_or("unknown");
        let mut rest = format!("x-forwarded-for: {address}\r\nx-forwarded-proto: {proto}\r\n");
        let forwarded = match host.to_str() {
            // Quoted, since a port's colon may not stand in a token; the host has been checked
            // and holds neither quote nor backslash.
            Ok(host) if !host.is_empty() => {
                rest.push_str(&format!("x-forwarded-host: {host}\r\n"));
                format!("for={node};host=\"{host}\";proto={proto}")
            }
            _ => format!("for={node};proto={proto}"),
        };
        Told {
            // A copy: the client's value is a part of all that was read with it.
            host: HeaderValue::from_bytes(host.as_bytes()).unwrap_or(HeaderValue::from_static("")),
            lines: format!("forwarded: {forwarded}\r\n{rest}")
                .into_bytes()
                .into(),
            forwarded: HeaderValue::try_from(forwarded).unwrap_or(HeaderValue::from_static("")),
        }
    }
}
