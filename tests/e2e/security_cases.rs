//! The list of security cases is true.

use std::{collections::BTreeSet, path::Path};

const LIST: &str = include_str!("../../docs/security-cases.md");

/// The rows: id, what is tried, tests.
fn rows() -> impl Iterator<Item = [&'static str; 3]> {
    LIST.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| case "))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            cells.try_into().unwrap_or_else(|_| panic!("{line}"))
        })
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut tests = 0;
    for [id, _, named] in rows() {
        for test in named.split('`').skip(1).step_by(2) {
            let (file, name) = test.split_once("::").unwrap();
            let source = std::fs::read_to_string(root.join(file));
            let source = source.unwrap_or_else(|error| panic!("{id}: {file}: {error}"));
            let function = format!("fn {name}(");
            assert!(source.contains(&function), "{id}: {file} has no {name}");
            tests += 1;
        }
    }
    assert!(tests > 180, "{tests}");
}

#[test]
fn every_case_has_a_test_or_a_reason_and_stands_once() {
    let mut ids = BTreeSet::new();
    for [id, tried, named] in rows() {
        assert!(ids.insert(id), "{id} stands twice");
        assert!(!tried.is_empty(), "{id}");
        let reason = named
            .strip_prefix("not yet: ")
            .is_some_and(|why| !why.is_empty());
        assert!(named.contains("::") != reason, "{id}: {named}");
    }
    let first = |section: &str| ids.iter().filter(|id| id.starts_with(section)).count();
    for (section, cases) in [
        ("BE-", 12),
        ("JW-", 13),
        ("CL-", 15),
        ("KS-", 10),
        ("AZ-", 8),
        ("EX-", 13),
        ("CA-", 9),
        ("HD-", 15),
        ("PA-", 15),
        ("H1-", 15),
        ("H2-", 12),
        ("UP-", 5),
        ("LI-", 9),
        ("TL-", 5),
        ("AD-", 8),
        ("CF-", 2),
    ] {
        assert_eq!(first(section), cases, "{section}");
    }
}
