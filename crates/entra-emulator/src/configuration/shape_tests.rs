//! What is no setting is said, all of it, and what this module takes is what is read.

use serde::de::DeserializeOwned;

use super::shape::{self, Kind, Setting};
use super::{Configuration, tables};

#[test]
fn all_that_is_no_setting_is_said_at_once_with_its_line_and_what_is_meant() {
    let file = "tokens_lifetime = 60
page_size = 'three'
arm_rate_limit = { bucket = -1 }
[[tenant]]
id = 'x'
name = 'C'
domian = 'c.example'
[[user]]
user_name = 'ann@c.example'
disabled = 'no'
mfa = 'always'
colour = 'red'
subscriptions = [
  { name = 'S', tags = { cost-center = 4711 } },
  { name = 'T', resource_groups = [{ nmae = 'web' }] },
]
[[application]]
client_id = 'x'
name = 'App'
secrets = 'one'
app_id_uris = ['api://x', 1]
token_version = 300
scopes = ['access_as_user']
[tenants]
";
    let found = Configuration::parse(file, ".").unwrap_err();
    let expected = [
        "line 1: tokens_lifetime: there is no such setting; is \"token_lifetime\" meant?",
        "line 2: page_size: a whole number is wanted, not a string",
        "line 3: arm_rate_limit.bucket: a whole number from 0 to 4294967295 is wanted",
        "line 3: arm_rate_limit.per_second: is missing",
        "line 4: tenant.domain: is missing",
        "line 7: tenant.domian: there is no such setting; is \"domain\" meant?",
        "line 8: user.username: is missing",
        "line 9: user.user_name: there is no such setting; is \"username\" meant?",
        "line 10: user.disabled: true or false is wanted, not a string",
        "line 11: user.mfa: \"always\" is none of what there is: not-required, required, not-enrolled",
        "line 12: user.colour: there is no such setting; there are: username, tenant, oid, password, name, note, mfa, \
         disabled, subscriptions, guest_in",
        "line 14: user.subscriptions.tags.cost-center: a string is wanted, not an integer",
        "line 15: user.subscriptions.resource_groups.name: is missing",
        "line 15: user.subscriptions.resource_groups.nmae: there is no such setting; is \"name\" meant?",
        "line 20: application.secrets: a list of strings is wanted, not a string",
        "line 21: application.app_id_uris: a string is wanted, not an integer",
        "line 22: application.token_version: a whole number from 0 to 255 is wanted",
        "line 23: application.scopes: a table is wanted, not a string",
        "line 24: tenants: there is no such setting; is \"tenant\" meant?",
    ];
    let mut found = found.problems().to_vec();
    found.sort_by_key(|problem| {
        problem[5..]
            .split(':')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    });
    let missing = |problem: &&str| !found.iter().any(|found| found == problem);
    let missing: Vec<_> = expected.iter().filter(|one| missing(one)).collect();
    assert!(missing.is_empty(), "{missing:#?} not in {found:#?}");
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn each_line_that_is_no_toml_is_said_and_not_all_of_another_kind_of_file() {
    let problems = shape::problems("page_size = 3\nuser: ann\nname: x\n");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].starts_with("line 2: ") && problems[1].starts_with("line 3: "));
    let problems = shape::problems(&"- a: list of YAML\n".repeat(12));
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(problems[4].ends_with("so are 7 more lines: is this file TOML?"));
}

/// A value of that kind, in which tables have what they must have or all they may have.
fn value(kind: Kind, all: bool) -> String {
    match kind {
        Kind::Text => "'x'".to_owned(),
        Kind::Switch => "true".to_owned(),
        Kind::Number(most) => most.to_string(),
        Kind::Texts => "['x']".to_owned(),
        Kind::Names => "{ x = 'x' }".to_owned(),
        Kind::Choice(choices) => format!("'{}'", choices[0]),
        Kind::One(known) => format!("{{ {} }}", settings(known, all, None).join(", ")),
        Kind::Many(known) => format!("[{}]", value(Kind::One(known), all)),
    }
}

fn settings(known: &[Setting], all: bool, without: Option<&str>) -> Vec<String> {
    let wanted = known
        .iter()
        .filter(|known| all || known.required)
        .filter(|known| Some(known.name) != without);
    wanted
        .map(|known| format!("{} = {}", known.name, value(known.kind, all)))
        .collect()
}

/// Whatever passes here is read, and what is read passes here.
fn agrees<T: DeserializeOwned>(known: &[Setting]) {
    let read = |settings: Vec<String>| toml::from_str::<T>(&settings.join("\n"));
    for all in [true, false] {
        let settings = settings(known, all, None);
        assert!(read(settings.clone()).is_ok(), "{settings:?}");
    }
    for setting in known {
        let without = settings(known, true, Some(setting.name));
        assert_eq!(read(without).is_err(), setting.required, "{}", setting.name);
    }
    let Err(error) = toml::from_str::<T>("no_such_setting = 1") else {
        panic!("an unknown setting was read");
    };
    let (_, listed) = error.message().split_once("expected").unwrap();
    let listed: Vec<_> = listed.split('`').skip(1).step_by(2).collect();
    let known: Vec<_> = known.iter().map(|known| known.name).collect();
    assert_eq!(listed, known);
}

#[test]
fn the_settings_are_those_that_are_read() {
    agrees::<tables::File>(shape::FILE);
    agrees::<tables::RateLimit>(shape::RATE_LIMIT);
    agrees::<tables::Tenant>(shape::TENANT);
    agrees::<tables::User>(shape::USER);
    agrees::<tables::Subscription>(shape::SUBSCRIPTION);
    agrees::<tables::ResourceGroup>(shape::RESOURCE_GROUP);
    agrees::<tables::Application>(shape::APPLICATION);
    agrees::<tables::FederatedCredential>(shape::FEDERATED_CREDENTIAL);
    agrees::<tables::Scope>(shape::SCOPE);
    agrees::<tables::Permission>(shape::PERMISSION);
    agrees::<tables::Consent>(shape::CONSENT);
    agrees::<tables::Assignment>(shape::ASSIGNMENT);
}
