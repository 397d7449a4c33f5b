//! An HTTP/2 server that does as a test says.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use h2::{
    RecvStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, Request, Response, request::Parts};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::{client::in_time, rig::Rig, upstream::ok};

type Answering = Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>;
type Script = dyn Fn(Call) -> Answering + Send + Sync;

/// One request that an upstream has got.
pub(crate) struct Call {
    /// Which one, from 0.
    pub(crate) number: usize,
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

impl Call {
    pub(crate) fn answer(mut self, status: u16, body: &'static str) -> Result<(), h2::Error> {
        let response = Response::builder().status(status).body(()).unwrap();
        let mut stream = self.respond.send_response(response, body.is_empty())?;
        if body.is_empty() {
            return Ok(());
        }
        stream.send_data(Bytes::from_static(body.as_bytes()), true)
    }
}

struct Shared {
    seen: Mutex<Vec<Parts>>,
    connections: AtomicUsize,
    changed: Notify,
    script: Box<Script>,
}

pub(crate) struct Http2Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Http2Upstream {
    pub(crate) async fn start<F>(
        builder: Builder,
        script: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            changed: Notify::new(),
            script: Box::new(move |call| Box::pin(script(call))),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, builder.clone(), Arc::clone(&accepting)));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn seen(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    pub(crate) fn head(&self, index: usize) -> (Parts, HeaderMap) {
        let parts = self.shared.seen.lock().unwrap()[index].clone();
        let headers = parts.headers.clone();
        (parts, headers)
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub(crate) async fn until_seen(&self, count: usize) {
        in_time(async {
            loop {
                let changed = self.shared.changed.notified();
                if self.seen() >= count {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    pub(crate) async fn rig(&self, file: &str) -> Rig {
        let url = format!("h2c://{}", self.address);
        Rig::new(
            file,
            |_| ok(),
            |config| {
                for upstream in config.upstreams.values_mut() {
                    upstream.set_url(&url).unwrap();
                }
                for route in &mut config.routes {
                    route.trailers = vec!["x-sum".to_owned(), "x-t*".to_owned()];
                }
            },
        )
        .await
    }
}

async fn serve(stream: TcpStream, builder: Builder, shared: Arc<Shared>) {
    let Ok(mut connection) = builder.handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (parts, body) = request.into_parts();
        let number = {
            let mut seen = shared.seen.lock().unwrap();
            seen.push(parts.clone());
            seen.len() - 1
        };
        shared.changed.notify_waiters();
        let request = Request::from_parts(parts, body);
        let call = Call {
            number,
            request,
            respond,
        };
        // What this one says at once is the end of the connection.
        let ends = call.request.uri().path() == "/go-away";
        let answering = (shared.script)(call);
        if ends {
            connection.graceful_shutdown();
        }
        tokio::spawn(answering);
    }
}

pub(crate) async fn body_of(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok(body)
}

/// Sends this on a connection of its own, and gives back the status.
pub(crate) async fn status(rig: &Rig, bytes: String) -> u16 {
    let mut client = rig.client().await;
    client.send(bytes).await;
    client.answer().await.unwrap().status
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gw\r\n\r\n")
}
