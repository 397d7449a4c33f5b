//! Follows the frames of an HTTP/2 connection, only to know whether a request head is on its way.
//!
//! `h2` waits without limit for the rest of a frame, and for the frame that ends a header block
//! (RFC 9113 §4.3). A client that sends either a byte at a time holds a connection for as long as it
//! likes. The bytes of a request's body may take their time: that limit is the request's.

use std::rc::Rc;

use super::watch::{Phase, Watch};

/// What a client sends before its first frame (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// How far a client is in its frames.
#[derive(Debug)]
pub(crate) struct Frames {
    head: Rc<Watch>,
    /// Bytes of the preface or of a frame's payload that are still to come.
    left: usize,
    /// The frame is one whose payload may come slowly.
    is_body: bool,
    header: [u8; HEADER],
    have: usize,
    /// A header block has begun and not ended.
    in_block: bool,
}

impl Frames {
    /// For a connection that begins. `head` is told when a head begins and ends.
    pub(crate) const fn new(head: Rc<Watch>) -> Self {
        Self {
            head,
            left: PREFACE.len(),
            is_body: false,
            header: [0; HEADER],
            have: 0,
            in_block: false,
        }
    }

    /// The client sent these bytes.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        let waited = self.is_in_head();
        let mut ended_one = false;
        while !bytes.is_empty() {
            if self.left > 0 {
                let some = self.left.min(bytes.len());
                bytes = bytes.get(some..).unwrap_or_default();
                self.left -= some;
            } else if let [first, rest @ ..] = bytes {
                self.header_byte(*first);
                bytes = rest;
            }
            ended_one |= !self.is_in_head();
        }
        match (waited && !ended_one, self.is_in_head()) {
            // Each byte of a head does not start its time anew.
            (true, _) => {}
            (false, true) => self.head.enter(Phase::Head),
            (false, false) => self.head.enter(Phase::Working),
        }
    }

    const fn header_byte(&mut self, byte: u8) {
        if let Some(place) = self
            .header
            .as_mut_slice()
            .split_at_mut(self.have)
            .1
            .first_mut()
        {
            *place = byte;
        }
        self.have += 1;
        if self.have < HEADER {
            return;
        }
        self.have = 0;
        let [a, b, c, kind, flags, ..] = self.header;
        self.left = (a as usize) << 16 | (b as usize) << 8 | c as usize;
        self.is_body = kind == DATA;
        if kind == HEADERS || kind == CONTINUATION {
            self.in_block = flags & END_HEADERS == 0;
        }
    }

    const fn is_in_head(&self) -> bool {
        self.in_block || self.have > 0 || (self.left > 0 && !self.is_body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Limits, net::watch::Watches};

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        bytes.resize(HEADER + usize::from(length), 0);
        bytes
    }

    struct Rig {
        watch: Rc<Watch>,
        frames: Frames,
    }

    fn rig() -> Rig {
        let watch = Watches::new(&Limits::default()).add();
        let mut frames = Frames::new(Rc::clone(&watch));
        frames.read(PREFACE);
        assert_eq!(watch.phase(), Phase::Working);
        Rig { watch, frames }
    }

    #[test]
    fn a_frame_that_is_not_whole_is_a_head_wherever_it_is_cut() {
        for kind in [HEADERS, 0x4, 0x6, 0x8] {
            let whole = frame(kind, END_HEADERS, 5);
            for cut in 1..whole.len() {
                let mut rig = rig();
                rig.frames.read(&whole[..cut]);
                assert_eq!(rig.watch.phase(), Phase::Head, "{kind} {cut}");
                rig.frames.read(&whole[cut..]);
                assert_eq!(rig.watch.phase(), Phase::Working, "{kind} {cut}");
            }
        }
    }

    #[test]
    fn a_body_that_is_not_whole_is_no_head() {
        let mut rig = rig();
        rig.frames.read(&frame(DATA, 0, 200)[..20]);
        assert_eq!(rig.watch.phase(), Phase::Working);
    }

    #[test]
    fn a_header_block_is_a_head_until_its_last_frame() {
        let mut rig = rig();
        rig.frames.read(&frame(HEADERS, 0, 5));
        assert_eq!(rig.watch.phase(), Phase::Head);
        rig.frames.read(&frame(CONTINUATION, 0, 5));
        assert_eq!(rig.watch.phase(), Phase::Head);
        rig.frames.read(&frame(CONTINUATION, END_HEADERS, 5));
        assert_eq!(rig.watch.phase(), Phase::Working);
    }

    #[test]
    fn more_bytes_of_a_head_do_not_start_its_time_anew_and_the_next_head_does() {
        let watches = Watches::new(&Limits::default());
        let watch = watches.add();
        let mut frames = Frames::new(Rc::clone(&watch));
        frames.read(PREFACE);
        let whole = frame(HEADERS, END_HEADERS, 5);
        frames.read(&whole[..3]);
        watches.later(10_000);
        frames.read(&whole[3..6]);
        watches.later(501);
        assert!(watch.is_overdue());

        let watch = watches.add();
        let mut frames = Frames::new(Rc::clone(&watch));
        frames.read(PREFACE);
        frames.read(&whole[..3]);
        watches.later(10_000);
        let mut rest_and_next = whole[3..].to_vec();
        rest_and_next.extend(&whole[..3]);
        frames.read(&rest_and_next);
        watches.later(501);
        assert!(!watch.is_overdue());
    }
}
