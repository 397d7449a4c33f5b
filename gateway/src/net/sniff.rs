//! Which protocol a client speaks on a connection without TLS: HTTP/2 begins with words that are no
//! HTTP/1 request (RFC 9113 §3.3, prior knowledge). `Upgrade: h2c` is not offered.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead as _, ReadBuf};

use super::{
    frames::PREFACE,
    io::{ClientIo, Socket},
};

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Reads as much as it takes to know, and puts it back. An error or the end is HTTP/1's to find.
pub(crate) async fn protocol<T>(io: &mut ClientIo<T>) -> Protocol
where
    T: Socket,
{
    let mut bytes = [0; PREFACE.len()];
    let mut have = 0;
    let outcome: io::Result<Protocol> = poll_fn(|cx| {
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            buf.set_filled(have);
            ready!(Pin::new(&mut *io).poll_read(cx, &mut buf))?;
            let ended = buf.filled().len() == have;
            have = buf.filled().len();
            if ended || !PREFACE.starts_with(buf.filled()) {
                return Poll::Ready(Ok(Protocol::Http1));
            }
            if have == PREFACE.len() {
                return Poll::Ready(Ok(Protocol::Http2));
            }
        }
    })
    .await;
    io.put_back(Bytes::copy_from_slice(
        bytes.get(..have).unwrap_or_default(),
    ));
    outcome.unwrap_or(Protocol::Http1)
}
