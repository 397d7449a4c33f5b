//! One connection: its socket, what has been read and not been used, and what is to be written.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use tokio::{
    io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf},
    task::unconstrained,
};

use super::{
    Error, READ_AT_ONCE,
    answer_head::{self, AnswerHead},
    outgoing::Outgoing,
    request_head,
    upload::Upload,
};
use crate::{
    message::{body::RequestBody, hop::Hop},
    net::connector::Transport,
};

/// What is read at once at first, in bytes; more where there is more.
const READ_FIRST: usize = 8 * 1024;

/// A map of more fields is not kept for the next head.
const MOST_KEPT_FIELDS: usize = 64;

/// The connection. Its request and the rest of an upload take turns with it.
pub(super) struct Connection {
    io: Transport,
    /// Where is read into. Holds the beginning of a head while that has not ended.
    buffer: BytesMut,
    /// How much of it was looked at in vain.
    looked_at: usize,
    /// What has been read behind the head.
    rest: Bytes,
    read_next: usize,
    outgoing: Outgoing,
    /// Something has been written that may lie between here and the socket.
    unflushed: bool,
    /// Room for the next head's fields.
    fields: HeaderMap,
    /// The answer to a HEAD has no body.
    is_head: bool,
    /// The upload goes on by itself.
    uploading: bool,
    /// Whether another request may follow.
    keep_alive: bool,
    /// The upstream has said something since the request began.
    heard: bool,
    /// Why nothing more is read.
    failed: Option<Error>,
    /// Who reads while the upload goes on.
    reader: Option<Waker>,
}

impl Connection {
    pub(super) fn new(io: Transport) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            looked_at: 0,
            rest: Bytes::new(),
            read_next: READ_FIRST,
            outgoing: Outgoing::default(),
            unflushed: false,
            fields: HeaderMap::new(),
            is_head: false,
            uploading: false,
            keep_alive: true,
            heard: false,
            failed: None,
            reader: None,
        }
    }

    /// The socket, and what has been read from it.
    pub(super) fn into_parts(self) -> (Transport, Bytes) {
        (self.io, self.rest)
    }

    /// Whether the upstream says nothing, as it should between an answer and the next request: neither the
    /// end of the connection nor an answer that nobody asked for.
    ///
    /// Whoever asks is told when that changes.
    pub(super) fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        let read = poll_fn(|cx| Pin::new(&mut self.io).poll_read(cx, &mut byte));
        // Whatever else this task has done: at the end of its budget each would seem to say nothing.
        pin!(unconstrained(read)).poll(cx).is_pending()
    }

    /// Whether another request may be sent once an answer has been read to its end.
    pub(super) const fn is_reusable(&self) -> bool {
        self.keep_alive
            && !self.uploading
            && self.failed.is_none()
            && self.rest.is_empty()
            && self.outgoing.is_empty()
            && !self.unflushed
    }

    /// It waits from now on, and needs less room.
    pub(super) fn wait(&mut self) {
        self.reader = None;
        // It is empty, and may keep all that was read.
        self.rest = Bytes::new();
        // What is left of it may be little, and keep all that it was a part of.
        if self.read_next > READ_FIRST || self.buffer.capacity() > READ_FIRST {
            self.buffer = BytesMut::new();
            self.read_next = READ_FIRST;
        }
    }

    /// Whether the upstream has said anything since the request began. What TLS says by itself does not
    /// count.
    pub(super) const fn has_heard(&self) -> bool {
        self.heard
    }

    /// What has been read of the answer makes no sense: where the next one would begin is not known.
    pub(super) const fn give_up(&mut self) {
        self.keep_alive = false;
    }

    /// Puts the request's head on its way. Its body, where it has one, is given back.
    ///
    /// # Errors
    ///
    /// Its length and its body say different things.
    pub(super) fn begin(
        &mut self,
        request: Request<RequestBody>,
        hop: Hop<'_>,
    ) -> Result<Option<Box<Upload>>, Error> {
        self.is_head = *request.method() == Method::HEAD;
        self.heard = false;
        let (mut head, body) = request.into_parts();
        let framing = request_head::write(self.outgoing.front(), &head, &body, hop)?;
        if head.headers.capacity() <= MOST_KEPT_FIELDS {
            head.headers.clear();
            self.fields = head.headers;
        }
        Ok(framing.map(|framing| Box::new(Upload::new(body, framing))))
    }

    pub(super) const fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Writes all that is on its way. An error leaves nothing: the upstream may have answered all the same.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.outgoing.is_empty() {
            let written = match ready!(self.outgoing.poll_write(&mut self.io, cx)) {
                Ok(0) => {
                    return Poll::Ready(Err(
                        self.cannot_write(std::io::ErrorKind::WriteZero.into())
                    ));
                }
                Ok(written) => written,
                Err(error) => return Poll::Ready(Err(self.cannot_write(error))),
            };
            self.outgoing.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            if let Err(error) = ready!(Pin::new(&mut self.io).poll_flush(cx)) {
                return Poll::Ready(Err(self.cannot_write(error)));
            }
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn cannot_write(&mut self, error: std::io::Error) -> Error {
        self.outgoing = Outgoing::default();
        self.unflushed = false;
        self.keep_alive = false;
        error.into()
    }

    /// Waits for an answer's head.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<AnswerHead, Error>> {
        loop {
            if !self.buffer.is_empty() && self.may_have_ended() {
                // What it holds is passed on as it lies here, so that it has to be shared.
                let mut bytes = self.buffer.split().freeze();
                let head = answer_head::take(&mut bytes, self.is_head, &mut self.fields)?;
                if let Some(head) = head {
                    self.looked_at = 0;
                    self.rest = bytes;
                    self.keep_alive &= head.keep_alive;
                    return Poll::Ready(Ok(head));
                }
                // It comes in parts, which is rare.
                self.buffer = BytesMut::with_capacity(bytes.len() + READ_FIRST);
                self.buffer.extend_from_slice(&bytes);
            }
            self.looked_at = self.buffer.len();
            if self.looked_at >= READ_AT_ONCE {
                return Poll::Ready(Err(Error::HeadTooLarge));
            }
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Err(Error::Incomplete));
            }
        }
    }

    fn may_have_ended(&self) -> bool {
        self.looked_at == 0 || answer_head::may_end(&self.buffer, self.looked_at)
    }

    /// What has been read and belongs to nobody yet.
    pub(super) const fn read_ahead(&mut self) -> &mut Bytes {
        &mut self.rest
    }

    /// Takes `most` bytes of that; `None` where there is none.
    pub(super) fn take_read(&mut self, most: u64) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        let length =
            usize::try_from(most).map_or(self.rest.len(), |most| most.min(self.rest.len()));
        if length == self.rest.len() {
            return Some(std::mem::take(&mut self.rest));
        }
        Some(self.rest.split_to(length))
    }

    /// Reads more, once [`read_ahead`](Self::read_ahead) has been used up. False at the end of the
    /// connection.
    ///
    /// # Errors
    ///
    /// The connection broke, or the request did.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        if let Some(error) = self.failed.take() {
            self.keep_alive = false;
            return Poll::Ready(Err(error));
        }
        let polled = self.poll_read(cx);
        if polled.is_pending() && self.uploading {
            match &mut self.reader {
                Some(known) => known.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        let read = ready!(polled)?;
        self.rest = self.buffer.split().freeze();
        if read == 0 {
            self.keep_alive = false;
        }
        Poll::Ready(Ok(read > 0))
    }

    /// Reads into the buffer; 0 is the end of the connection.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Error>> {
        let free = self.buffer.capacity() - self.buffer.len();
        // The first size need not be there as a whole, or room would be made for every answer.
        let wanted = if self.read_next == READ_FIRST {
            READ_FIRST / 2
        } else {
            self.read_next
        };
        if free < wanted {
            self.buffer.reserve(self.read_next);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let read = ready!(pin!(self.io.read_buf(&mut self.buffer)).poll(cx))?;
        self.heard |= read > 0;
        if read == room {
            self.read_next = (self.read_next * 2).min(READ_AT_ONCE);
        } else if read < self.read_next / 4 {
            self.read_next = (self.read_next / 2).max(READ_FIRST);
        }
        Poll::Ready(Ok(read))
    }

    /// The rest of the upload has a task of its own now.
    pub(super) const fn upload_goes_on(&mut self) {
        self.uploading = true;
    }

    /// How that ended.
    pub(super) fn upload_ended(&mut self, ended: Result<(), Error>) {
        match ended {
            Ok(()) => self.uploading = false,
            Err(error) => {
                tracing::debug!(%error, "an upload ended before its end");
                self.keep_alive = false;
                // A request that broke off has no answer. An upstream that does not read to the end
                // may still have one.
                if error.is_of_the_request() {
                    self.failed = Some(error);
                    if let Some(reader) = self.reader.take() {
                        reader.wake();
                    }
                }
            }
        }
    }
}

/// Without what is on its way, which has tokens in it.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("io", &self.io)
            .field("keep_alive", &self.keep_alive)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
