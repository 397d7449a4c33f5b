//! Where one WebSocket frame ends and the next begins (RFC 6455 §5.2), in what an upstream sends. Only heads are
//! read; what frames hold is nobody's business here.

/// The opcode of a Close frame (§5.5.1).
const CLOSE: u8 = 0x8;

/// Follows frames as they pass, in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; LONGEST],
    /// How much of the head of a frame has passed.
    known: usize,
    /// How much of what the frame holds is still to come.
    left: u64,
    closed: bool,
    lost: bool,
}

/// Two bytes, a length of eight, and a mask.
const LONGEST: usize = 14;

impl Frames {
    /// These bytes have passed.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !self.lost {
            if self.left > 0 {
                let held = usize::try_from(self.left).unwrap_or(usize::MAX);
                let (held, rest) = bytes.split_at(held.min(bytes.len()));
                self.left -= held.len() as u64;
                bytes = rest;
            }
            let Some((byte, rest)) = bytes.split_first() else {
                return;
            };
            let Some(place) = self.head.get_mut(self.known) else {
                self.lost = true;
                return;
            };
            *place = *byte;
            self.known += 1;
            bytes = rest;
            self.judge();
        }
    }

    /// Whether another frame may follow here: also between the frames of one message (§5.4), but not after one
    /// that says that nothing will follow.
    pub(super) const fn may_follow(&self) -> bool {
        self.known == 0 && self.left == 0 && !self.closed && !self.lost
    }

    /// Where all of a head has passed, what it announces is to come.
    fn judge(&mut self) {
        let [first, second, rest @ ..] = &self.head;
        let masked = second & 0x80 != 0;
        let length = second & 0x7f;
        let (extended, announced) = match length {
            126 => (2, u64::from(u16::from_be_bytes([rest[0], rest[1]]))),
            127 => {
                let eight = rest.first_chunk().copied().unwrap_or_default();
                (8, u64::from_be_bytes(eight))
            }
            short => (0, u64::from(short)),
        };
        let whole = 2 + extended + if masked { 4 } else { 0 };
        if self.known < 2 || self.known < whole {
            return;
        }
        // The most significant bit must be 0 (§5.2): what follows is no frame that anybody can follow.
        self.lost = announced >> 63 != 0;
        self.closed |= first & 0xf == CLOSE;
        self.left = announced;
        self.known = 0;
    }
}

/// A Close frame of a server (§5.5.1): without a mask, and small as control frames are (§5.5).
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = reason.get(..reason.len().min(123)).unwrap_or_default();
    let length = u8::try_from(2 + reason.len()).unwrap_or(2);
    let mut frame = vec![0x80 | CLOSE, length];
    frame.extend(code.to_be_bytes());
    frame.extend(reason.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, masked: bool, length: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(mask | length as u8),
            126..65_536 => {
                frame.push(mask | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        // Bytes that would be heads, too.
        frame.extend(std::iter::repeat_n(0x88, length));
        frame
    }

    #[test]
    fn a_frame_may_follow_exactly_where_another_has_ended() {
        for masked in [false, true] {
            for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
                for first in [0x81, 0x02, 0x00, 0x89, 0xc1] {
                    let bytes = frame(first, masked, length);
                    let mut frames = Frames::default();
                    for (at, byte) in bytes.iter().enumerate() {
                        assert_eq!(frames.may_follow(), at == 0, "{length}: {at}");
                        frames.pass(&[*byte]);
                    }
                    assert!(frames.may_follow(), "{length}");
                }
            }
        }
    }

    #[test]
    fn nothing_follows_a_close_frame_or_what_is_no_frame() {
        let mut frames = Frames::default();
        frames.pass(&frame(0x88, false, 2));
        assert!(!frames.may_follow());
        frames.pass(&frame(0x81, false, 2));
        assert!(!frames.may_follow());

        let mut frames = Frames::default();
        let mut endless = vec![0x82, 127];
        endless.extend(u64::MAX.to_be_bytes());
        frames.pass(&endless);
        frames.pass(&[0; 64]);
        assert!(!frames.may_follow());
    }

    #[test]
    fn a_close_frame_is_one() {
        let text = close(1001, "bye");
        assert_eq!(text, [0x88, 5, 0x03, 0xe9, b'b', b'y', b'e']);
        let mut frames = Frames::default();
        frames.pass(&close(1008, &"x".repeat(500)));
        assert_eq!((frames.closed, frames.left, frames.known), (true, 0, 0));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_are_the_same(
            lengths in prop::collection::vec(0..400_usize, 1..8),
            cut in 1..50_usize,
            missing in 0..3_usize,
        ) {
            let mut bytes: Vec<u8> = Vec::new();
            for length in &lengths {
                bytes.extend(frame(0x82, length % 2 == 0, *length));
            }
            let last = frame(0x82, false, 300);
            bytes.extend(&last[..last.len() - missing]);
            let mut frames = Frames::default();
            for piece in bytes.chunks(cut) {
                frames.pass(piece);
            }
            prop_assert_eq!(frames.may_follow(), missing == 0);
        }
    }
}
