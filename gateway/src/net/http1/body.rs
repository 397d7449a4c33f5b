//! The body of an answer, as it comes.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::{
    Error,
    answer_head::Framing,
    chunks::{Chunks, Piece},
    connection::Connection,
};

/// How far a body has come. Its bytes are with the connection.
#[derive(Debug)]
pub(crate) struct AnswerBody(Kind);

#[derive(Debug)]
enum Kind {
    Length(u64),
    Chunked(Chunks),
    /// To the end of the connection; whether that has come.
    Close(bool),
    /// It was none.
    Broken,
}

impl AnswerBody {
    pub(super) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(length) => Kind::Length(length),
            Framing::Chunked => Kind::Chunked(Chunks::default()),
            Framing::Close => Kind::Close(false),
            Framing::Upgrade => Kind::Length(0),
        })
    }

    pub(super) fn poll_frame(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.poll_piece(connection, cx);
        if matches!(polled, Poll::Ready(Some(Err(_)))) {
            self.0 = Kind::Broken;
            connection.give_up();
        }
        polled
    }

    fn poll_piece(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let piece = match &mut self.0 {
                Kind::Length(0) | Kind::Close(true) => Some(Piece::End),
                Kind::Length(left) => connection.take_read(*left).map(|data| {
                    *left -= data.len() as u64;
                    Piece::Data(data)
                }),
                Kind::Close(false) => connection.take_read(u64::MAX).map(Piece::Data),
                Kind::Broken => return Poll::Ready(Some(Err(Error::Incomplete))),
                Kind::Chunked(chunks) => match chunks.take(connection.read_ahead()) {
                    Ok(piece) => piece,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
            };
            match piece {
                Some(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Piece::Trailers(fields)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(fields))));
                }
                Some(Piece::End) => return Poll::Ready(None),
                None => {}
            }
            match ready!(connection.poll_more(cx)) {
                Ok(true) => {}
                Ok(false) => match &mut self.0 {
                    Kind::Close(ended) => *ended = true,
                    Kind::Length(_) | Kind::Chunked(_) | Kind::Broken => {
                        return Poll::Ready(Some(Err(Error::Incomplete)));
                    }
                },
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Length(left) => *left == 0,
            Kind::Chunked(chunks) => chunks.have_ended(),
            Kind::Close(ended) => *ended,
            Kind::Broken => false,
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Length(left) => SizeHint::with_exact(*left),
            Kind::Chunked(_) | Kind::Close(_) | Kind::Broken => SizeHint::new(),
        }
    }
}
