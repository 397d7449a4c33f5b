//! What users speak: HTTP/1 on a connection each, or HTTP/2 on one that some of them share, within TLS
//! or without.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::{net::TcpStream, sync::Mutex};
use tokio_rustls::{TlsConnector, rustls::ClientConfig};

use crate::{
    client::{Answer, Client},
    http2_upstream::server::body_of,
};

/// One request, as both protocols say it.
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) token: &'a str,
    pub(super) body: String,
}

impl Ask<'_> {
    fn text(&self) -> String {
        let Self {
            method,
            path,
            token,
            body,
        } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn head(&self) -> Request<()> {
        Request::builder()
            .method(self.method)
            .uri(format!("http://gw{}", self.path))
            .header("authorization", format!("Bearer {}", self.token))
            .body(())
            .unwrap()
    }
}

pub(super) enum Link {
    Http1(SocketAddr, Option<Client>),
    Http2(Shared),
}

/// A connection that others use too.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) open: Arc<Mutex<Option<SendRequest<Bytes>>>>,
}

impl Link {
    /// The whole answer; `None` where it broke off, or there was none.
    pub(super) async fn ask(&mut self, ask: &Ask<'_>) -> Option<Answer> {
        match self {
            Self::Http1(address, kept) => {
                let mut client = match kept.take() {
                    Some(client) => client,
                    None => Client::connect(*address).await,
                };
                client.try_send(ask.text()).await;
                let answer = client.answer().await?;
                if answer.status == 200 {
                    *kept = Some(client);
                }
                Some(answer)
            }
            Self::Http2(shared) => shared.ask(ask).await,
        }
    }
}

impl Shared {
    async fn ask(&self, ask: &Ask<'_>) -> Option<Answer> {
        let mut client = self.client().await?;
        speak(&mut client, ask).await
    }

    async fn client(&self) -> Option<SendRequest<Bytes>> {
        let mut open = self.open.lock().await;
        if let Some(client) = &*open
            && let Ok(client) = client.clone().ready().await
        {
            return Some(client);
        }
        *open = None;
        let stream = TcpStream::connect(self.address).await.ok()?;
        stream.set_nodelay(true).unwrap();
        let (client, task) = match &self.tls {
            None => {
                let (client, connection) = h2::client::handshake(stream).await.ok()?;
                (client, tokio::spawn(async { drop(connection.await) }))
            }
            Some(tls) => {
                let name = "localhost".try_into().unwrap();
                let connecting = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
                let (client, connection) =
                    h2::client::handshake(connecting.await.ok()?).await.ok()?;
                (client, tokio::spawn(async { drop(connection.await) }))
            }
        };
        drop(task);
        *open = Some(client.clone());
        Some(client)
    }
}

async fn speak(client: &mut SendRequest<Bytes>, ask: &Ask<'_>) -> Option<Answer> {
    let empty = ask.body.is_empty();
    let (answer, mut sending) = client.send_request(ask.head(), empty).ok()?;
    if !empty {
        sending.send_data(ask.body.clone().into(), true).ok()?;
    }
    let (head, mut body) = answer.await.ok()?.into_parts();
    let body = body_of(&mut body).await.ok()?;
    Some(Answer {
        status: head.status.as_u16(),
        head: format!("{head:?}"),
        body: String::from_utf8(body).unwrap(),
    })
}
