//! Bodies for HTTP/2, in small pieces.
//!
//! A piece waits for the client's window as a whole, and that the next one is asked for is all that
//! shows of the client's reading. With pieces of half a megabyte, as upstreams may send them, a client
//! on a slow line would look like one that has stopped.
//!
//! With the last piece a request's task ends, and its limits with it, while the piece still waits for
//! the window: so that one is the smallest.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::{message::body::ResponseBody, net::watch::Watch};

const SLICE: usize = 16 * 1024;

/// What may stay in memory, of each stream, once nothing watches it any more: of a client that opens
/// its window by a byte, and then no further.
const LAST: usize = 1024;

/// A body in slices.
#[derive(Debug)]
pub(super) struct Slices {
    body: ResponseBody,
    rest: Bytes,
    watch: Rc<Watch>,
}

impl Slices {
    pub(super) const fn new(body: ResponseBody, watch: Rc<Watch>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            watch,
        }
    }
}

impl Body for Slices {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
        let left = this.rest.len();
        let ends = left <= SLICE && this.body.is_end_stream();
        let length = if ends && left > LAST {
            left - LAST
        } else {
            left.min(SLICE)
        };
        let slice = this.rest.split_to(length);
        // The slice before this one has found room.
        this.watch.moved(length);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Asked before the first slice only, when there is no rest.
        self.body.size_hint()
    }
}

impl Drop for Slices {
    fn drop(&mut self) {
        let unsent = self.rest.len();
        if unsent > 0 {
            self.watch.note(|record| record.unsent = unsent);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::{config::Limits, net::watch::Watches};

    #[test]
    fn a_client_that_takes_slice_after_slice_has_not_stopped() {
        let watches = Watches::new(&Limits::default());
        let watch = watches.add();
        let mut body = ResponseBody::whole(Bytes::from(vec![b'a'; 4 * SLICE + 1]));
        body.watch(Rc::clone(&watch));
        let mut slices = Slices::new(body, Rc::clone(&watch));
        let mut lengths = Vec::new();
        while let Poll::Ready(Some(frame)) =
            Pin::new(&mut slices).poll_frame(&mut Context::from_waker(Waker::noop()))
        {
            lengths.push(frame.unwrap().into_data().unwrap().len());
            // Nearly all the time that an answer of our own has.
            watches.later(10_000);
            assert!(!watch.is_overdue(), "{lengths:?}");
        }
        assert_eq!(lengths, [SLICE, SLICE, SLICE, SLICE, 1]);
        assert!(slices.is_end_stream());
        watches.later(10_000);
        assert!(watch.is_overdue());
    }

    #[test]
    fn the_last_slice_is_a_small_one() {
        for (length, slices) in [
            (LAST, vec![LAST]),
            (LAST + 1, vec![1, LAST]),
            (SLICE, vec![SLICE - LAST, LAST]),
            (SLICE + LAST, vec![SLICE, LAST]),
        ] {
            let watch = Watches::new(&Limits::default()).add();
            let body = ResponseBody::whole(Bytes::from(vec![b'a'; length]));
            let mut body = Slices::new(body, watch);
            let mut lengths = Vec::new();
            while let Poll::Ready(Some(frame)) =
                Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()))
            {
                lengths.push(frame.unwrap().into_data().unwrap().len());
            }
            assert_eq!(lengths, slices);
        }
    }
}
