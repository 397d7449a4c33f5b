//! HTTP/2 as bytes: what no well-behaved library would send, and what the gateway says to it.

use crate::client::Client;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PROTOCOL_ERROR: u8 = 1;
pub(crate) const CANCEL: u8 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u8 = 11;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> Option<u8> {
        match self.kind {
            RST_STREAM => self.payload.get(3).copied(),
            GOAWAY => self.payload.get(7).copied(),
            _ => None,
        }
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What a client begins with.
pub(crate) fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// The same, and what the client lets be sent on a stream before it says more.
pub(crate) fn hello_with_window(window: u32) -> Vec<u8> {
    let [a, b, c, d] = window.to_be_bytes();
    let initial = frame(SETTINGS, 0, 0, &[0, 4, a, b, c, d]);
    // For the connection, as much as there can be.
    let all = frame(WINDOW_UPDATE, 0, 0, &(0x7fff_0000_u32).to_be_bytes());
    [PREFACE, &initial, &all].concat()
}

/// A header field that HPACK keeps in no table (RFC 7541 §6.2.2): byte for byte as it is.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        // An integer with a prefix of 7 bits (§5.1).
        let mut length = text.len();
        if length < 127 {
            bytes.push(u8::try_from(length).unwrap());
        } else {
            bytes.push(127);
            length -= 127;
            while length >= 128 {
                bytes.push(u8::try_from(length % 128).unwrap() | 128);
                length /= 128;
            }
            bytes.push(u8::try_from(length).unwrap());
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The status that a head begins with, as `h2` writes those that it says for the first time.
pub(crate) fn status(head: &Frame) -> u16 {
    match head.payload[..] {
        // Of the static table (RFC 7541 appendix A).
        [at @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(at - 0x88)],
        // A name of it, then three digits by Huffman's code (appendix B): 0 to 2 have five bits,
        // and 3 to 9 six.
        [0x48, length, ref rest @ ..] if length > 0x80 => {
            let bits = (rest[..usize::from(length & 0x7f)].iter())
                .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            let mut left = u32::from(length & 0x7f) * 8;
            (0..3).fold(0, |status, _| {
                let five = bits >> (left - 5) & 0x1f;
                let digit = if five < 3 {
                    left -= 5;
                    five
                } else {
                    left -= 6;
                    (bits >> left & 0x3f) - 22
                };
                status * 10 + u16::try_from(digit).unwrap()
            })
        }
        _ => panic!("no status that is known: {head:?}"),
    }
}

/// The fields that every request has, then these.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    [
        (":method", method),
        (":scheme", "http"),
        (":authority", "gw"),
        (":path", path),
    ]
    .iter()
    .chain(more)
    .flat_map(|(name, value)| field(name, value))
    .collect()
}

/// A whole GET on that stream.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    let block = request("GET", path, &[]);
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

impl Client {
    /// The next frame, or `None` where the connection ends.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        let head = self.exactly_bytes(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = self.exactly_bytes(length.try_into().unwrap()).await?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
            payload,
        })
    }

    /// All frames until the connection ends.
    pub(crate) async fn frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        frames
    }
}
