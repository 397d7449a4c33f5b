//! The body of a request, piece by piece: the next is asked for once the one before it is with the system.

use std::{
    cell::RefCell,
    io::Write as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body as _, Frame};

use super::{
    Error,
    connection::Connection,
    outgoing::Outgoing,
    request_head::{self, Framing},
};
use crate::message::body::{RequestBody, UploadError};

/// What is left of a body.
#[derive(Debug)]
pub(super) struct Upload {
    body: RequestBody,
    framing: Framing,
    /// The last piece is on its way.
    ended: bool,
}

impl Upload {
    pub(super) const fn new(body: RequestBody, framing: Framing) -> Self {
        Self {
            body,
            framing,
            ended: false,
        }
    }

    /// Sends what there is to send. Ready once all of it is with the system.
    ///
    /// # Errors
    ///
    /// The body broke off, or the connection did.
    pub(super) fn poll(
        &mut self,
        connection: &RefCell<Connection>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            ready!(connection.borrow_mut().poll_write(cx))?;
            if self.ended {
                return Poll::Ready(self.hear_the_end(cx));
            }
            // Not while the connection is borrowed: whose body it is may have more to do with it.
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            self.put(frame, connection.borrow_mut().outgoing())?;
        }
    }

    /// By the length all has come. The end may come behind it, in a frame of its own (HTTP/2), and whose body
    /// it is wants to know.
    fn hear_the_end(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let has_length = matches!(self.framing, Framing::Length(_));
        while has_length && !self.body.is_end_stream() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if frame.data_ref().is_some_and(|data| !data.is_empty()) {
                        return Err(Error::Length);
                    }
                }
                // If it breaks off now, nobody waits for the answer.
                Poll::Ready(Some(Err(_)) | None) => break,
                Poll::Pending => {
                    self.body.is_not_waited_for();
                    break;
                }
            }
        }
        Ok(())
    }

    /// Puts a piece on its way, or the end.
    fn put(
        &mut self,
        frame: Option<Result<Frame<Bytes>, UploadError>>,
        outgoing: &mut Outgoing,
    ) -> Result<(), Error> {
        let frame = match frame {
            Some(frame) => frame?,
            None => return self.end(outgoing),
        };
        match frame.into_data() {
            Ok(data) => self.put_data(data, outgoing),
            Err(frame) => {
                let Ok(trailers) = frame.into_trailers() else {
                    return Ok(());
                };
                if self.framing == Framing::Chunked {
                    let out = outgoing.front();
                    out.extend_from_slice(b"0\r\n");
                    for (name, value) in &trailers {
                        request_head::field(out, name, value);
                    }
                    out.extend_from_slice(b"\r\n");
                    self.ended = true;
                    return Ok(());
                }
                self.end(outgoing)
            }
        }
    }

    fn put_data(&mut self, data: Bytes, outgoing: &mut Outgoing) -> Result<(), Error> {
        // An empty chunk would be the last.
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Error::Length)?;
                self.ended = *left == 0;
                outgoing.set_data(data, b"");
            }
            Framing::Chunked => {
                self.ended = self.body.is_end_stream();
                // Writing to memory does not fail.
                let _ = write!(outgoing.front(), "{:X}\r\n", data.len());
                let tail: &[u8] = if self.ended {
                    b"\r\n0\r\n\r\n"
                } else {
                    b"\r\n"
                };
                outgoing.set_data(data, tail);
            }
        }
        Ok(())
    }

    fn end(&mut self, outgoing: &mut Outgoing) -> Result<(), Error> {
        match self.framing {
            Framing::Length(0) => {}
            Framing::Length(_) => return Err(Error::Length),
            Framing::Chunked => outgoing.front().extend_from_slice(b"0\r\n\r\n"),
        }
        self.ended = true;
        Ok(())
    }
}
