//! `[downstream.<name>]`, and routes with several of them.

use super::*;

const GRAPH: &str = "[downstream.graph]\nscope = 's'\nheader = 'X-Graph-Token'\n";

#[test]
fn a_route_has_one_downstream_or_a_list_of_them() {
    let route = |downstream: &str| {
        let text = format!("{GRAPH}[[route]]\npath = '/a'\ndownstream = {downstream}");
        with_file(&text).unwrap().routes.remove(0).downstreams
    };
    assert_eq!(route("'graph'"), ["graph"]);
    assert_eq!(route("['arm', 'graph']"), ["arm", "graph"]);
    // The one in `Authorization` is the one that is challenged.
    assert_eq!(route("['graph', 'arm']"), ["arm", "graph"]);
    assert!(route("[]").is_empty());
    let config = with_file("[downstream.arm]\nheader = 'X-Arm'").unwrap();
    let arm = &config.downstreams["arm"];
    assert_eq!(arm.header, "x-arm");
    assert_eq!(
        arm.scopes,
        ["https://management.azure.com/user_impersonation"]
    );
    assert_only(
        &format!("{GRAPH}[[route]]\npath = '/a'\ndownstream = 1"),
        "gw.toml:6: route.downstream: a string or a list of strings",
    );
}

#[test]
fn cf_08_two_tokens_never_share_a_header_and_none_is_where_something_else_belongs() {
    for (text, expected) in [
        (
            "[downstream.x]\nscope = 's'\n[[route]]\npath = '/a'\ndownstream = ['arm', 'x']",
            "gw.toml:5: route.downstream: the tokens of \"arm\" and \"x\" would both go into `authorization`",
        ),
        (
            "[[route]]\npath = '/a'\ndownstream = ['arm', 'arm']",
            "gw.toml:3: route.downstream: \"arm\" stands there twice",
        ),
        (
            "[[route]]\npath = '/a'\ndownstream = ['arm', 'nope']",
            "gw.toml:3: route.downstream: \"nope\" is defined nowhere",
        ),
        (
            "[downstream.arm]\nheader = 'X-T'\n[[route]]\npath = '/a'\ndownstream = 'arm'\nidentity_headers = { oid = 'x-t' }",
            "gw.toml:3: route.identity_headers.oid: `x-t` has the token of \"arm\"",
        ),
    ] {
        assert_only(text, expected);
    }
    for header in [
        "Connection",
        "Content-Length",
        "Content-Type",
        "Cookie",
        "Forwarded",
        "Expect",
        "Host",
        "Keep-Alive",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "X-Forwarded-For",
        "X_Real_IP",
        "two words",
    ] {
        let text = format!("[downstream.x]\nscope = 's'\nheader = '{header}'");
        assert_only(&text, "gw.toml:3: downstream.x.header: ");
    }
}

#[test]
fn the_callers_own_token_may_stand_beside_one_in_another_header() {
    let text =
        format!("{GRAPH}[[route]]\npath = '/a'\npass_caller_token = true\ndownstream = 'graph'");
    assert!(with_file(&text).is_ok());
}

fn scopes_of(name: &str, table: &str) -> Vec<String> {
    let text = format!("[downstream.{name}]\n{table}\nheader = 'X-Token'");
    let mut config = with_file(&text).unwrap();
    config.downstreams.remove(name).unwrap().scopes
}

#[test]
fn a_downstream_has_one_scope_or_several_or_all_that_its_api_has() {
    for name in ["arm", "vault"] {
        let of = |table| scopes_of(name, table);
        assert_eq!(of("scope = 'api://x/a'"), ["api://x/a"]);
        let several = of("scopes = ['api://x/a', 'api://x/b']");
        assert_eq!(several, ["api://x/a", "api://x/b"]);
        let all = of("resource_url = 'https://vault.azure.net'");
        assert_eq!(all, ["https://vault.azure.net/.default"]);
        // The slash belongs to the identifier, and stays.
        let slash = of("resource_url = 'https://management.core.windows.net/'");
        assert_eq!(slash, ["https://management.core.windows.net//.default"]);
    }
}

#[test]
fn a_variable_or_a_flag_takes_the_place_of_all_that_the_file_says_of_arm_s_scopes() {
    for table in ["scopes = ['f/a', 'f/b']", "resource_url = 'https://f'"] {
        let config = Sources::new()
            .file("gw.toml", format!("[downstream.arm]\n{table}"))
            .environment(environment)
            .flag("--downstream-scope", &["api://x/own".to_owned()])
            .load()
            .unwrap();
        assert_eq!(config.downstreams["arm"].scopes, ["api://x/own"], "{table}");
    }
}

#[test]
fn cf_01_a_downstream_s_scopes_are_of_one_api_and_given_once() {
    for (table, expected) in [
        (
            "scope = 'a'\nresource_url = 'https://x'",
            "gw.toml:1: downstream.x: `scope`, `scopes` and `resource_url` say the same",
        ),
        (
            "scopes = ['https://a/read', 'https://b/read']",
            "gw.toml:2: downstream.x.scopes: a token is for one API, and these are of two: \"https://a\" and \"https://b\"",
        ),
        (
            "scopes = []",
            "gw.toml:2: downstream.x.scopes: an empty list",
        ),
        (
            "scopes = ['a b']",
            "gw.toml:2: downstream.x.scopes: \"a b\" is no single word",
        ),
        (
            "scopes = 'a'",
            "gw.toml:2: downstream.x.scopes: a list of strings is wanted",
        ),
        (
            "resource_url = 'vault'",
            "gw.toml:2: downstream.x.resource_url: \"vault\" is no URL",
        ),
        (
            "resource_url = 'https://x/.default'",
            "gw.toml:2: downstream.x.resource_url: this is a scope",
        ),
        (
            "resource_url = 'https://x?a'",
            "gw.toml:2: downstream.x.resource_url: \"https://x?a\": an API's identifier has no query",
        ),
        ("", "gw.toml:1: downstream.x: its `scope` is missing"),
    ] {
        assert_only(&format!("[downstream.x]\n{table}"), expected);
    }
}

const JOBS: &str = "[downstream.jobs]\nscope = 'https://graph.microsoft.com/.default'\n\
     grant = 'client_credentials'\n";

#[test]
fn a_downstream_of_the_application_itself_is_for_routes_that_name_it() {
    let route = |text: &str| with_file(&format!("{JOBS}[[route]]\npath = '/a'\n{text}"));
    let apps = "access = 'app-only'\nroles = ['Jobs.Run']\ndownstream = 'jobs'";
    let config = route(apps).unwrap();
    let jobs = config.downstreams["jobs"].for_library("jobs");
    assert_eq!(jobs.grant(), tower_obo::GrantType::ClientCredentials);
    assert!(jobs.scopes().eq(["https://graph.microsoft.com/.default"]));
    let arm = config.downstreams["arm"].for_library("arm");
    assert_eq!(arm.grant(), tower_obo::GrantType::OnBehalfOf);

    let warned = |config: &Config| {
        let warnings = config.warnings();
        (warnings.iter()).any(|warning| warning.key() == "route.downstream")
    };
    assert!(!warned(&config));
    assert!(warned(&route("downstream = 'jobs'").unwrap()));
    assert!(!warned(&route("downstream = 'arm'").unwrap()));
}

#[test]
fn a_grant_that_is_not_known_or_does_not_fit_is_said() {
    for (text, expected) in [
        (
            "[downstream.x]\nscope = 's'\ngrant = 'password'",
            "gw.toml:3: downstream.x.grant: \"password\" is not known; \"on_behalf_of\", \"client_credentials\" and \"token_exchange\" are",
        ),
        (
            "[downstream.x]\nscope = 'https://graph.microsoft.com/User.Read'\ngrant = 'client_credentials'",
            "gw.toml:1: downstream.x: client credentials cannot ask for \"https://graph.microsoft.com/User.Read\"; give the API as `resource_url`, or its scope `/.default`",
        ),
        (
            "[downstream.arm]\ngrant = 'client_credentials'",
            "gw.toml:1: downstream.arm: client credentials cannot ask for \"https://management.azure.com/user_impersonation\"",
        ),
    ] {
        assert_only(text, expected);
    }
    for downstream in ["'arm'", "['arm', 'jobs']"] {
        let text = format!(
            "{JOBS}header = 'X-Jobs'\n[[route]]\npath = '/a'\naccess = 'app-only'\nroles = ['r']\ndownstream = {downstream}"
        );
        assert_only(
            &text,
            "gw.toml:9: route.downstream: an application without a user has no token that could be exchanged On-Behalf-Of (AADSTS7000114); a downstream with `grant = \"client_credentials\"` needs none",
        );
    }
}

#[test]
fn scopes_of_a_resource_that_ends_in_a_slash_are_of_one_api() {
    let scopes =
        "'https://management.core.windows.net//a', 'https://management.core.windows.net/b'";
    let config = with_file(&format!("[downstream.x]\nscopes = [{scopes}]"));
    assert_eq!(config.unwrap().downstreams["x"].scopes.len(), 2);
}
