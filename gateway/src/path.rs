//! Paths: which pattern a path fits, and which paths are too ambiguous to be forwarded.
//!
//! A path is matched and forwarded byte for byte. What stands behind the gateway may read it
//! otherwise: decode it, merge its slashes, cut `;…` from its segments. So a path is refused when
//! any of these readings would have picked another route (and with it another policy), and some
//! inputs are refused always.

use std::{borrow::Cow, fmt, str::FromStr};

/// Which paths a route is for.
///
/// `/healthz` is exactly that path. `/subscriptions/*` is `/subscriptions` and everything below it,
/// but not `/subscriptionsX`. `/*` is everything. Letter case matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Without the final `/*`.
    text: String,
    below: bool,
}

impl Pattern {
    /// The pattern `/*`.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            text: String::new(),
            below: true,
        }
    }

    /// Whether `path` fits.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        match path.strip_prefix(self.text.as_bytes()) {
            Some([]) => true,
            Some([b'/', ..]) => self.below,
            Some(_) | None => false,
        }
    }

    /// Orders patterns, the most specific first: exact before prefix, long before short.
    pub(crate) fn specificity(&self) -> impl Ord + use<> {
        (self.below, std::cmp::Reverse(self.text.len()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.below {
            f.write_str("/*")
        } else {
            Ok(())
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError("a path begins with `/`"));
        }
        let (text, below) = match text.strip_suffix("/*") {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if text.contains('*') {
            return Err(PatternError(
                "`*` stands only as `/*` at the end, for everything below",
            ));
        }
        if below && text.ends_with('/') || text.contains("//") {
            return Err(PatternError("a path has no empty segment"));
        }
        if text.contains(['?', '#']) {
            return Err(PatternError(
                "routes are picked by the path alone, without query or fragment",
            ));
        }
        if text.contains(['%', ';', '\\']) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PatternError(
                "only plain characters are allowed: others have more than one spelling",
            ));
        }
        if has_dot_segment(text.as_bytes()) {
            return Err(PatternError("`.` and `..` segments are never forwarded"));
        }
        Ok(Self {
            text: text.to_owned(),
            below,
        })
    }
}

/// Why a text is no [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternError(&'static str);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for PatternError {}

/// Why a path is refused. The texts are fixed: they repeat nothing of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadPath {
    Backslash,
    Character,
    DotSegment,
    Encoding,
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
    if !is_plain(path) {
        refuse_always(path)?;
        let raw = pick(path);
        for reading in readings(path) {
            if pick(&reading) != raw {
                return Err(BadPath::OtherReading);
            }
        }
        return Ok(raw);
    }
    Ok(pick(path))
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

/// The other readings: every combination of decoding, cutting parameters and merging slashes.
fn readings(path: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let texts = [Cow::Borrowed(path), decode_once(path), decode_fully(path)];
    texts.into_iter().flat_map(|text| {
        let cut = Cow::Owned(cut_parameters(&text).into_owned());
        let merged = Cow::Owned(merge_slashes(&text).into_owned());
        let both = Cow::Owned(merge_slashes(&cut).into_owned());
        [text, cut, merged, both]
    })
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patterns() -> Vec<Pattern> {
        let mut all: Vec<Pattern> = ["/admin/*", "/public/*", "/healthz"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        all.sort_by_key(Pattern::specificity);
        all
    }

    fn pick(path: &str) -> Result<Option<String>, BadPath> {
        let patterns = patterns();
        let found = pick_unambiguous(path, |path| patterns.iter().position(|p| p.matches(path)))?;
        Ok(found.map(|index| patterns[index].to_string()))
    }

    #[test]
    fn section_9_of_the_security_cases() {
        use BadPath::{Backslash, Character, DotSegment, Encoding, OtherReading};
        let admin = || Ok(Some("/admin/*".to_owned()));
        let public = || Ok(Some("/public/*".to_owned()));
        let none = || Ok(None);
        let cases = [
            ("PA-01", "/public/../admin", Err(DotSegment)),
            ("PA-01", "/public/..", Err(DotSegment)),
            ("PA-01", "/./admin", Err(DotSegment)),
            ("PA-01", "/public/.", Err(DotSegment)),
            ("PA-02", "/public/%2e%2e/admin", Err(DotSegment)),
            ("PA-02", "/.%2e/", Err(DotSegment)),
            ("PA-02", "/public/%2E%2E", Err(DotSegment)),
            ("PA-02", "/public/..%2fadmin", Err(DotSegment)),
            ("PA-02", "/public/%252e%252e", Err(DotSegment)),
            ("PA-02", "/public/%25252e%25252e/admin", Err(DotSegment)),
            ("PA-03", "/public\\admin", Err(Backslash)),
            ("PA-03", "/public/%5cadmin", Err(Backslash)),
            ("PA-03", "/public/%5Cadmin", Err(Backslash)),
            ("PA-04", "/public/%00", Err(Character)),
            ("PA-04", "/public/%0d%0a", Err(Character)),
            ("PA-04", "/public/%7f", Err(Character)),
            ("PA-04", "/public/%zz", Err(Encoding)),
            ("PA-04", "/public/%", Err(Encoding)),
            ("PA-04", "/public/%1", Err(Encoding)),
            ("PA-04", "/public/é", Err(Character)),
            ("PA-04", "/public/a b", Err(Character)),
            ("PA-05", "//admin/x", Err(OtherReading)),
            ("PA-05", "/public//../admin", Err(DotSegment)),
            ("PA-05", "/public//x", public()),
            ("PA-06", "/admin%2Fx", Err(OtherReading)),
            ("PA-06", "/public%2f..", Err(DotSegment)),
            ("PA-06", "/pub%6Cic/x", Err(OtherReading)),
            ("PA-06", "/pub%256Cic/x", Err(OtherReading)),
            ("PA-07", "/admin;x=1/y", Err(OtherReading)),
            ("PA-07", "/public;/../admin", Err(DotSegment)),
            ("PA-07", "/public/..;/admin", Err(DotSegment)),
            ("PA-07", "/admin;.json", Err(OtherReading)),
            ("PA-07", "/admin%3bx", Err(OtherReading)),
            ("PA-08", "/admin%23/public", none()),
            ("PA-08", "/admin/%23/public", admin()),
            ("PA-10", "/publicity", none()),
            ("PA-10", "/public.evil", none()),
            ("PA-10", "/PUBLIC/x", none()),
            ("PA-10", "/public", public()),
            ("PA-10", "/public/", public()),
            ("PA-10", "/healthz/x", none()),
            ("PA-15", "/public/%c3%a9/%2B+=&&", public()),
            ("PA-15", "/public/.well-known/x...y/...", public()),
            ("PA-15", "/public/x;v=1", public()),
            ("PA-15", "/public/100%25", public()),
        ];
        for (id, path, expected) in cases {
            assert_eq!(pick(path), expected, "{id}: {path}");
        }
    }

    #[test]
    fn a_pattern_has_one_spelling() {
        for bad in [
            "", "x", "/a*", "/*/b", "//", "/a//b", "/a/../b", "/%61", "/a;b", "/a?b", "/a b", "//*",
        ] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
        for good in ["/", "/*", "/a", "/a/*", "/a/", "/.well-known/x"] {
            assert_eq!(good.parse::<Pattern>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn everything_matches_everything() {
        assert_eq!("/*".parse(), Ok(Pattern::everything()));
        assert!(Pattern::everything().matches(b"/"));
        assert!(Pattern::everything().matches(b"/a//b"));
    }

    #[test]
    fn decoding_takes_linear_time() {
        let path = format!("/%{}2e", "25".repeat(8_000));
        assert_eq!(pick(&path), Err(BadPath::DotSegment));
    }

    // Paths made of what makes paths ambiguous.
    fn tricky() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "//", ".", "..", "%2e", "%252e", "%2f", "%2F", ";", ";a=1", "%3b", "admin",
            "public", "pub%6cic", "adm%69n", "healthz", "x", "%5c", "%25", "%", "%00", "é", "*",
        ]);
        prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn what_passes_means_the_same_route_to_every_reader(path in tricky()) {
            let Ok(raw) = pick(&path) else { return Ok(()) };
            // A reader of its own making: decodes (once, twice, thrice), cuts, merges, resolves.
            for rounds in 0..4 {
                for cut in [false, true] {
                    let mut text = path.as_bytes().to_vec();
                    for _ in 0..rounds { text = decode_once(&text).into_owned(); }
                    let mut kept: Vec<Vec<u8>> = Vec::new();
                    let mut ends_with_slash = false;
                    for segment in text.split(|b| *b == b'/') {
                        let segment = if cut {
                            segment.split(|b| *b == b';').next().unwrap_or_default()
                        } else {
                            segment
                        };
                        ends_with_slash = segment.is_empty();
                        match segment {
                            b"" | b"." => {}
                            b".." => { kept.pop(); }
                            other => kept.push(other.to_vec()),
                        }
                    }
                    let mut resolved = vec![b'/'];
                    resolved.extend(kept.join(&b'/'));
                    if resolved.len() > 1 && ends_with_slash {
                        resolved.push(b'/');
                    }
                    let patterns = patterns();
                    let other = patterns.iter().find(|p| p.matches(&resolved)).map(ToString::to_string);
                    prop_assert_eq!(&raw, &other, "{} as {:?}", path, String::from_utf8_lossy(&resolved));
                }
            }
        }

        #[test]
        fn no_input_panics(path in "/[ -~é]{0,40}") {
            let _ = pick(&path);
        }
    }
}
