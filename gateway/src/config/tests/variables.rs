//! Variables whose names are wrong.

use super::*;

fn named(names: &[&str]) -> Sources<'static> {
    Sources::new()
        .file("gw.toml", "")
        .environment(environment)
        .variables(names.iter().map(|name| (*name).to_owned()))
}

#[test]
fn a_misspelt_variable_is_a_warning_at_a_start_and_a_problem_of_check() {
    let said =
        "environment variable OBO_DENYFILE: no setting has this variable; OBO_DENY_FILE is meant?";
    let config = named(&["OBO_DENYFILE"]).load().unwrap();
    assert_eq!(config.warnings().to_string(), said);
    assert_eq!(
        lines(named(&["OBO_DENYFILE"]).files_must_exist().load()),
        [said]
    );
}

#[test]
fn one_that_resembles_none_is_a_warning_always() {
    let said = "environment variable OBO_COLOUR: no setting has this variable; it changes nothing";
    for sources in [
        named(&["OBO_COLOUR"]),
        named(&["OBO_COLOUR"]).files_must_exist(),
    ] {
        let config = sources.load().unwrap();
        assert!(config.warnings().to_string().contains(said));
    }
}

#[test]
fn a_misspelt_variable_is_named_beside_what_is_missing_for_it() {
    let sources = named(&["OBO_UPSTREEM"])
        .environment(|name| environment(name).filter(|_| name != "OBO_UPSTREAM"));
    let problems = lines(sources.load());
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].contains("upstream: missing"), "{problems:#?}");
    assert!(
        problems[1].contains("OBO_UPSTREAM is meant?"),
        "{problems:#?}"
    );
}

#[test]
fn what_is_known_or_of_somebody_else_is_not_said() {
    let known: Vec<&str> = keys::KEYS
        .iter()
        .flat_map(|key| key.environment)
        .copied()
        .collect();
    let others = [
        "OBO_CONFIG",
        "OBO_COMMIT",
        "OBO_OIDC_ISSUER",
        "OBO_GATEWAY_SERVICE_HOST",
        "OBO_GATEWAY_SERVICE_PORT_HTTP",
        "OBO_GATEWAY_PORT",
        "OBO_GATEWAY_PORT_8080_TCP_ADDR",
        "PATH",
        "HOBO_UPSTREEM",
    ];
    let all = [known, others.to_vec()].concat();
    assert_eq!(named(&all).load().unwrap().warnings().to_string(), "");
}
