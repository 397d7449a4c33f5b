//! What is on its way to the upstream: a head, or one piece of a body with what frames it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

/// What is put behind the head, or behind the length of a chunk, instead of being written beside it.
const COPIED: usize = 2 * 1024;

/// A room for a head that is kept for the next one. Most fit; a larger one is given back.
const KEPT: usize = 16 * 1024;

/// Written in this order, as far as possible at once.
#[derive(Default)]
pub(super) struct Outgoing {
    front: Vec<u8>,
    /// How much of it has been sent.
    sent: usize,
    data: Bytes,
    tail: &'static [u8],
}

impl Outgoing {
    /// Where to write what comes first. Only while nothing is on its way.
    pub(super) const fn front(&mut self) -> &mut Vec<u8> {
        &mut self.front
    }

    /// What follows that. A little is put behind it: to write one piece takes less than to write three.
    pub(super) fn set_data(&mut self, data: Bytes, tail: &'static [u8]) {
        if data.len() <= COPIED {
            self.front.extend_from_slice(&data);
            self.front.extend_from_slice(tail);
        } else {
            self.data = data;
            self.tail = tail;
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.front.is_empty() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Writes what the socket takes, and says how much that was.
    pub(super) fn poll_write(
        &self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let front = self.front.get(self.sent..).unwrap_or_default();
        if self.data.is_empty() && self.tail.is_empty() {
            return Pin::new(io).poll_write(cx, front);
        }
        let slices = [front, &self.data, self.tail].map(IoSlice::new);
        Pin::new(io).poll_write_vectored(cx, &slices)
    }

    /// So many bytes have been written.
    pub(super) fn advance(&mut self, written: usize) {
        let mut written = written;
        let of_front = written.min(self.front.len() - self.sent);
        self.sent += of_front;
        written -= of_front;
        if self.sent == self.front.len() {
            self.sent = 0;
            self.front.clear();
            if self.front.capacity() > KEPT {
                self.front = Vec::new();
            }
        }
        let of_data = written.min(self.data.len());
        self.data.advance(of_data);
        if self.data.is_empty() {
            // What it lay in may be large.
            self.data = Bytes::new();
        }
        self.tail = self.tail.get(written - of_data..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_in_parts_is_whole() {
        for (data, steps) in [(3, 1..12), (COPIED + 1, 1..12), (COPIED + 1, 2_000..2_070)] {
            let data = vec![b'x'; data];
            let whole = [b"3\r\n", &*data, b"\r\n"].concat();
            for step in steps {
                let mut outgoing = Outgoing::default();
                outgoing.front().extend_from_slice(b"3\r\n");
                outgoing.set_data(data.clone().into(), b"\r\n");
                let mut taken = Vec::new();
                while !outgoing.is_empty() {
                    let all = [
                        &outgoing.front[outgoing.sent..],
                        &outgoing.data,
                        outgoing.tail,
                    ];
                    let all = all.concat();
                    let step = step.min(all.len());
                    taken.extend_from_slice(&all[..step]);
                    outgoing.advance(step);
                }
                assert!(taken == whole, "{step}");
                assert!(outgoing.front().is_empty());
            }
        }
    }
}
