//! One client connection, from its first byte to its last.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, StatusCode, Version, header::CONNECTION};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::{
    config::Config,
    message::{
        body::ResponseBody,
        exchange::{Client, Exchange, Has, Reply},
        upload::Upload,
    },
    net::{
        io::ClientIo,
        network::Network,
        peers::Peers,
        sniff::{self, Protocol},
        watch::{Phase, Watch, Watches},
    },
    server_tls::ServerTls,
    steps::count::Counts,
};

mod http1;
mod http2;
mod slices;

/// What all connections of a worker share.
#[derive(Debug)]
pub(crate) struct Serving {
    http1: hyper::server::conn::http1::Builder,
    http2: http2::Settings,
    watches: Rc<Watches>,
    tls: Option<ServerTls>,
    peers: Arc<Peers>,
    trusted: Vec<Network>,
    counts: Counts,
}

impl Serving {
    pub(crate) fn new(
        config: &Config,
        watches: Rc<Watches>,
        tls: Option<ServerTls>,
        peers: Arc<Peers>,
        counts: Counts,
    ) -> Rc<Self> {
        Rc::new(Self {
            peers,
            trusted: config.trusted_proxies.clone(),
            counts,
            tls,
            http1: http1::builder(&config.limits),
            http2: http2::Settings::new(&config.limits),
            watches,
        })
    }

    /// Serves one connection until it ends by itself, is overdue, or is drained.
    pub(crate) fn serve<S>(
        self: &Rc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        stack: S,
    ) -> impl Future<Output = ()> + use<S>
    where
        S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
        S::Future: 'static,
    {
        let serving = Rc::clone(self);
        let watch = self.watches.add();
        async move {
            let proxies = &serving.trusted;
            let is_trusted = proxies.iter().any(|own| own.contains(peer.ip()));
            let Some(connected) = serving.peers.connect(peer.ip(), is_trusted) else {
                return;
            };
            let client = Rc::new(Client::new(peer, serving.tls.is_some(), connected));
            watch.belongs_to(&client);
            // Boxed is what should not make the future of a plain connection larger.
            if let Some(tls) = &serving.tls {
                Box::pin(serving.secure(stream, tls, client, watch, stack)).await;
                return;
            }
            let mut io = ClientIo::new(stream, Rc::clone(&watch));
            let protocol = {
                let sniffing = pin!(sniff::protocol(&mut io));
                watch.before_anything(sniffing).await
            };
            match protocol {
                Some(Protocol::Http1) => {
                    http1::serve(&serving, io, client, watch, stack).await;
                }
                Some(Protocol::Http2) => {
                    Box::pin(http2::serve(&serving, io, client, watch, stack)).await;
                }
                None => {}
            }
        }
    }

    /// Serves a connection over TLS, whose handshake may take as long as a request head, and which
    /// says what is spoken on it (ALPN, RFC 7301).
    async fn secure<S>(
        &self,
        stream: TcpStream,
        tls: &ServerTls,
        client: Rc<Client>,
        watch: Rc<Watch>,
        stack: S,
    ) where
        S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
        S::Future: 'static,
    {
        watch.enter(Phase::Head);
        let shaken = {
            let handshake = pin!(tls.acceptor().accept(stream));
            watch.before_anything(handshake).await
        };
        let session = match shaken {
            Some(Ok(session)) => session,
            Some(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                return;
            }
            None => return,
        };
        watch.enter(Phase::Idle);
        let is_http2 = session.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = ClientIo::new(session, Rc::clone(&watch));
        if is_http2 {
            http2::serve(self, io, client, watch, stack).await;
        } else {
            http1::serve(self, io, client, watch, stack).await;
        }
    }
}

/// A request at the top of the stack.
fn exchange(request: Request<Incoming>, client: &Rc<Client>, watch: &Rc<Watch>) -> Box<Exchange> {
    let upload = if request.version() == Version::HTTP_2 {
        Upload::Multiplexed
    } else {
        Upload::Streamed
    };
    Box::new(Exchange {
        request: request.map(upload),
        client: Rc::clone(client),
        watch: Rc::clone(watch),
        id: HeaderValue::from_static(""),
        has: Has::default(),
        route: None,
    })
}

pin_project! {
    /// Lets the answer's body tell the request's watch when it has ended.
    struct FrontFuture<F> {
        #[pin]
        inner: F,
        watch: Rc<Watch>,
        framing: Framing,
    }
}

/// How the end of a request's body is told, where the connection is not used again before it.
#[derive(Clone, Copy, Debug)]
enum Framing {
    /// By the stream's.
    Http2,
    /// There is none.
    Nothing,
    /// By a last chunk, and with trailers perhaps.
    Chunked,
    /// By a length.
    Length(u64),
}

impl<F> Future for FrontFuture<F>
where
    F: Future<Output = Result<Reply, Infallible>>,
{
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Poll::Ready(Ok(mut response)) = this.inner.poll(cx) else {
            return Poll::Pending;
        };
        let behind = match *this.framing {
            Framing::Http2 | Framing::Nothing => false,
            // Trailers are where two readers of HTTP/1 may still differ about the end of a request, and
            // what one takes for them is another's next request. So nothing is read behind them, nor
            // where an answer begins before the chunks have ended.
            Framing::Chunked => !this.watch.has_plain_end(),
            // hyper closes behind an answer that ends while more of the body has to come than is there
            // already, and whoever keeps connections should know (RFC 9112 §9.6).
            Framing::Length(length) => {
                let ends_first = !this.watch.is_uploaded() && response.body().ends_at_once();
                ends_first && length > this.watch.came_along()
            }
        };
        // And at a shutdown the client is to go elsewhere; HTTP/2 says so for the whole connection.
        // A tunnel is not an answer that could be the last: `Upgrade` has to stand there.
        let is_last = !matches!(*this.framing, Framing::Http2)
            && this.watch.is_draining()
            && response.status() != StatusCode::SWITCHING_PROTOCOLS;
        if behind || is_last {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            this.watch.hold_tunnel(response.body_mut().take_permit());
        }
        response.body_mut().watch(Rc::clone(this.watch));
        Poll::Ready(Ok(*response))
    }
}
