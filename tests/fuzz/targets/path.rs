//! Paths and routes. The input is a digit for the host, one for the method, and a path.
//!
//! Whatever route a request gets, every other reading of its path has to get the same.
#![no_main]

use std::collections::BTreeSet;

use http::{Method, uri::PathAndQuery};
use libfuzzer_sys::fuzz_target;
use obo_gateway::fuzzing::{Outcome, Table};

const HOSTS: [&str; 5] = [
    "",
    "other",
    "api.example",
    "API.example:8080",
    "x.y.example",
];

/// Hosts, path and methods of each route.
type Routes = &'static [(&'static [&'static str], &'static str, &'static [Method])];

/// Beside `/*`, everything that is mistaken ends somewhere; without it, in a 404.
const TABLES: [Routes; 4] = [
    &[
        (&[], "/admin/*", &[]),
        (&[], "/public/*", &[]),
        (&[], "/healthz", &[]),
    ],
    &[
        (&[], "/*", &[]),
        (&[], "/admin/*", &[]),
        (&[], "/admin/keys", &[Method::GET]),
    ],
    &[
        (&[], "/*", &[]),
        (&[], "/admin", &[Method::POST]),
        (&[], "/admin", &[Method::GET]),
    ],
    &[
        (&["*.example"], "/*", &[]),
        (&["api.example"], "/admin/*", &[]),
        (&[], "/public/*", &[Method::GET]),
        (&["*.example"], "/a/b", &[]),
        (&[], "/a/*", &[]),
    ],
];

thread_local! {
    static READY: [Table; 4] = TABLES.map(|routes| {
        Table::new(routes.iter().map(|(hosts, path, methods)| {
            let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
            (hosts, path.parse().unwrap(), methods.to_vec())
        }))
    });
}

fuzz_target!(|data: &[u8]| {
    let [host, method, path @ ..] = data else {
        return;
    };
    let host = HOSTS[usize::from(*host) % HOSTS.len()];
    let method = [Method::GET, Method::POST][usize::from(*method) % 2].clone();
    // What hyper would refuse gets no route.
    let Ok(target) = PathAndQuery::try_from(path) else {
        return;
    };
    let path = target.path();
    if !path.starts_with('/') {
        return;
    }
    READY.with(|tables| {
        for (table, routes) in tables.iter().zip(TABLES) {
            judge(table, routes, &method, host, path);
        }
    });
});

fn judge(table: &Table, routes: Routes, method: &Method, host: &str, path: &str) {
    let outcome = table.pick(method, host.as_bytes(), path);
    if outcome == Outcome::BadPath {
        // A path that nobody can mistake is never refused.
        let is_plain = path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'/');
        assert!(!is_plain || path.contains("//"), "{path}");
        return;
    }
    let raw = place(routes, host, path.as_bytes());
    assert_eq!(outcome, expected(routes, raw, method), "{path}");
    for reading in readings(path.as_bytes()) {
        let text = reading.escape_ascii();
        assert_eq!(
            place(routes, host, &reading),
            raw,
            "{path} may be read as {text}"
        );
        assert!(
            std::str::from_utf8(&reading).is_ok(),
            "{path}: {text} is not UTF-8"
        );
        let is_hidden = |byte: &u8| byte.is_ascii_control() || *byte == b'\\';
        assert!(
            !reading.iter().any(is_hidden),
            "{path} hides something: {text}"
        );
    }
}

fn expected(routes: Routes, place: Option<(&str, &str)>, method: &Method) -> Outcome {
    let Some((host, path)) = place else {
        return Outcome::NoPath;
    };
    routes
        .iter()
        .position(|(hosts, own, methods)| {
            *own == path
                && (hosts.contains(&host) || hosts.is_empty() && host.is_empty())
                && (methods.is_empty() || methods.contains(method))
        })
        .map_or(Outcome::NoMethod, Outcome::Route)
}

/// The host and path of the table that are the most specific of those that fit.
fn place(routes: Routes, host: &str, path: &[u8]) -> Option<(&'static str, &'static str)> {
    let host = host
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let fits_host = |own: &str| match own.strip_prefix('*') {
        Some(domain) => host.ends_with(domain),
        None => own.is_empty() || own == host,
    };
    let fits_path = |own: &str| match own.strip_suffix("/*") {
        Some(own) => path == own.as_bytes() || path.starts_with(format!("{own}/").as_bytes()),
        None => path == own.as_bytes(),
    };
    let all = routes.iter().flat_map(|(hosts, path, _)| {
        let hosts = if hosts.is_empty() { &[""] } else { *hosts };
        hosts.iter().map(|host| (*host, *path))
    });
    all.filter(|(host, path)| fits_host(host) && fits_path(path))
        .max_by_key(|(host, path)| {
            // A whole host before a wildcard before none; an exact path before a prefix.
            (
                !host.is_empty(),
                !host.starts_with('*'),
                !path.ends_with('*'),
                path.len(),
            )
        })
}

/// What servers make of a path, each step once or more, in every order, up to five steps.
fn readings(path: &[u8]) -> BTreeSet<Vec<u8>> {
    let steps = [decode, without_parameters, without_query, resolve];
    let mut all = BTreeSet::from([path.to_vec()]);
    let mut latest = all.clone();
    for _ in 0..5 {
        latest = latest
            .iter()
            .flat_map(|path| steps.map(|step| step(path)))
            .filter(|path| !all.contains(path))
            .collect();
        all.extend(latest.iter().cloned());
    }
    all
}

fn decode(path: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(path).collect()
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let cut: Vec<&[u8]> = segments
        .map(|segment| {
            segment
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default()
        })
        .collect();
    cut.join(&b'/')
}

fn without_query(path: &[u8]) -> Vec<u8> {
    let end = path.iter().position(|byte| *byte == b'?');
    path[..end.unwrap_or(path.len())].to_vec()
}

/// Merges slashes and takes dot segments away.
fn resolve(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut is_open = false;
    for segment in path.split(|byte| *byte == b'/') {
        is_open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let mut resolved = vec![b'/'];
    resolved.extend(kept.join(&b'/'));
    if is_open && !kept.is_empty() {
        resolved.push(b'/');
    }
    resolved
}
