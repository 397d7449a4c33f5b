//! The example of the file with everything in it.

use super::*;

const EXAMPLE: &str = include_str!("../../../../docs/gateway.toml");

#[test]
fn the_example_with_every_setting_is_a_good_configuration() {
    let text = EXAMPLE.replace("<guid>", TENANT);
    let config = Sources::new().file("gateway.toml", text).load();
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    // Where it says that it shows a default, it does.
    let given = &config.limits;
    let default = Limits {
        body_bytes: given.body_bytes,
        total_timeout: given.total_timeout,
        ..Limits::default()
    };
    assert_eq!(format!("{given:?}"), format!("{default:?}"));
}

#[test]
fn the_example_has_every_setting() {
    let names = keys::KEYS
        .iter()
        .filter(|key| key.kind != keys::Kind::Secret);
    for key in names.chain(keys::ROUTE_KEYS) {
        let name = key.name.rsplit('.').next().unwrap_or_default();
        let is_there = EXAMPLE.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            let line = line.trim_start_matches("credential = { ");
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.trim_start().starts_with('='))
        });
        assert!(is_there, "{}", key.name);
    }
}
