use super::*;

mod credential;
mod downstreams;
mod example;
mod oidc;
mod policy;
mod shared_store;
mod upstreams;
mod variables;

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "AAAAAAAA-2222-3333-4444-555555555555";

fn environment(name: &str) -> Option<String> {
    match name {
        "AZURE_TENANT_ID" => Some(TENANT.to_owned()),
        "AZURE_CLIENT_ID" => Some(CLIENT.to_owned()),
        "AZURE_CLIENT_SECRET" => Some("hunter2-hunter2".to_owned()),
        "OBO_SCOPES" => Some("access_as_user, other".to_owned()),
        "OBO_UPSTREAM" => Some("http://127.0.0.1:3000".to_owned()),
        _ => None,
    }
}

fn with_file(text: &str) -> Result<Config, Problems> {
    Sources::new()
        .file("gw.toml", text)
        .environment(environment)
        .load()
}

fn lines(result: Result<Config, Problems>) -> Vec<String> {
    result
        .err()
        .map(|problems| problems.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

fn assert_only(text: &str, expected: &str) {
    let problems = lines(with_file(text));
    assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
    assert!(problems[0].starts_with(expected), "{text}: {problems:#?}");
}

#[test]
fn the_environment_alone_is_enough() {
    let config = with_file("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.entra.tenant, TENANT);
    assert_eq!(config.entra.client_id, CLIENT.to_lowercase());
    assert_eq!(
        config.upstreams[DEFAULT_UPSTREAM].to_string(),
        "http://127.0.0.1:3000"
    );
    let [route] = config.routes.as_slice() else {
        panic!("{:?}", config.routes)
    };
    assert_eq!(route.path, Pattern::everything());
    assert_eq!(route.access, Access::Required);
    assert_eq!(route.scopes, ["access_as_user", "other"]);
    assert_eq!(route.downstreams, ["arm"]);
}

#[test]
fn later_layers_win() {
    let file = format!(
        "listen = '127.0.0.1:1'\nworkers = 1\n[entra]\ntenant = '{}'\ncredential = {{ secret_file = '/x' }}",
        TENANT.replace('1', "9")
    );
    let config = Sources::new()
        .file("gw.toml", file)
        .environment(|name| match name {
            "OBO_CLIENT_SECRET" => environment("AZURE_CLIENT_SECRET"),
            _ => environment(name),
        })
        .flag("--listen", &["127.0.0.1:2".to_owned()])
        .flag("--scope", &["a".to_owned(), "b".to_owned()])
        .load()
        .unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.workers, 1);
    assert_eq!(config.entra.tenant, TENANT, "the environment over the file");
    assert!(
        matches!(config.entra.credential, Credential::Secret(_)),
        "a secret over a file's path"
    );
    assert_eq!(config.routes[0].scopes, ["a", "b"]);
}

#[test]
fn nothing_given_says_all_that_is_missing_and_how_to_give_it() {
    let problems = lines(Sources::new().load());
    let all = problems.join("\n");
    for word in [
        "entra.tenant",
        "--tenant GUID",
        "AZURE_TENANT_ID",
        "entra.client_id",
        "AZURE_CLIENT_SECRET",
        "--client-secret-file",
        "accept.scopes",
        "upstream",
        "--upstream URL",
    ] {
        assert!(all.contains(word), "{word} in\n{all}");
    }
    assert_eq!(problems.len(), 5, "{all}");
}

#[test]
fn cf_01_every_problem_is_named_at_once_with_file_line_and_key() {
    let text = "listne = '127.0.0.1:1'\n\
                workers = 'two'\n\
                [entra]\n\
                tenant = 'x'\n\
                [accept]\n\
                audiences = []\n\
                scopes = ['a b']\n\
                [[route]]\n\
                path = '/a/*'\n\
                [[route]]\n\
                path = '/a/*'\n\
                methods = ['GET']\n\
                colour = 'red'\n";
    let problems = lines(
        Sources::new()
            .file("gw.toml", text)
            .environment(|name| match name {
                "AZURE_TENANT_ID" | "OBO_SCOPES" => None,
                other => environment(other),
            })
            .load(),
    );
    let expected = [
        "gw.toml:1: listne: unknown key; `listen` is meant?",
        "gw.toml:2: workers: a whole number is wanted, not a string",
        "gw.toml:13: route.colour: unknown key; known here: path, hosts, methods",
        "gw.toml:4: entra.tenant: \"x\" is no GUID",
        "gw.toml:6: accept.audiences: an empty list lets nobody in",
        "gw.toml:7: accept.scopes: \"a b\" is no single word",
        "gw.toml:10: route.path: `/a/*` has a route already",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for start in expected {
        assert!(
            problems.iter().any(|line| line.starts_with(start)),
            "{start}: {problems:#?}"
        );
    }
}

#[test]
fn a_file_that_is_no_toml_is_a_problem_with_a_line() {
    assert_only("\n\nlisten = ", "gw.toml:3: ");
}

#[test]
fn of_a_file_that_is_something_else_the_first_lines_are_named() {
    let text = "upstream: x\n".repeat(30);
    let problems = lines(with_file(&text));
    assert_eq!(problems.len(), 6, "{problems:#?}");
    for (at, problem) in problems[..5].iter().enumerate() {
        assert!(
            problem.starts_with(&format!("gw.toml:{}: ", at + 1)),
            "{problem}"
        );
    }
    let rest = "gw.toml:30: 25 more lines like these: the configuration is written in TOML";
    assert!(problems[5].starts_with(rest), "{problems:#?}");
}

#[test]
fn keys_of_features_that_do_not_exist_are_not_supported_yet() {
    let text = "[metrics]\nx = 1";
    assert_only(text, "gw.toml:1: metrics: not supported yet");
}

#[test]
fn what_was_misspelt_or_wrong_is_not_missing_too() {
    let rest = "upstream = 'http://127.0.0.1:1'\n";
    let route = "[[route]]\npath = '/a'\n[[route]]\npath = '/b'\n";
    for (text, expected) in [
        (
            "upstreem = 'http://127.0.0.1:1'\n[accept]\nscopes = ['s']\n".to_owned(),
            "gw.toml:1: upstreem: unknown key; `upstream` is meant?",
        ),
        (
            "upstream = 3\n[accept]\nscopes = ['s']\n".to_owned(),
            "gw.toml:1: upstream: a string is wanted",
        ),
        (
            format!("{rest}[accept]\nscopes = []\n{route}"),
            "gw.toml:3: accept.scopes: an empty list",
        ),
        (
            format!("{rest}[acept]\nscopes = ['s']\n{route}"),
            "gw.toml:2: acept: unknown key; `accept` is meant?",
        ),
        (
            format!("{rest}[accept]\nscope = ['s']\n{route}"),
            "gw.toml:3: accept.scope: unknown key; `scopes` is meant?",
        ),
        (
            format!("{rest}[accept]\nscopes = ['s']\n[[route]]\npaht = '/a'\n"),
            "gw.toml:5: route.paht: unknown key; `path` is meant?",
        ),
        (
            format!("{rest}[accept]\nscopes = ['s']\n[upstreams.b]\nurll = 'http://127.0.0.1:2'\n"),
            "gw.toml:5: upstreams.b.urll: unknown key; `url` is meant?",
        ),
    ] {
        let problems = lines(
            Sources::new()
                .file("gw.toml", text.as_str())
                .environment(|name| environment(name).filter(|_| name.starts_with("AZURE_")))
                .load(),
        );
        assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
        assert!(problems[0].starts_with(expected), "{text}: {problems:#?}");
    }
}

#[test]
fn what_is_wrong_with_one_route_hides_nothing_of_the_next() {
    let problems = lines(with_file(
        "[[route]]\npaht = '/a'\n[[route]]\nmethods = ['GET']",
    ));
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(
        problems[1].starts_with("gw.toml:3: route.path: missing"),
        "{problems:#?}"
    );
}

#[test]
fn az_05_nothing_is_decided_by_names_that_change() {
    for text in [
        "[accept]\nupns = ['x']",
        "[accept]\npreferred_username = ['x']",
        "[[route]]\npath = '/'\nemail = 'x'",
    ] {
        let problems = lines(with_file(text));
        assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
        assert!(
            problems[0].contains("nothing is decided by"),
            "{text}: {problems:#?}"
        );
    }
}

#[test]
fn cf_02_a_route_that_says_nothing_is_protected() {
    let config = with_file("[[route]]\npath = '/x'").unwrap();
    assert_eq!(config.routes[0].access, Access::Required);
    assert!(config.routes[0].downstreams.is_empty());
    assert_only(
        "[[route]]\npath = '/x'\naccess = 'optional'",
        "gw.toml:3: route.access",
    );
}

#[test]
fn cf_03_tenants_that_stand_for_any_tenant_are_refused() {
    for tenant in ["common", "organizations", "consumers"] {
        let problems = lines(
            Sources::new()
                .environment(environment)
                .flag("--tenant", &[tenant.to_owned()])
                .load(),
        );
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with("flag --tenant: entra.tenant"),
            "{problems:?}"
        );
    }
}

#[test]
fn cf_08_identity_headers_must_not_have_a_meaning_of_their_own() {
    for name in [
        "Authorization",
        "Connection",
        "Content-Length",
        "Content-Type",
        "Cookie",
        "Expect",
        "Host",
        "Keep-Alive",
        "Max-Forwards",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Via",
        "X-Forwarded-For",
        "x_real_ip",
        "Proxy-Authorization",
        "Transfer_Encoding",
        "Content-Length",
        "Content-Type",
        "Cookie",
        "Expect",
        "Host",
        "a b",
    ] {
        let text = format!("[[route]]\npath = '/x'\nidentity_headers = {{ oid = '{name}' }}");
        assert_only(&text, "gw.toml:3: route.identity_headers.oid");
    }
}

#[test]
fn tl_02_plain_http_needs_loopback_or_a_word() {
    let load = |flag: &str, value: &str, more: Option<&str>| {
        let mut sources = Sources::new()
            .environment(environment)
            .flag(flag, &[value.to_owned()]);
        if let Some(more) = more {
            sources = sources.flag(more, &["true".to_owned()]);
        }
        sources.load()
    };
    assert!(load("--authority", "http://127.0.0.1:1", None).is_err());
    assert!(
        load(
            "--authority",
            "http://127.0.0.1:1",
            Some("--allow-http-loopback")
        )
        .is_ok()
    );
    assert!(
        load(
            "--authority",
            "http://localhost:1/",
            Some("--allow-http-loopback")
        )
        .is_ok()
    );
    assert!(
        load(
            "--authority",
            "http://login.example",
            Some("--allow-http-loopback")
        )
        .is_err()
    );
    let government = load("--authority", "https://login.microsoftonline.us/", None).unwrap();
    assert_eq!(
        government.downstreams["arm"].scopes,
        ["https://management.usgovcloudapi.net/user_impersonation"]
    );
    // As Azure's own libraries take it.
    for name in [
        "Login.MicrosoftOnline.US",
        "HTTPS://LOGIN.microsoftonline.us",
    ] {
        let same = load("--authority", name, None).unwrap();
        assert_eq!(same.entra.authority, government.entra.authority, "{name}");
        assert_eq!(same.downstreams["arm"], government.downstreams["arm"]);
    }
    for wrong in ["localhost:8443", "login.example/tenant", "", "a b"] {
        assert!(load("--authority", wrong, None).is_err(), "{wrong}");
    }
    assert!(load("--upstream", "http://10.0.0.1:3000", None).is_err());
    assert!(
        load(
            "--upstream",
            "http://10.0.0.1:3000",
            Some("--allow-plaintext-upstream")
        )
        .is_ok()
    );
    assert!(load("--upstream", "http://[::1]:3000", None).is_ok());
    for kind in ["https://x", "h2c://127.0.0.1:3000", "unix:/x"] {
        assert!(load("--upstream", kind, None).is_ok(), "{kind}");
    }
    for wrong in ["h2c://x", "http://127.0.0.1/base", "http://u:p@127.0.0.1"] {
        assert!(load("--upstream", wrong, None).is_err(), "{wrong}");
    }
}

#[test]
fn ad_02_the_admin_listener_is_on_loopback_unless_exposed() {
    assert_only(
        "[admin]\nlisten = '0.0.0.0:9090'",
        "gw.toml:2: admin.listen",
    );
    assert!(with_file("[admin]\nlisten = '0.0.0.0:9090'\nexpose = true").is_ok());
}

#[test]
fn secrets_are_neither_taken_from_the_file_nor_shown() {
    let problems = lines(with_file("[entra]\ncredential = { secret = 'hunter2' }"));
    assert_eq!(problems.len(), 1);
    assert!(!problems[0].contains("hunter2"), "{problems:?}");
    let alone = Sources::new()
        .file("gw.toml", "[entra]\ncredential = { secret = 'hunter2' }")
        .environment(|name| environment(name).filter(|_| name != "AZURE_CLIENT_SECRET"))
        .load();
    assert_eq!(lines(alone), problems, "and it is not missing besides");
    let config = with_file("").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn durations_and_sizes() {
    let config = with_file(
        "drain_timeout = 5\n[limits]\nhead_timeout = '250ms'\nidle_timeout = '2m'\nrequests = 7",
    )
    .unwrap();
    assert_eq!(config.drain_timeout, Duration::from_secs(5));
    assert_eq!(config.limits.head_timeout, Duration::from_millis(250));
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(120));
    assert_eq!(config.limits.requests, 7);
    assert_only("drain_timeout = '5 apples'", "gw.toml:1: drain_timeout");
    assert_only("drain_timeout = 0", "gw.toml:1: drain_timeout");
    assert_only("[limits]\nrequests = 0", "gw.toml:2: limits.requests");
}

#[test]
fn routes_name_what_exists() {
    assert!(with_file("[downstream.graph]\nscope = 's'\n[upstreams.b]\nurl = 'http://127.0.0.1:2'\n[[route]]\npath = '/x/*'\nupstream = 'b'\ndownstream = 'graph'").is_ok());
    assert_only(
        "[[route]]\npath = '/x'\nupstream = 'b'",
        "gw.toml:3: route.upstream",
    );
    assert_only(
        "[[route]]\npath = '/x'\ndownstream = 'b'",
        "gw.toml:3: route.downstream",
    );
    assert_only(
        "[[route]]\npath = '/x'\naccess = 'public'\ndownstream = 'arm'",
        "gw.toml:4: route.downstream",
    );
}

#[test]
fn tls_needs_a_certificate_and_its_key() {
    let tls = with_file("[tls]\ncertificate = 'a'\nkey = 'b'\nclient_ca = 'c'")
        .unwrap()
        .tls
        .unwrap();
    assert_eq!(tls.client_ca.as_deref(), Some(std::path::Path::new("c")));
    assert_eq!(with_file("").unwrap().tls, None);
    for (text, lacks) in [
        ("[tls]\ncertificate = 'a'", "tls.key: missing"),
        ("[tls]\nkey = 'a'", "tls.certificate: missing"),
        ("[tls]\nclient_ca = 'a'", "tls.certificate: missing"),
        (
            "[tls]\ncertificate = ''\nkey = 'a'",
            "tls.certificate: an empty",
        ),
    ] {
        let problems = lines(with_file(text));
        assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
        assert!(problems[0].contains(lacks), "{text}: {problems:#?}");
    }
}

#[test]
fn up_03_a_route_may_upgrade_to_websocket_only() {
    let upgrade = |text: &str| with_file(&format!("[[route]]\npath = '/'\nupgrade = {text}"));
    assert!(upgrade("['websocket']").unwrap().routes[0].upgrade);
    assert!(!upgrade("[]").unwrap().routes[0].upgrade);
    let problems = lines(upgrade("['websocket', 'h2c']"));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].contains("route.upgrade: \"h2c\""),
        "{problems:#?}"
    );

    let problems = lines(with_file(
        "[upstreams.x]\nurl = 'h2c://127.0.0.1:1'\n\
         [[route]]\npath = '/'\nupstream = 'x'\nupgrade = ['websocket']",
    ));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains("h2c upstream"), "{problems:#?}");
}

#[test]
fn keys_of_the_application_s_own_are_asked_for_where_the_file_says_so() {
    let entra = |more: &str| with_file(more).unwrap().entra;
    assert!(!entra("").own_signing_keys);
    assert!(entra("entra.own_signing_keys = true").own_signing_keys);
}
