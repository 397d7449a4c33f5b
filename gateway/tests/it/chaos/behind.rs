//! The upstream: it answers with the object id in the downstream token, and the path.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use h2::server::Builder;
use http::{Response, header::AUTHORIZATION};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Arrivals, Spoken};
use crate::{
    certificates::Identity,
    http2_upstream::server::{Call, Http2Upstream, body_of},
    upstream::{Reply, Seen, Upstream},
};

pub(super) enum Behind {
    Http1(Upstream),
    Http2(Http2Upstream),
    /// The same behind a socket that speaks TLS.
    Http2WithinTls(SocketAddr),
}

impl Behind {
    pub(super) async fn start(spoken: Spoken, identity: &Identity, arrivals: Arrivals) -> Self {
        if spoken == Spoken::Http1 {
            return Self::Http1(Upstream::start(http1(arrivals)).await);
        }
        let http2 =
            Http2Upstream::start(Builder::new(), move |call| http2(call, arrivals.clone())).await;
        if spoken == Spoken::Http2 {
            return Self::Http2(http2);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(identity.server(&["h2"]));
        let to = http2.address;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(to).await.unwrap();
                    if let Ok(mut client) = acceptor.accept(stream).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self::Http2WithinTls(address)
    }

    pub(super) const fn address(&self) -> SocketAddr {
        match self {
            Self::Http1(upstream) => upstream.address,
            Self::Http2(upstream) => upstream.address,
            Self::Http2WithinTls(address) => *address,
        }
    }
}

/// Counts the request; what to answer.
fn who_came(arrivals: &Arrivals, path: &str, authorization: &[&str]) -> String {
    let mut times = arrivals.times.lock().unwrap();
    *times.entry(path.to_owned()).or_default() += 1;
    let Some(oid) = object_id(authorization) else {
        let wrong = format!(
            "{path} came with {} tokens, or none that is one",
            authorization.len()
        );
        arrivals.wrong.lock().unwrap().push(wrong);
        return String::new();
    };
    format!("{oid} {path}")
}

/// Of the one token.
fn object_id(authorization: &[&str]) -> Option<String> {
    let [authorization] = authorization else {
        return None;
    };
    let payload = authorization.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Some(claims["oid"].as_str()?.to_owned())
}

fn http1(arrivals: Arrivals) -> impl Fn(&Seen) -> Reply + Send + Sync {
    move |seen| {
        let path = seen.line().split(' ').nth(1).unwrap();
        let body = who_came(&arrivals, path, &seen.all("authorization"));
        Reply::Keep(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

async fn http2(mut call: Call, arrivals: Arrivals) -> Result<(), h2::Error> {
    // As over HTTP/1, what has not come whole has not come.
    body_of(call.request.body_mut()).await?;
    let given = call.request.headers().get_all(AUTHORIZATION).iter();
    let given: Vec<_> = given
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    let body = who_came(&arrivals, call.request.uri().path(), &given);
    let mut stream = call.respond.send_response(Response::new(()), false)?;
    stream.send_data(Bytes::from(body), true)
}
