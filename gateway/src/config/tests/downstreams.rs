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
    assert_eq!(arm.scope, "https://management.azure.com/user_impersonation");
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
        "Cookie",
        "Forwarded",
        "Host",
        "Proxy-Authorization",
        "Transfer-Encoding",
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
