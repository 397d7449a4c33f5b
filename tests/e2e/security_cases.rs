//! The list of security cases is true.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

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
        let (mut named_here, mut run) = (0, 0);
        for test in named.split('`').skip(1).step_by(2) {
            let (file, name) = test.split_once("::").unwrap();
            let source = std::fs::read_to_string(root.join(file));
            let source = source.unwrap_or_else(|error| panic!("{id}: {file}: {error}"));
            let function = format!("fn {name}(");
            let (before, _) = source
                .split_once(&function)
                .unwrap_or_else(|| panic!("{id}: {file} has no {name}"));
            named_here += 1;
            run += usize::from(is_run(before));
        }
        // One that takes hours may be left out by default; another has to stand beside it.
        assert!(named_here == 0 || run > 0, "{id}: no test of it runs");
        tests += run;
    }
    assert!(tests > 180, "{tests}");
}

/// Whether the function behind this is a test, and none that is left out by default.
fn is_run(before: &str) -> bool {
    let attributes = before.rsplit("\n\n").next().unwrap_or_default();
    let is_test = |line: &str| {
        let line = line.trim_start();
        line.starts_with("#[test]") || line.starts_with("#[tokio::test")
    };
    attributes.lines().any(is_test) && !attributes.contains("#[ignore")
}

#[test]
fn a_test_that_is_ignored_or_none_at_all_is_no_proof() {
    for (before, runs) in [
        ("}\n\n#[test]\n", true),
        (
            "}\n\n    /// Why.\n    #[tokio::test(start_paused = true)]\n    async ",
            true,
        ),
        ("#[test]\nfn other() {}\n\n", false),
        ("}\n\n#[test]\n#[ignore = \"slow\"]\n", false),
    ] {
        assert_eq!(is_run(before), runs, "{before}");
    }
}

#[test]
fn every_test_that_names_a_case_is_in_its_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["crates", "demo-backend", "demo-ui", "gateway", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let mut missing = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let file = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let names = source.split("fn ").skip(1);
        for name in names.filter_map(|rest| rest.split_once('(').map(|(name, _)| name)) {
            // Of some there are several: `h2_09_h2_11_…`.
            for case in cases(name) {
                let row = rows().find(|[id, ..]| *id == case);
                // Other sections of the catalogue are not in the list.
                if row.is_some_and(|[_, _, named]| !named.contains(&format!("`{file}::{name}`"))) {
                    missing.push(format!("{case}: {file}::{name}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The Rust files of a folder and of those in it, but for what was built.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The cases with which a test's name begins: two letters, or a letter and a digit, and a number.
fn cases(name: &str) -> Vec<String> {
    let words: Vec<_> = name.split('_').collect();
    let pairs = words.chunks_exact(2);
    pairs
        .map_while(|pair| {
            let number = pair[1].len() == 2 && pair[1].bytes().all(|byte| byte.is_ascii_digit());
            (pair[0].len() == 2 && number)
                .then(|| format!("{}-{}", pair[0], pair[1]).to_uppercase())
        })
        .collect()
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
        ("LO-", 6),
        ("AD-", 8),
        ("CF-", 8),
    ] {
        assert_eq!(first(section), cases, "{section}");
    }
}
