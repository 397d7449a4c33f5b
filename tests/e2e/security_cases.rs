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
        let (mut named_here, mut run, mut says_so) = (0, 0, 0);
        for test in named.split('`').skip(1).step_by(2) {
            let (file, name) = test.split_once("::").unwrap();
            let source = std::fs::read_to_string(root.join(file));
            let source = source.unwrap_or_else(|error| panic!("{id}: {file}: {error}"));
            let function = format!("fn {name}(");
            let (before, _) = source
                .split_once(&function)
                .unwrap_or_else(|| panic!("{id}: {file} has no {name}"));
            named_here += 1;
            if !is_run(before) {
                continue;
            }
            is_mounted(&root, Path::new(file)).unwrap_or_else(|why| panic!("{id}: {file}: {why}"));
            run += 1;
            says_so += usize::from(cases(name).iter().any(|case| case == id));
        }
        // One that takes hours may be left out by default; another has to stand beside it.
        assert!(named_here == 0 || run > 0, "{id}: no test of it runs");
        assert!(
            run == 0 || says_so > 0,
            "{id}: no test of it names the case"
        );
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

/// Whether the file is part of a program that `cargo test --workspace --all-features` builds: each module
/// is declared by the one above, up to one that cargo finds itself or is told of.
fn is_mounted(root: &Path, file: &Path) -> Result<(), String> {
    if is_root(root, file) {
        return Ok(());
    }
    let folder = file.parent().ok_or("outside of everything")?;
    let (module, above) = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod") => (folder.file_name(), folder.parent()),
        _ => (file.file_stem(), Some(folder)),
    };
    let (Some(module), Some(above)) = (module.and_then(|name| name.to_str()), above) else {
        return Err("outside of everything".to_owned());
    };
    let beside = ["mod.rs", "lib.rs", "main.rs"].map(|name| above.join(name));
    let parents = beside.into_iter().chain([above.with_extension("rs")]);
    for parent in parents.filter(|parent| parent != file) {
        let Ok(source) = std::fs::read_to_string(root.join(&parent)) else {
            continue;
        };
        if declares(&source, module) {
            return is_mounted(root, &parent);
        }
    }
    Err(format!("no module declares `mod {module};`"))
}

/// Whether cargo builds a program or a library of it.
fn is_root(root: &Path, file: &Path) -> bool {
    let mut package = file.ancestors().skip(1);
    let package = package.find(|folder| root.join(folder).join("Cargo.toml").is_file());
    let Some(package) = package else {
        return false;
    };
    let manifest = std::fs::read_to_string(root.join(package).join("Cargo.toml")).unwrap();
    let within = file.strip_prefix(package).unwrap();
    let parts: Vec<_> = within.iter().filter_map(|part| part.to_str()).collect();
    match parts[..] {
        ["src", "lib.rs" | "main.rs"] | ["tests", _] | ["tests", _, "main.rs"] => true,
        _ => manifest.contains(&format!("path = \"{}\"", within.display())),
    }
}

/// Whether the source has such a module, built for tests with all features.
fn declares(source: &str, module: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let declaration = format!("mod {module};");
    let at = lines.iter().position(|line| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
        line == declaration
    });
    let Some(at) = at else {
        return false;
    };
    let attributes = lines[..at].iter().rev();
    attributes
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        .filter(|line| line.starts_with("#[cfg("))
        .all(|line| {
            ["test", "feature", "unix", "target_os = \"linux\""]
                .iter()
                .any(|good| line.contains(good))
                && !line.contains("not(")
        })
}

#[test]
fn a_file_that_no_module_declares_is_no_proof() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in [
        "tests/e2e/security_cases.rs",
        "gateway/tests/it/downstreams.rs",
        "crates/tower-obo/src/tokens/store/tests/refused.rs",
        "crates/tower-obo/tests/memory.rs",
    ] {
        assert_eq!(is_mounted(&root, Path::new(file)), Ok(()), "{file}");
    }
    let alone = is_mounted(&root, Path::new("gateway/tests/it/nobody_knows.rs"));
    assert!(alone.is_err_and(|why| why.contains("mod nobody_knows;")));
    assert!(!is_root(
        &root,
        Path::new("gateway/tests/it/downstreams.rs")
    ));
    for (source, declared) in [
        ("mod a;", true),
        ("    pub(crate) mod a;\n", true),
        (
            "/// It.\n#[cfg(all(test, feature = \"redis\"))]\nmod a;",
            true,
        ),
        ("#[cfg(windows)]\nmod a;", false),
        ("#[cfg(not(feature = \"redis\"))]\nmod a;", false),
        ("#[cfg(windows)]\nmod b;\nmod a;", true),
        ("// mod a;\nmod aa;", false),
    ] {
        assert_eq!(declares(source, "a"), declared, "{source}");
    }
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

/// The cases with which a test's name begins: two letters, or a letter and a digit, and a number;
/// several one after the other, or from one `to` another.
fn cases(name: &str) -> Vec<String> {
    let words: Vec<_> = name.split('_').collect();
    let (mut cases, mut rest) = (Vec::new(), &words[..]);
    while let Some((section, number)) = case(rest) {
        rest = &rest[2..];
        let mut last = number;
        if rest.first() == Some(&"to")
            && let Some((_, to)) = case(&rest[1..])
        {
            (last, rest) = (to, &rest[3..]);
        }
        let all = (number..=last).map(|number| format!("{section}-{number:02}").to_uppercase());
        cases.extend(all);
    }
    cases
}

/// The case that the first two words are.
fn case<'a>(words: &[&'a str]) -> Option<(&'a str, u8)> {
    let [section, number, ..] = words else {
        return None;
    };
    let is_one = section.len() == 2 && number.len() == 2;
    is_one.then(|| Some((*section, number.parse().ok()?)))?
}

#[test]
fn a_name_begins_with_one_case_or_several() {
    for (name, expected) in [
        ("jw_09_a_token_has_three_parts", &["JW-09"][..]),
        ("h2_09_h2_11_streams", &["H2-09", "H2-11"]),
        ("pa_01_to_pa_03_paths", &["PA-01", "PA-02", "PA-03"]),
        ("nobody_09_knows", &[]),
        ("it_is_so", &[]),
    ] {
        assert_eq!(cases(name), expected, "{name}");
    }
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
