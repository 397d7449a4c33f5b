//! Who may call, from where, and how much: accept, hosts, access, limits, proxies.

use super::*;

const OTHER: &str = "22222222-2222-3333-4444-555555555555";

/// The whole configuration from one file, without what the environment gives in other tests.
fn alone(text: &str) -> Result<Config, Problems> {
    Sources::new()
        .file("gw.toml", text)
        .environment(|name| environment(name).filter(|_| name != "AZURE_TENANT_ID"))
        .load()
}

#[test]
fn cf_03_any_tenant_takes_a_list_or_a_word_of_its_own() {
    let own = with_file("").unwrap();
    assert_eq!(own.accept.tenants, Tenants::Own);
    let listed = format!("[entra]\ntenant = 'organizations'\n[accept]\ntenants = ['{OTHER}']");
    let config = alone(&listed).unwrap();
    assert_eq!(
        config.accept.tenants,
        Tenants::Listed(vec![OTHER.to_owned()])
    );
    let any = "[entra]\ntenant = 'common'\n[accept]\nany_tenant = true";
    assert_eq!(alone(any).unwrap().accept.tenants, Tenants::Any);
    let without = "[accept]\nany_tenant = true";
    assert_eq!(alone(without).unwrap().accept.tenants, Tenants::Any);
    for word in ["common", "organizations", "consumers"] {
        let problems = lines(alone(&format!(
            "[entra]\ntenant = '{word}'\n[accept]\nany_tenant = false"
        )));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0].starts_with("gw.toml:2: entra.tenant"),
            "{problems:#?}"
        );
    }
    let both = format!("[accept]\nany_tenant = true\ntenants = ['{OTHER}']");
    assert_only(&both, "gw.toml:3: accept.tenants");
    assert_only(
        "[accept]\ntenants = []",
        "gw.toml:2: accept.tenants: an empty",
    );
    assert_only(
        "[accept]\ntenants = ['common']",
        "gw.toml:2: accept.tenants: \"common\" is no GUID",
    );
}

#[test]
fn a_clock_skew_is_at_most_five_minutes() {
    let config = with_file("[accept]\nclock_skew = '5m'").unwrap();
    assert_eq!(config.accept.clock_skew, Duration::from_secs(300));
    assert_eq!(
        with_file("").unwrap().accept.clock_skew,
        Duration::from_secs(60)
    );
    assert_only(
        "[accept]\nclock_skew = 301",
        "gw.toml:2: accept.clock_skew: more than 300 s",
    );
}

#[test]
fn signatures_audiences_and_keys_are_settings_with_bounds() {
    let accept = with_file("").unwrap().accept;
    assert!(accept.algorithms.is_empty() && !accept.audience_lists);
    assert_eq!(accept.key_cool_down, Duration::from_secs(300));
    assert_eq!(accept.key_max_age, Duration::from_secs(24 * 3600));
    let accept = with_file(
        "[accept]\nalgorithms = ['PS256', 'RS256']\naudience_lists = true\n\
         key_cool_down = '1s'\nkey_max_age = '10m'",
    )
    .unwrap()
    .accept;
    let names: Vec<_> = accept.algorithms.iter().map(|one| one.name()).collect();
    assert_eq!(names, ["PS256", "RS256"]);
    assert!(accept.audience_lists);
    assert_eq!(accept.key_cool_down, Duration::from_secs(1));
    assert_eq!(accept.key_max_age, Duration::from_secs(600));
    for (text, problem) in [
        (
            "algorithms = ['HS256']",
            "algorithms: \"HS256\" is none of RS256",
        ),
        ("algorithms = []", "algorithms: an empty list"),
        ("key_cool_down = '999ms'", "key_cool_down: shorter than 1s"),
        ("key_max_age = '9m'", "key_max_age: shorter than 10m"),
    ] {
        assert_only(
            &format!("[accept]\n{text}"),
            &format!("gw.toml:2: accept.{problem}"),
        );
    }
}

#[test]
fn accept_s_scopes_roles_and_clients_are_those_of_routes_that_name_none() {
    let config = with_file(&format!(
        "[accept]\nroles = ['Reader']\nclients = ['{}']\n[[route]]\npath = '/a'\n\
         [[route]]\npath = '/b'\nscopes = ['s']\nroles = ['r']\nclients = ['{OTHER}']",
        OTHER.to_uppercase()
    ))
    .unwrap();
    let [a, b] = config.routes.as_slice() else {
        panic!("{:?}", config.routes)
    };
    assert_eq!(a.scopes, ["access_as_user", "other"]);
    assert_eq!(
        (&*a.roles, &*a.clients),
        (&["Reader".to_owned()][..], &[OTHER.to_owned()][..])
    );
    assert_eq!(
        (&*b.scopes, &*b.roles),
        (&["s".to_owned()][..], &["r".to_owned()][..])
    );
    assert_only(
        "[[route]]\npath = '/a'\nclients = ['x']",
        "gw.toml:3: route.clients: \"x\" is no GUID",
    );
    assert_only(
        "[accept]\nclients = []",
        "gw.toml:2: accept.clients: an empty list",
    );
}

#[test]
fn a_scope_as_clients_ask_for_it_is_a_warning() {
    let scope = "api://x/access_as_user";
    for (text, place) in [
        (
            format!("[accept]\nscopes = ['{scope}']"),
            "gw.toml:2: accept.scopes",
        ),
        (
            format!("[[route]]\npath = '/a'\nscopes = ['{scope}']"),
            "gw.toml:3: route.scopes",
        ),
    ] {
        let sources = Sources::new().file("gw.toml", text);
        let sources =
            sources.environment(|name| environment(name).filter(|_| name != "OBO_SCOPES"));
        let warnings = sources.load().unwrap().warnings().to_string();
        let said = format!(
            "{place}: {scope:?} is how a client asks Entra ID for it; tokens have its last part alone, \"access_as_user\""
        );
        assert!(warnings.starts_with(&said), "{warnings}");
    }
    let named = with_file("[[route]]\npath = '/a'\nscopes = ['a/b']").unwrap();
    assert!(named.warnings().is_empty());
}

#[test]
fn a_role_alone_lets_callers_in_and_nothing_at_all_does_not() {
    let load = |text: &str| {
        Sources::new()
            .file("gw.toml", text)
            .environment(|name| environment(name).filter(|_| name != "OBO_SCOPES"))
            .load()
    };
    let config = load("[[route]]\npath = '/a'\nroles = ['r']").unwrap();
    assert!(config.routes[0].scopes.is_empty());
    assert!(load("[accept]\nroles = ['r']").is_ok());
    let problems = lines(load("[[route]]\npath = '/a'"));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].starts_with("gw.toml:1: route.scopes: missing"),
        "{problems:#?}"
    );
}

#[test]
fn an_application_needs_a_role_and_has_neither_scopes_nor_a_downstream() {
    let config =
        with_file("[[route]]\npath = '/a'\naccess = 'app-only'\nroles = ['Jobs']").unwrap();
    assert_eq!(config.routes[0].access, Access::AppOnly);
    assert_only(
        "[[route]]\npath = '/a'\naccess = 'app-only'",
        "gw.toml:1: route.roles: missing",
    );
    for wrong in ["scopes = ['s']", "downstream = 'arm'"] {
        assert_only(
            &format!("[[route]]\npath = '/a'\naccess = 'app-only'\nroles = ['r']\n{wrong}"),
            "gw.toml:5: route.",
        );
    }
}

#[test]
fn what_a_user_needs_of_scopes_and_roles_is_said_by_a_word() {
    let config = with_file(
        "[accept]\npermission = 'all-scopes'\n[[route]]\npath = '/a'\n\
         [[route]]\npath = '/b'\nroles = ['r']\npermission = 'scope-or-role'\n\
         [[route]]\npath = '/c'\npermission = 'any-scope'",
    )
    .unwrap();
    let of: Vec<_> = config.routes.iter().map(|route| route.permission).collect();
    let expected = [
        Permission::AllScopes,
        Permission::ScopeOrRole,
        Permission::AnyScope,
    ];
    assert_eq!(of, expected);
    let without_routes = with_file("[accept]\npermission = 'all-scopes'").unwrap();
    assert_eq!(without_routes.routes[0].permission, Permission::AllScopes);
    let plain = with_file("").unwrap();
    assert_eq!(plain.routes[0].permission, Permission::AnyScope);
}

#[test]
fn a_word_that_no_permission_has_or_that_wants_what_is_not_named_is_a_problem() {
    let words = "is none of \"any-scope\", \"all-scopes\" and \"scope-or-role\"";
    assert_only(
        "[accept]\npermission = 'all'",
        &format!("gw.toml:2: accept.permission: \"all\" {words}"),
    );
    assert_only(
        "[[route]]\npath = '/a'\npermission = 'all'",
        &format!("gw.toml:3: route.permission: \"all\" {words}"),
    );
    assert_only(
        "[[route]]\npath = '/a'\npermission = 'scope-or-role'",
        "gw.toml:3: route.permission: \"scope-or-role\" where no role is named",
    );
    let without_scopes = |permission: &str| {
        Sources::new()
            .file(
                "gw.toml",
                format!("[[route]]\npath = '/a'\nroles = ['r']\npermission = '{permission}'"),
            )
            .environment(|name| environment(name).filter(|_| name != "OBO_SCOPES"))
            .load()
    };
    for permission in ["all-scopes", "scope-or-role"] {
        let problems = lines(without_scopes(permission));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        let expected =
            format!("gw.toml:4: route.permission: {permission:?} where no scope is named");
        assert!(problems[0].starts_with(&expected), "{problems:#?}");
    }
    assert!(without_scopes("any-scope").is_ok());
}

#[test]
fn users_and_applications_need_a_role_for_the_applications_and_no_token_of_a_user() {
    let route = "[[route]]\npath = '/a'\naccess = 'users-and-apps'";
    let config = with_file(&format!("{route}\nroles = ['r']\nscopes = ['s']")).unwrap();
    assert_eq!(config.routes[0].access, Access::UsersAndApps);
    assert_only(route, "gw.toml:1: route.roles: missing");
    assert_only(
        &format!("{route}\nroles = ['r']\ndownstream = 'arm'"),
        "gw.toml:5: route.downstream: an application without a user has no token",
    );
    assert_only(
        "[[route]]\npath = '/a'\naccess = 'app-only'\nroles = ['r']\npermission = 'all-scopes'",
        "gw.toml:5: route.permission: an application without a user has roles",
    );
}

#[test]
fn a_public_route_has_nobody_to_ask_anything_of() {
    for wrong in [
        "roles = ['r']",
        "clients = ['11111111-2222-3333-4444-555555555555']",
        "pass_caller_token = true",
        "scopes = ['s']",
        "permission = 'all-scopes'",
    ] {
        assert_only(
            &format!("[[route]]\npath = '/a'\naccess = 'public'\n{wrong}"),
            "gw.toml:4: route.",
        );
    }
}

#[test]
fn the_caller_s_own_token_is_passed_on_with_a_warning_and_never_beside_another() {
    let config = with_file("[[route]]\npath = '/a'\npass_caller_token = true").unwrap();
    assert!(config.routes[0].pass_caller_token);
    let warnings = config.warnings().to_string();
    assert!(
        warnings.contains("`/a` forwards the caller's own token"),
        "{warnings}"
    );
    assert!(
        with_file("[[route]]\npath = '/a'")
            .unwrap()
            .warnings()
            .is_empty()
    );
    assert_only(
        "[[route]]\npath = '/a'\npass_caller_token = true\ndownstream = 'arm'",
        "gw.toml:4: route.downstream: the upstream gets one Authorization",
    );
}

#[test]
fn cf_01_a_route_is_a_duplicate_only_on_the_same_host() {
    let two =
        |a: &str, b: &str| format!("[[route]]\npath = '/a'\n{a}\n[[route]]\npath = '/a'\n{b}");
    for (a, b) in [
        ("hosts = ['a']", "hosts = ['b']"),
        ("hosts = ['a']", ""),
        ("hosts = ['a']", "hosts = ['*.a']"),
        (
            "hosts = ['a']\nmethods = ['GET']",
            "hosts = ['a']\nmethods = ['PUT']",
        ),
    ] {
        assert!(with_file(&two(a, b)).is_ok(), "{a} {b}");
    }
    for (a, b) in [("hosts = ['a', 'b']", "hosts = ['c', 'B']"), ("", "")] {
        let problems = lines(with_file(&two(a, b)));
        assert_eq!(problems.len(), 1, "{a} {b} {problems:#?}");
        assert!(problems[0].contains("has a route already"), "{problems:#?}");
    }
    assert_only(
        "[[route]]\npath = '/a'\nhosts = []",
        "gw.toml:3: route.hosts: an empty list",
    );
    assert_only(
        "[[route]]\npath = '/a'\nhosts = ['http://a']",
        "gw.toml:3: route.hosts: \"http://a\": a host is wanted",
    );
    assert_only(
        "allowed_hosts = ['a', 'b/c']",
        "gw.toml:1: allowed_hosts: \"b/c\"",
    );
}

#[test]
fn every_limit_can_be_set() {
    let config = with_file(
        "[limits]\nrequests = 1\nconnections = 2\nexchanges = 3\ntoken_bytes = 4\nhead_bytes = 5\n\
         head_fields = 6\ntarget_bytes = 7\nhead_timeout = 9\nconnect_timeout = 10\n\
         response_timeout = 11\nidle_timeout = 12\nexchange_timeout = 13\nkeys_timeout = 14",
    )
    .unwrap();
    let limits = &config.limits;
    assert_eq!(
        [
            limits.requests,
            limits.connections,
            limits.exchanges,
            limits.token_bytes,
            limits.head_bytes,
            limits.head_fields,
            limits.target_bytes,
        ],
        [1, 2, 3, 4, 5, 6, 7]
    );
    assert_eq!(
        [
            limits.head_timeout,
            limits.connect_timeout,
            limits.response_timeout,
            limits.idle_timeout,
            limits.exchange_timeout,
            limits.keys_timeout,
        ]
        .map(|limit| limit.as_secs()),
        [9, 10, 11, 12, 13, 14]
    );
}

#[test]
fn a_misspelt_key_of_a_table_in_a_route_is_named_with_its_line() {
    assert_only(
        "[[route]]\npath = '/a'\nmethod = ['GET']",
        "gw.toml:3: route.method: unknown key; `methods` is meant?",
    );
    assert_only(
        "[[route]]\npath = '/a'\nlimits = { bodybytes = 1 }",
        "gw.toml:3: route.limits.bodybytes: unknown key; `body_bytes` is meant?",
    );
    assert_only(
        "[[route]]\npath = '/a'\nlimits = 3",
        "gw.toml:3: route.limits: a table is wanted",
    );
}

#[test]
fn a_route_whose_pages_cannot_send_a_token_is_warned_about() {
    let warned = |route: &str| {
        let config = with_file(&format!("[[route]]\npath = '/a'\n{route}")).unwrap();
        let warnings = config.warnings();
        (warnings.iter()).any(|warning| warning.key() == "route.cors.headers")
    };
    let cors = "cors = { origins = ['*'], headers = ['x-own'] }";
    assert!(warned(cors));
    assert!(!warned(&format!("access = 'public'\n{cors}")));
    assert!(!warned("cors = { origins = ['*'] }"));
    assert!(!warned(
        "cors = { origins = ['*'], headers = ['x', 'Authorization'] }"
    ));
    assert!(!warned(""));
}

#[test]
fn trailers_that_could_never_pass_are_refused_with_their_name() {
    let listed = |list: &str| with_file(&format!("[[route]]\npath = '/a'\ntrailers = {list}"));
    let config = listed("['X-Sum', 'x-meta-*', '*', 'content-digest']").unwrap();
    let names = ["x-sum", "x-meta-*", "*", "content-digest"];
    assert_eq!(config.routes[0].trailers, names);
    for name in [
        "Authorization",
        "content-length",
        "x-forwarded-for",
        "te",
        "set_cookie",
    ] {
        let problems = listed(&format!("['x-sum', '{name}']"))
            .unwrap_err()
            .to_string();
        let wanted = format!(
            "gw.toml:3: route.trailers: `{}` has a meaning in front of a body only",
            name.to_lowercase()
        );
        assert!(problems.contains(&wanted), "{problems}");
    }
    assert_only(
        "[[route]]\npath = '/a'\ntrailers = ['x sum*']",
        "gw.toml:3: route.trailers: \"x sum*\" is no name of a field",
    );
}
