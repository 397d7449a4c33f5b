//! The store that gateways share.

use std::{env, fs, path::PathBuf};

use super::*;

const KEY: &str = "a key of an operator, longer than 32 bytes";

#[test]
fn the_store_has_an_address_and_a_key_and_shows_neither() {
    let config = with_file(
        "[cache]\nredis_url = 'rediss://:hunter2@h'\nredis_key_file = '/k'\nredis_ca_file = '/ca.pem'",
    )
    .unwrap();
    let store = config.shared_store.as_ref().unwrap();
    assert_eq!(store.url.expose(), "rediss://:hunter2@h");
    assert_eq!(store.key_file.path(), PathBuf::from("/k"));
    assert_eq!(store.ca_file, Some(PathBuf::from("/ca.pem")));
    assert_eq!(store.wait, Duration::from_millis(100));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(with_file("").unwrap().shared_store.is_none());
}

#[test]
fn an_address_with_a_password_comes_from_the_environment() {
    let config = Sources::new()
        .file("gw.toml", "[cache]\nredis_key_file = '/k'")
        .environment(|name| match name {
            "OBO_CACHE_REDIS_URL" => Some("redis://:hunter2@h".to_owned()),
            name => environment(name),
        })
        .load()
        .unwrap();
    let store = config.shared_store.unwrap();
    assert_eq!(store.url.expose(), "redis://:hunter2@h");
    // There is no flag that shows it in the list of processes.
    let key = keys::find("cache.redis_url").unwrap();
    assert_eq!(key.flag, "");
}

#[test]
fn ca_09_how_long_a_request_waits_for_the_store_is_set() {
    let with = |wait: &str| {
        with_file(&format!(
            "[cache]\nredis_url = 'redis://h'\nredis_key_file = '/k'\nredis_wait = '{wait}'"
        ))
    };
    for (text, wait) in [("20ms", 20), ("2s", 2_000)] {
        let store = with(text).unwrap().shared_store.unwrap();
        assert_eq!(store.wait, Duration::from_millis(wait));
    }
    for bad in ["0s", "2001ms", "soon"] {
        let problems = lines(with(bad));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0].starts_with("gw.toml:4: cache.redis_wait"),
            "{problems:#?}"
        );
    }
    assert_only("[cache]\nredis_wait = '1s'", "gw.toml:2: cache.redis_wait");
}

#[test]
fn what_is_wrong_with_the_store_is_said_where_it_stands_without_the_address() {
    assert_only(
        "[cache]\nredis_url = 'redis://h'",
        "gw.toml:2: cache.redis_key_file: missing",
    );
    assert_only(
        "[cache]\nredis_key_file = '/k'",
        "gw.toml:2: cache.redis_key_file",
    );
    let problems = lines(with_file(
        "[cache]\nredis_url = 'http://:hunter2@h'\nredis_key_file = '/k'",
    ));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with("gw.toml:2: cache.redis_url"));
    assert!(!problems[0].contains("hunter2"), "{problems:?}");
}

#[test]
fn a_password_that_crosses_the_network_in_the_clear_is_warned_of_without_it() {
    for (url, told) in [
        ("redis://:hunter2@cache.example:6379", true),
        ("redis://user:hunter2@10.0.0.7/0", true),
        ("redis://user:hunter2@[fd00::7]:6379", true),
        ("redis-cluster://:hunter2@cache.example", true),
        ("redis://:a@b@cache.example", true),
        ("rediss://:hunter2@cache.example", false),
        ("rediss-cluster://:hunter2@cache.example", false),
        ("redis+unix:///run/redis.sock", false),
        ("redis://cache.example", false),
        ("redis://user@cache.example", false),
        ("redis://:@cache.example", false),
        ("redis://:hunter2@localhost", false),
        ("redis://:hunter2@127.0.0.1:6379", false),
        ("redis://:hunter2@[::1]:6379", false),
    ] {
        let text = format!("[cache]\nredis_url = '{url}'\nredis_key_file = '/k'");
        let warnings = with_file(&text).unwrap().warnings().to_string();
        assert_eq!(warnings.contains("rediss://"), told, "{url}: {warnings}");
        assert!(!warnings.contains("hunter2"), "{warnings}");
    }
}

#[test]
fn the_key_file_has_one_key_a_line_and_must_be_there() {
    let file = env::temp_dir().join(format!("obo-redis-key-{}", uuid::Uuid::new_v4()));
    let store = SharedStore::new("redis://h", file.clone());
    let problem = || store.read().err().unwrap_or_default();
    assert!(problem().contains("cannot be read"), "{}", problem());
    fs::write(&file, "\n \n").unwrap();
    assert!(problem().contains("is empty"), "{}", problem());
    fs::write(&file, format!("{KEY}\n\n  {KEY}2\n")).unwrap();
    assert_eq!(problem(), "");
    let mut with_ca = store.clone();
    with_ca.ca_file = Some(file.with_extension("none"));
    assert!(with_ca.read().unwrap_err().contains("cannot be read"));
    fs::remove_file(&file).unwrap();
}
