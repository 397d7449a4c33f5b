mod others;

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
    use BadPath::{Backslash, Character, DotSegment, Encoding, NotUtf8, OtherReading};
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
        ("PA-02", "/public/%c0%ae%c0%ae/admin", Err(NotUtf8)),
        ("PA-04", "/admin%c0%afx", Err(NotUtf8)),
        ("PA-04", "/public/%e9", Err(NotUtf8)),
        ("PA-04", "/public/%25e9", Err(NotUtf8)),
        ("PA-04", "/public/%c3%25a9", Err(NotUtf8)),
        ("PA-04", "/public/%ed%a0%80", Err(NotUtf8)),
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
        ("PA-07", "/admin%2fx;%2fy", Err(OtherReading)),
        ("PA-07", "/healthz/;", none()),
        ("PA-08", "/admin%23/public", none()),
        ("PA-08", "/admin%3fx", Err(OtherReading)),
        ("PA-08", "/admin%253F/../public", Err(DotSegment)),
        ("PA-08", "/public/..%3f", Err(DotSegment)),
        ("PA-08", "/public/%2e%2e%253fx", Err(DotSegment)),
        ("PA-08", "/public/.;%3f", Err(DotSegment)),
        ("PA-08", "/admin%2523x", none()),
        ("PA-08", "/publicity%23x", none()),
        ("PA-08", "/public/what%3f", public()),
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
fn whoever_cuts_parameters_before_decoding_picks_the_same_route() {
    // Decoded first: `/exact/x;/y`, cut: `/exact/x/y`. Cut first: `/exact%2fx`, which is `/exact/x`.
    let pick = |path: &[u8]| Some(path == b"/exact/x");
    assert_eq!(
        pick_unambiguous("/exact%2fx;%2fy", pick),
        Err(BadPath::OtherReading)
    );
}

#[test]
fn a_path_with_more_readings_than_anybody_needs_is_refused() {
    let path = format!("/public/%{}41", "25".repeat(MAX_READINGS));
    assert_eq!(pick(&path), Err(BadPath::OtherReading));
    assert!(pick(&format!("/public/%{}41", "25".repeat(10))).is_ok());
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
        "/", "//", ".", "..", "%2e", "%252e", "%2f", "%2F", ";", ";a=1", "%3b", "admin", "public",
        "pub%6cic", "adm%69n", "healthz", "x", "%5c", "%25", "%", "%00", "é", "*", "%3f", "%253F",
        "%23", "%c3%a9", "%c0", "%af", "%ae",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// What a reader cuts: parameters before or after it decodes, or a query after it.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Nothing,
    Before,
    After,
    Query,
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> = path
        .split(|b| *b == b'/')
        .map(|segment| segment.split(|b| *b == b';').next().unwrap_or_default())
        .collect();
    segments.join(&b'/')
}

/// Reads as servers do that resolve a path: cuts, decodes, merges slashes, takes dots away.
fn read(path: &[u8], rounds: usize, cut: Cut) -> Vec<u8> {
    let mut text = path.to_vec();
    if cut == Cut::Before {
        text = without_parameters(&text);
    }
    for _ in 0..rounds {
        text = decode_once(&text).into_owned();
    }
    match cut {
        Cut::After => text = without_parameters(&text),
        Cut::Query => text = text.split(|b| *b == b'?').next().unwrap().to_vec(),
        Cut::Nothing | Cut::Before => {}
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_with_slash = false;
    for segment in text.split(|b| *b == b'/') {
        ends_with_slash = segment.is_empty();
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut resolved = vec![b'/'];
    resolved.extend(kept.join(&b'/'));
    if resolved.len() > 1 && ends_with_slash {
        resolved.push(b'/');
    }
    resolved
}

proptest! {
    #[test]
    fn what_passes_means_the_same_route_to_every_reader(path in tricky()) {
        let Ok(raw) = pick(&path) else { return Ok(()) };
        // A reader of its own making: decodes (once, twice, thrice), cuts, merges, resolves.
        for rounds in 0..4 {
            for cut in [Cut::Nothing, Cut::Before, Cut::After, Cut::Query] {
                let resolved = read(path.as_bytes(), rounds, cut);
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

#[test]
fn a_long_path_is_read_in_fewer_ways_than_a_short_one() {
    let odd = "/public///;a/%252525253fz%2525252f%25253b/";
    let all = |_: &[u8]| true;
    assert!(refuse_other_readings(odd.as_bytes(), all).is_ok());
    for (length, passes) in [(1_000, true), (15_000, false)] {
        let path = odd.to_owned() + &"a".repeat(length);
        let read = std::cell::Cell::new(0);
        let count = |reading: &[u8]| {
            read.set(read.get() + reading.len());
            true
        };
        let outcome = refuse_other_readings(path.as_bytes(), count);
        assert_eq!(outcome.is_ok(), passes, "{length}");
        assert!(read.get() <= 2 * MAX_READ, "{length}: {}", read.get());
    }
    // As long as they come, and odd in two ways.
    let honest = "/a%20b//".to_owned() + &"a".repeat(16_000);
    assert!(refuse_other_readings(honest.as_bytes(), all).is_ok());
}
