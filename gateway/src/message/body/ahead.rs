//! What has come of an answer before its client has made room for it.

use bytes::{Bytes, BytesMut};
use hyper::body::Frame;

use super::Next;
use crate::net::incoming::Piece;

/// A little more than the client was given: what waits, and what comes behind that.
#[derive(Default)]
pub(super) struct Ahead {
    /// Boxed, since it is rare: most answers that look on see their end.
    waits: Option<Box<Waits>>,
    /// Behind that comes the end.
    ends: bool,
}

struct Waits {
    data: Bytes,
    then: Option<Piece>,
}

impl Ahead {
    /// Takes what is there already, `room` bytes at most, and says whether all of the answer is. `next` is
    /// what comes, and whether it is the last; `None` where that is not known yet.
    pub(super) fn look(
        &mut self,
        room: usize,
        mut next: impl FnMut() -> Option<(Next, bool)>,
    ) -> bool {
        let mut joined = BytesMut::new();
        let mut then = None;
        let is_all = loop {
            match next() {
                None => break false,
                Some((None, is_last)) => {
                    self.ends = true;
                    break is_last;
                }
                Some((Some(Ok(frame)), is_last)) if frame.is_data() => {
                    let data = frame.into_data().unwrap_or_default();
                    if data.len() > room.saturating_sub(joined.len()) {
                        then = Some(Ok(Frame::data(data)));
                        break false;
                    }
                    joined.extend_from_slice(&data);
                    if is_last {
                        break true;
                    }
                }
                Some((Some(other), _)) => {
                    // Behind trailers comes nothing.
                    let is_all = other.is_ok();
                    then = Some(other);
                    break is_all;
                }
            }
        };
        if !joined.is_empty() || then.is_some() {
            let data = joined.freeze();
            self.waits = Some(Box::new(Waits { data, then }));
        }
        is_all
    }

    /// What comes next, where that is known.
    pub(super) fn take(&mut self) -> Option<Next> {
        let Some(waits) = &mut self.waits else {
            return std::mem::take(&mut self.ends).then_some(None);
        };
        let next = if waits.data.is_empty() {
            waits.then.take()
        } else {
            Some(Ok(Frame::data(std::mem::take(&mut waits.data))))
        };
        if waits.then.is_none() && waits.data.is_empty() {
            self.waits = None;
        }
        next.map(Some)
    }

    /// Whether nothing is known of what comes.
    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_none() && !self.ends
    }

    /// Whether nothing comes but the end.
    pub(super) fn is_over(&self) -> bool {
        self.waits.is_none()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    /// A piece of that many bytes, and whether it is the last.
    fn piece(length: usize, is_last: bool) -> (Next, bool) {
        let data = Bytes::from(vec![b'a'; length]);
        (Some(Ok(Frame::data(data))), is_last)
    }

    /// Whether all is there when that is; and what comes then, by its lengths: 0 is the end, or trailers.
    fn look(room: usize, comes: Vec<(Next, bool)>) -> (bool, Vec<usize>) {
        let mut ahead = Ahead::default();
        let mut comes = comes.into_iter();
        let ends = ahead.look(room, || comes.next());
        let taken = std::iter::from_fn(|| ahead.take()).map(|next| {
            let data = next.and_then(|frame| frame.unwrap().into_data().ok());
            data.map_or(0, |data| data.len())
        });
        (ends, taken.collect())
    }

    #[test]
    fn short_pieces_are_one_and_whatever_ends_an_answer_is_its_end() {
        let trailers = || (Some(Ok(Frame::trailers(HeaderMap::new()))), false);
        let end = || (None, true);
        assert_eq!(look(9, vec![end()]), (true, vec![0]));
        assert_eq!(look(9, vec![trailers()]), (true, vec![0]));
        let pieces = vec![piece(2, false), piece(3, false), end()];
        assert_eq!(look(9, pieces), (true, vec![5, 0]));
        assert_eq!(look(9, vec![piece(9, true)]), (true, vec![9]));
        // An empty frame that ends a stream of HTTP/2.
        assert_eq!(look(0, vec![piece(0, true)]), (true, vec![]));
    }

    #[test]
    fn what_does_not_fit_waits_and_an_end_that_is_none_is_none() {
        let more = vec![piece(2, false), piece(8, true), piece(1, true)];
        assert_eq!(look(9, more), (false, vec![2, 8]));
        assert_eq!(look(9, vec![piece(2, false)]), (false, vec![2]));
        assert_eq!(
            look(9, vec![piece(2, false), (None, false)]),
            (false, vec![2, 0])
        );
        assert_eq!(look(9, vec![]), (false, vec![]));
    }
}
