//! Paths: which pattern a path fits, and which paths are too ambiguous to be forwarded.
//!
//! A path is matched and forwarded byte for byte. What stands behind the gateway may read it
//! otherwise: decode it, merge its slashes, cut `;…` from its segments, end it at a `?` or `#` that
//! decoding brought to light; in any order. So a path is refused when any of these readings would
//! have picked another route (and with it another policy), and some inputs are refused always.

mod pattern;

use std::borrow::Cow;

pub use self::pattern::{Pattern, PatternError};

/// Why a path is refused. The texts are fixed: they repeat nothing of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadPath {
    Backslash,
    Character,
    DotSegment,
    Encoding,
    NotUtf8,
    OtherReading,
}

impl BadPath {
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::Backslash => "the path contains a backslash",
            Self::Character => {
                "the path contains a character that must be percent-encoded or is not allowed at all"
            }
            Self::DotSegment => "the path contains a `.` or `..` segment",
            Self::Encoding => {
                "the path contains a `%` that is not followed by two hexadecimal digits"
            }
            Self::NotUtf8 => "the path decodes to bytes that are not UTF-8",
            Self::OtherReading => {
                "the path can be read in more than one way, and not all of them mean the same resource"
            }
        }
    }
}

/// Picks the route of `path` with `pick`, and makes sure that every other reading picks the same.
///
/// # Errors
///
/// Why the path is refused.
pub(crate) fn pick_unambiguous<R: PartialEq>(
    path: &str,
    pick: impl Fn(&[u8]) -> Option<R>,
) -> Result<Option<R>, BadPath> {
    let path = path.as_bytes();
    let raw = pick(path);
    if !is_plain(path) {
        refuse_always(path)?;
        refuse_other_readings(path, |reading| pick(reading) == raw)?;
    }
    Ok(raw)
}

/// Whether the path has one reading only: no encoding, no parameters, no empty or dotted segment.
///
/// One pass, since every request takes it. A segment that begins with a dot counts as not plain;
/// the slow path tells `.well-known` from `..`.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in path {
        let unusual = match byte {
            b'%' | b';' | b'\\' | 0x7f..=0xff | 0..=0x20 => true,
            b'/' | b'.' => previous == b'/',
            _ => false,
        };
        if unusual {
            return false;
        }
        previous = byte;
    }
    true
}

fn refuse_always(path: &[u8]) -> Result<(), BadPath> {
    for (index, &byte) in path.iter().enumerate() {
        match byte {
            b'\\' => return Err(BadPath::Backslash),
            0..=0x20 | 0x7f..=0xff => return Err(BadPath::Character),
            b'%' if decoded_at(path, index).is_none() => return Err(BadPath::Encoding),
            _ => {}
        }
    }
    // However often something behind us decodes, it must not find one of these.
    let decoded = decode_fully(path);
    for &byte in decoded.iter() {
        match byte {
            b'\\' => return Err(BadPath::Backslash),
            0..=0x1f | 0x7f => return Err(BadPath::Character),
            _ => {}
        }
    }
    if has_dot_segment(&decoded) || has_dot_segment(&cut_parameters(&decoded)) {
        return Err(BadPath::DotSegment);
    }
    Ok(())
}

/// A path with more readings than this is refused. Honest ones have a handful: each needs another
/// layer of encoding, or another oddity.
const MAX_READINGS: usize = 64;

/// A long path may have fewer: each reading costs several passes over all of it, before anything is
/// known of its caller. In bytes of all readings together, and the fewest that any path may have.
const MAX_READ: usize = 64 * 1024;
const FEWEST_READINGS: usize = 8;

/// Refuses the path unless every reading of it, in whatever order its reader goes about, is UTF-8,
/// has no dot segment and `is_same`.
///
/// The order matters: Tomcat cuts parameters before it decodes, others after. UTF-8 does too: a
/// lenient decoder finds `.` and `/` in overlong sequences (`%c0%ae`, `%c0%af`).
fn refuse_other_readings(path: &[u8], is_same: impl Fn(&[u8]) -> bool) -> Result<(), BadPath> {
    let steps = [decode_once, cut_parameters, cut_query, merge_slashes];
    let most = (MAX_READ / path.len().max(1)).clamp(FEWEST_READINGS, MAX_READINGS);
    let mut readings = vec![path.to_vec()];
    let mut next = 0;
    while next < readings.len() {
        for step in steps {
            let other = step(&readings[next]);
            if readings.iter().any(|known| **known == *other) {
                continue;
            }
            if std::str::from_utf8(&other).is_err() {
                return Err(BadPath::NotUtf8);
            }
            if has_dot_segment(&other) {
                return Err(BadPath::DotSegment);
            }
            if !is_same(&other) || readings.len() == most {
                return Err(BadPath::OtherReading);
            }
            let other = other.into_owned();
            readings.push(other);
        }
        next += 1;
    }
    Ok(())
}

fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/')
        .any(|segment| matches!(segment, b"." | b".."))
}

fn decoded_at(text: &[u8], index: usize) -> Option<u8> {
    let [b'%', high, low] = text.get(index..index + 3)? else {
        return None;
    };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

fn decode_once(path: &[u8]) -> Cow<'_, [u8]> {
    if !path.contains(&b'%') {
        return Cow::Borrowed(path);
    }
    let mut out = Vec::with_capacity(path.len());
    let mut index = 0;
    while let Some(&byte) = path.get(index) {
        match decoded_at(path, index) {
            Some(decoded) => {
                out.push(decoded);
                index += 3;
            }
            None => {
                out.push(byte);
                index += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// Decodes until nothing is left to decode, in one pass: each byte that is added may complete a
/// `%xx` whose `%` was itself the result of decoding.
fn decode_fully(path: &[u8]) -> Cow<'_, [u8]> {
    if !path.contains(&b'%') {
        return Cow::Borrowed(path);
    }
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for &byte in path {
        out.push(byte);
        while let Some(start) = out.len().checked_sub(3)
            && let Some(decoded) = decoded_at(&out, start)
        {
            out.truncate(start);
            out.push(decoded);
        }
    }
    Cow::Owned(out)
}

/// Cuts what follows a `?`. None stands in a path as it came: decoding brings it. A `#` that decoding
/// brings is a plain character: no reader looks for a fragment in what it is sent (RFC 9110 §7.1).
fn cut_query(path: &[u8]) -> Cow<'_, [u8]> {
    let end = path.iter().position(|byte| *byte == b'?');
    Cow::Borrowed(&path[..end.unwrap_or(path.len())])
}

/// Cuts `;…` from each segment.
fn cut_parameters(path: &[u8]) -> Cow<'_, [u8]> {
    if !path.contains(&b';') {
        return Cow::Borrowed(path);
    }
    let mut out = Vec::with_capacity(path.len());
    let mut cutting = false;
    for &byte in path {
        match byte {
            b'/' => cutting = false,
            b';' => cutting = true,
            _ => {}
        }
        if !cutting {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

fn merge_slashes(path: &[u8]) -> Cow<'_, [u8]> {
    if !path.windows(2).any(|pair| pair == b"//") {
        return Cow::Borrowed(path);
    }
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for &byte in path {
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
