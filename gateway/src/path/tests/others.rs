//! Readings that others have written: the `url` crate's and Python's. Whatever passes here has to
//! have the same route for them.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};

use proptest::{strategy::ValueTree as _, test_runner::TestRunner};

use super::*;

/// The route that a reader picks who sees this path.
fn route_of(path: &str) -> Option<String> {
    let patterns = patterns();
    let found = patterns.iter().find(|p| p.matches(path.as_bytes()));
    found.map(ToString::to_string)
}

proptest! {
    #[test]
    fn what_passes_means_the_same_route_to_the_url_crate(path in tricky()) {
        let Ok(route) = pick(&path) else { return Ok(()) };
        let url = url::Url::parse(&format!("http://host{path}")).unwrap();
        prop_assert_eq!(&route, &route_of(url.path()), "{} as {}", path, url.path());
        prop_assert_eq!(url.query(), None, "{}", path);
    }
}

#[test]
fn what_passes_means_the_same_route_to_python() {
    let runner = &mut TestRunner::default();
    let tricky = tricky();
    let mut passed = Vec::new();
    // All at once: an interpreter is slow to start.
    while passed.len() < 2_000 {
        let path = tricky.new_tree(runner).unwrap().current();
        if let Ok(route) = pick(&path) {
            passed.push((path, route));
        }
    }
    let paths: Vec<&str> = passed.iter().map(|(path, _)| &**path).collect();
    let Some(readings) = python(&paths) else {
        assert!(std::env::var_os("CI").is_none(), "python3 is missing");
        eprintln!("SKIPPED: python3 is missing");
        return;
    };
    assert_eq!(readings.len(), passed.len());
    for ((path, route), readings) in passed.iter().zip(readings) {
        assert!(readings.len() > 4, "{readings:?}");
        for (reading, read) in readings {
            assert_eq!(*route, route_of(&read), "{path}, {reading}: {read}");
        }
    }
}

/// What Python makes of each path, by the name of the reading.
fn python(paths: &[&str]) -> Option<Vec<BTreeMap<String, String>>> {
    let mut python = Command::new("python3")
        .args(["-I", "-c", include_str!("readings.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let paths = serde_json::to_vec(paths).unwrap();
    python.stdin.take()?.write_all(&paths).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
