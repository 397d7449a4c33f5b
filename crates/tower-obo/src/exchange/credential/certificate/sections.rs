//! The sections of a PEM file (RFC 7468), read so that nothing of a key stays behind: what a section holds is in
//! buffers that are wiped, in base64 as in DER. Readers that others have written leave the one or the other.

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

/// What stands between a line `-----BEGIN …-----` and its end.
pub(super) struct Section<'a> {
    pub(super) label: &'a [u8],
    /// Base64 without the line breaks.
    body: Zeroizing<Vec<u8>>,
}

impl Section<'_> {
    /// What it holds; `None`: it is no base64. Decoded in the same time and by the same steps whatever it says.
    pub(super) fn into_der(self) -> Option<Zeroizing<Vec<u8>>> {
        let mut der = Zeroizing::new(vec![0; self.body.len()]);
        let length = Base64::decode(self.body.as_slice(), &mut der).ok()?.len();
        der.truncate(length);
        Some(der)
    }
}

/// Each section, in the order of the file; `None` for one that does not begin or end as it should, and then no more.
/// What stands between them is passed over.
pub(super) fn sections(bytes: &[u8]) -> impl Iterator<Item = Option<Section<'_>>> {
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    let mut is_damaged = false;
    std::iter::from_fn(move || {
        if is_damaged {
            return None;
        }
        let begin = lines.find(|line| line.starts_with(BEGIN))?;
        let section = section(begin, &mut lines, bytes.len());
        is_damaged = section.is_none();
        Some(section)
    })
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

fn section<'a>(
    begin: &'a [u8],
    lines: &mut impl Iterator<Item = &'a [u8]>,
    length: usize,
) -> Option<Section<'a>> {
    let label = begin.trim_ascii_end().strip_prefix(BEGIN)?;
    let label = label.strip_suffix(DASHES)?;
    // Enough room from the beginning: what a vector outgrows is not wiped.
    let mut body = Zeroizing::new(Vec::with_capacity(length));
    for line in lines {
        if let Some(end) = line.strip_prefix(END) {
            let end = end.strip_prefix(label)?;
            return end.starts_with(DASHES).then_some(Section { label, body });
        }
        if line.starts_with(BEGIN) {
            return None;
        }
        body.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels and what is decoded; `None` for what is damaged.
    fn read(text: &str) -> Vec<Option<(String, Option<Vec<u8>>)>> {
        let read = |section: Section<'_>| {
            let label = String::from_utf8(section.label.to_vec()).unwrap();
            (label, section.into_der().map(|der| der.to_vec()))
        };
        let all = sections(text.as_bytes());
        all.map(|section| section.map(read)).collect()
    }

    fn good(label: &str, der: &[u8]) -> Option<(String, Option<Vec<u8>>)> {
        Some((label.to_owned(), Some(der.to_vec())))
    }

    #[test]
    fn sections_are_read_whatever_stands_between_them_and_however_lines_end() {
        let text = "Bag Attributes\n-----BEGIN A B-----\naGVs\nbG8=\n-----END A B-----\n\
            key: value\n-----BEGIN C-----  \n\n aGVsbG8= \n-----END C-----";
        let wanted = [good("A B", b"hello"), good("C", b"hello")];
        for text in [text, &text.replace('\n', "\r\n"), &text.replace('\n', "\r")] {
            assert_eq!(read(text), wanted, "{text:?}");
        }
        assert_eq!(read("no PEM at all"), []);
        assert_eq!(read("-----BEGIN E-----\n-----END E-----"), [good("E", b"")]);
    }

    #[test]
    fn a_section_that_does_not_begin_or_end_as_it_should_is_damaged_and_the_last_one() {
        let whole = "-----BEGIN A-----\naGVsbG8=\n-----END A-----\n";
        for damaged in [
            "-----BEGIN A-----\naGVsbG8=\n",
            "-----BEGIN A-----\naGVsbG8=\n-----END B-----\n",
            "-----BEGIN A-----\naGVsbG8=\n-----END A\n",
            "-----BEGIN A----\naGVsbG8=\n-----END A-----\n",
            "-----BEGIN A-----\naGVs-----BEGIN A-----\n",
            "-----BEGIN A-----\naGVs\n-----BEGIN A-----\nbG8=\n-----END A-----\n",
        ] {
            let text = format!("{whole}{damaged}{whole}");
            let wanted = [good("A", b"hello"), None];
            // The fifth one takes what follows for its own lines, up to the next beginning.
            assert_eq!(read(&text), wanted, "{damaged:?}");
        }
        for body in ["aGVsbG8", "aGVsbG8=!", "aGVs=bG8", "a"] {
            let text = format!("-----BEGIN A-----\n{body}\n-----END A-----");
            assert_eq!(read(&text), [Some(("A".to_owned(), None))], "{body}");
        }
    }
}
