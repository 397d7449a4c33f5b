//! A connection in use.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Frame;

use super::{
    AnswerBody, Error, answer_head::AnswerHead, connection::Connection, task::Task, upload::Upload,
};
use crate::{
    message::{body::RequestBody, hop::Hop},
    net::{connector::Transport, line::Line},
};

/// A connection that is one request's. Dropped, it is closed; only [`Lease::give_back`] keeps it.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Rc<RefCell<Connection>>,
    line: Rc<Line>,
    /// What is left of the request's body, until its answer begins.
    upload: Option<Box<Upload>>,
    /// What goes on behind that.
    task: Task,
}

impl Lease {
    /// Of a connection on which nothing has been said yet.
    pub(crate) fn new(io: Transport, line: Rc<Line>) -> Self {
        Self {
            connection: Rc::new(RefCell::new(Connection::new(io))),
            line,
            upload: None,
            task: Task::default(),
        }
    }

    /// It has waited for a request, for a while perhaps, and gets one now. False where its upstream does not
    /// take what is sent.
    pub(crate) fn begin(&self, has_waited: bool) -> bool {
        self.line.begin(has_waited);
        !self.line.is_stuck()
    }

    /// Whether it has waited for long enough that the upstream may be about to close it.
    pub(crate) fn has_waited(&self) -> bool {
        self.line.has_waited()
    }

    /// Whether the upstream has said anything since this request had the connection.
    pub(crate) fn has_heard(&self) -> bool {
        self.connection.borrow().has_heard()
    }

    /// Whether it is still open, of one that waits.
    pub(crate) fn is_open(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.connection.borrow_mut().is_quiet(&mut cx)
    }

    /// Sends the request and waits for the head of its answer.
    ///
    /// The request stays where it is as long as nothing of it has been written.
    ///
    /// # Errors
    ///
    /// No answer came, or none that is one.
    pub(crate) async fn send(
        &mut self,
        request: &mut Option<Request<RequestBody>>,
        hop: Hop<'_>,
    ) -> Result<Response<AnswerBody>, Error> {
        poll_fn(|cx| self.poll_answer(request, hop, cx)).await
    }

    fn poll_answer(
        &mut self,
        request: &mut Option<Request<RequestBody>>,
        hop: Hop<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<AnswerBody>, Error>> {
        let begins = request.is_some();
        if begins {
            let mut connection = self.connection.borrow_mut();
            if !connection.is_quiet(cx) {
                return Poll::Ready(Err(Error::Closed));
            }
            if let Some(request) = request.take() {
                self.upload = connection.begin(request, hop)?;
            }
        }
        if let Poll::Ready(Err(error)) = self.poll_upload(cx) {
            return Poll::Ready(Err(error));
        }
        if begins {
            // It was quiet a moment ago, and this task is woken when it is not any more.
            return Poll::Pending;
        }
        let polled = self.connection.borrow_mut().poll_head(cx)?;
        polled.map(|head| Ok(self.answer(head)))
    }

    /// Sends what there is to send. That it could not be sent is no error: the upstream may have answered
    /// instead of reading on.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let polled = match &mut self.upload {
            Some(upload) => upload.poll(&self.connection, cx),
            None => self.connection.borrow_mut().poll_write(cx),
        };
        polled.map(|ended| {
            self.upload = None;
            match ended {
                Err(error) if !error.is_of_the_request() => {
                    tracing::debug!(%error, "a request could not be sent to its end");
                    Ok(())
                }
                other => other,
            }
        })
    }

    fn answer(&mut self, head: AnswerHead) -> Response<AnswerBody> {
        if let Some(mut upload) = self.upload.take() {
            let connection = Rc::clone(&self.connection);
            connection.borrow_mut().upload_goes_on();
            self.task = Task::spawn(async move {
                let ended = poll_fn(|cx| upload.poll(&connection, cx)).await;
                connection.borrow_mut().upload_ended(ended);
            });
        }
        let mut response = Response::new(AnswerBody::new(head.framing));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        response
    }

    /// More of the answer's body.
    pub(crate) fn poll_frame(
        &self,
        body: &mut AnswerBody,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        body.poll_frame(&mut self.connection.borrow_mut(), cx)
    }

    /// The socket, and what the upstream said behind its answer. `None` while the request is still being
    /// sent.
    pub(crate) fn into_parts(self) -> Option<(Transport, Bytes)> {
        Some(Rc::into_inner(self.connection)?.into_inner().into_parts())
    }

    /// Lets the next request have the connection. Only after the answer was read to its end and
    /// the request was sent to its end.
    pub(crate) fn give_back(self) {
        match self.line.pool().filter(|_| self.is_reusable()) {
            Some(pool) => {
                self.connection.borrow_mut().wait();
                pool.give_back(self);
            }
            // What is left of an upload is sent all the same.
            None => self.task.end_soon(),
        }
    }

    /// Whether another request may follow. Only after the answer was read to its end.
    pub(super) fn is_reusable(&self) -> bool {
        self.connection.borrow().is_reusable() && !self.line.is_stuck()
    }
}
