//! What a client might send: requests from parts, in a row, and then damaged.

use crate::rng::Rng;

const METHODS: &[&str] = &[
    "GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "get", "QUERY",
];

const LINES: &[&str] = &[
    "X-A: b",
    "Accept: */*",
    "Cookie: a=b; c=d",
    "Authorization: Bearer x.y.z",
    "X-Forwarded-For: 6.6.6.6",
    "Forwarded: for=6.6.6.6",
    "Connection: close",
    "Connection: keep-alive, X-A",
    "Connection: Content-Length",
    "Connection: Transfer-Encoding",
    "Connection: Host",
    "Keep-Alive: timeout=5",
    "TE: trailers",
    "Trailer: X-T",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Proxy-Connection: keep-alive",
    "Expect: 100-continue",
    "Expect: 200-ok",
    "Content-Length: 0",
    "Content-Length: 3",
    "Content-Length: 5",
    "Content-Length: 05",
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content-Length: 18446744073709551616",
    "Content-Length:5",
    "Content-Length : 5",
    "Content_Length: 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer_Encoding: chunked",
    "Host: other",
    "Host: gw",
    " folded: yes",
    "\tfolded",
    "no colon",
    ": no name",
    "X-Null: a\0b",
    "X-Latin: \u{e9}",
];

const CHUNKS: &[&str] = &[
    "3\r\nabc\r\n",
    "5\r\nhello\r\n",
    "03\r\nabc\r\n",
    "3;name=value\r\nabc\r\n",
    "3 \r\nabc\r\n",
    "A\r\n0123456789\r\n",
    "a\r\n0\r\n\r\nGET /\r\n",
    "3\nabc\n",
    "0x3\r\nabc\r\n",
    "-1\r\n",
    "10000000000000003\r\nabc\r\n",
    "3\r\nabcd\r\n",
];

const ENDS: &[&str] = &[
    "0\r\n\r\n",
    "0\r\n\r\n",
    "0\r\n\r\n",
    "0\r\nX-T: t\r\n\r\n",
    "000\r\n\r\n",
    "0\n\n",
    "0\r\n\n",
    "0;x\r\n\r\n",
    "",
];

/// Bytes that parsers disagree about.
const SPECIAL: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b":",
    b";",
    b",",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc2\xa0",
    b"0",
    b"-",
    b"%00",
    b"%2e",
    b"/../",
    b"?",
    b"#",
    b"\\",
    b"HTTP/1.1",
    b"chunked",
    b"Content-Length: 1\r\n",
];

/// What stands for the caller's token until all damage is done: it would meet hardly anything else.
const TOKEN: &str = "Authorization: Bearer ~\r\n";

/// The input of this number, always the same but for the token.
pub(super) fn input(number: u64, token: Option<&str>) -> Vec<u8> {
    let rng = &mut Rng::new(number);
    let mut bytes = Vec::new();
    let line = token.map_or("", |_| TOKEN);
    for at in 0..=rng.below(4) {
        request(rng, number, at, line, &mut bytes);
    }
    // Some stay whole, so that mutations of grammar alone are seen too.
    for _ in 0..rng.below(4) {
        damage(rng, &mut bytes);
    }
    // Behind it all stands one that no other may swallow or become.
    bytes.extend_from_slice(
        format!("GET /last/{number} HTTP/1.1\r\nHost: gw\r\n{line}Connection: close\r\n\r\n")
            .as_bytes(),
    );
    match token {
        Some(token) => with_token(&bytes, token),
        None => bytes,
    }
}

fn with_token(bytes: &[u8], token: &str) -> Vec<u8> {
    let mut whole = Vec::new();
    for byte in bytes {
        whole.push(*byte);
        if whole.ends_with(b" Bearer ~") {
            whole.pop();
            whole.extend_from_slice(token.as_bytes());
        }
    }
    whole
}

fn request(rng: &mut Rng, number: u64, at: usize, line: &str, bytes: &mut Vec<u8>) {
    let method = rng.pick(METHODS);
    let form = rng.pick(&["", "", "", "", "http://gw", "https://other:1"]);
    let version = rng.pick(&[
        "1.1", "1.1", "1.1", "1.1", "1.1", "1.0", "1.2", "2.0", "0.9",
    ]);
    let mut text = format!("{method} {form}/{number}/{at} HTTP/{version}\r\nHost: gw\r\n{line}");
    if rng.one_in(3) {
        for _ in 0..=rng.below(3) {
            text.push_str(rng.pick(LINES));
            text.push_str("\r\n");
        }
    }
    let body = match rng.below(5) {
        0 => {
            let body = rng.pick(&["abc", "hello", "GET /inner HTTP/1.1\r\nHost: gw\r\n\r\n"]);
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
            body.to_owned()
        }
        1 => {
            text.push_str("Transfer-Encoding: chunked\r\n");
            let tame = rng.one_in(2);
            let mut body = String::new();
            for _ in 0..rng.below(4) {
                body.push_str(if tame {
                    CHUNKS[rng.below(2)]
                } else {
                    rng.pick(CHUNKS)
                });
            }
            body + if tame { ENDS[0] } else { rng.pick(ENDS) }
        }
        _ => String::new(),
    };
    text.push_str("\r\n");
    bytes.extend_from_slice(text.as_bytes());
    bytes.extend_from_slice(body.as_bytes());
}

fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = rng.below(bytes.len());
    match rng.below(8) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => drop(bytes.remove(at)),
        2 | 3 => drop(bytes.splice(at..at, rng.pick(SPECIAL).iter().copied())),
        4 => {
            // A line twice, or at another place.
            let lines: Vec<Vec<u8>> = bytes
                .split_inclusive(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect();
            let line = lines[rng.below(lines.len())].clone();
            let place: usize = lines[..rng.below(lines.len())].iter().map(Vec::len).sum();
            drop(bytes.splice(place..place, line));
        }
        5 => {
            // A line more, at the start of another.
            let starts: Vec<usize> = (1..bytes.len())
                .filter(|at| bytes[at - 1] == b'\n')
                .collect();
            if let Some(&place) = starts.get(rng.below(starts.len())) {
                let line = format!("{}\r\n", rng.pick(LINES));
                drop(bytes.splice(place..place, line.into_bytes()));
            }
        }
        6 => {
            // A line end without its carriage return, or with two.
            if let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\r') {
                let place = at + found;
                if rng.one_in(2) {
                    bytes.remove(place);
                } else {
                    bytes.insert(place, b'\r');
                }
            }
        }
        _ if bytes[at].is_ascii_alphabetic() => bytes[at] ^= 0x20,
        _ => {}
    }
    if bytes.is_empty() {
        bytes.push(b' ');
    }
}
