//! Paths, routes and targets on the wire: section 9 of the catalogue. Which path is refused is a
//! table beside the function that decides it.

use crate::{
    rig::{PUBLIC, Rig},
    upstream::ok,
};

const ROUTES: &str = "[[route]]\npath = '/public/*'\naccess = 'public'\n\
     [[route]]\npath = '/admin/*'\nmethods = ['GET', 'POST']\n\
     [[route]]\npath = '/one'\naccess = 'public'\nmethods = ['GET']";

async fn status(rig: &Rig, line: &str) -> u16 {
    rig.exchange(format!("{line}\r\nHost: gw\r\n\r\n"))
        .await
        .status
}

#[tokio::test]
async fn pa_01_to_pa_08_ambiguous_paths_are_refused_before_the_upstream_hears_of_them() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    for path in [
        // PA-01
        "/public/../admin",
        "/public/../admin/x",
        "/public/..",
        "/./admin",
        "/public/.",
        "/public/./x",
        "/public/x/..",
        // PA-02
        "/public/%2e%2e/admin",
        "/public/%2E%2e/admin",
        "/public/.%2e/admin",
        "/.%2e/",
        "/public/%2E%2E",
        "/public/..%2fadmin",
        "/public/%252e%252e",
        "/public/..%3f",
        "/public/%2e%2e%3fx",
        "/public/%252e%252e/admin",
        // PA-03
        "/public\\admin",
        "/public/%5cadmin",
        "/public/%5Cadmin",
        // PA-04
        "/public/%00",
        "/public/%0d%0a",
        "/public/%7f",
        "/public/%01",
        "/public/%09",
        "/public/%1F",
        "/public/%zz",
        "/public/%",
        "/public/%1",
        "/public/\u{e9}",
        "/public/a b",
        // PA-05
        "//admin/x",
        "/public//../admin",
        // PA-06
        "/admin%2Fx",
        "/public%2f..",
        "/pub%6Cic/x",
        // PA-07
        "/admin;x=1/y",
        "/public;/../admin",
        "/admin;.json",
        "/admin%3fx",
        "/public/%c0%ae%c0%ae/admin",
        "/admin%c0%afx",
    ] {
        assert_eq!(
            status(&rig, &format!("GET {path} HTTP/1.1")).await,
            400,
            "{path}"
        );
    }
    for byte in [b"\x80", b"\xe9", b"\xff"] {
        let request = [b"GET /public/", &byte[..], b" HTTP/1.1\r\nHost: gw\r\n\r\n"];
        assert_eq!(rig.exchange(request.concat()).await.status, 400, "{byte:?}");
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn pa_05_pa_15_what_is_not_ambiguous_is_forwarded_byte_for_byte() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    let paths = [
        "/public//x",
        "/public/%c3%a9/%2B+?q=%2B+&&a=&=&%zz",
        "/public?",
        "/public/x;v=1?/admin/../",
        "/public/a%23/b",
        "/public/{a}|\"b\"",
    ];
    for path in paths {
        assert_eq!(
            status(&rig, &format!("GET {path} HTTP/1.1")).await,
            200,
            "{path}"
        );
    }
    let seen: Vec<String> = rig
        .upstream
        .seen()
        .iter()
        .map(|seen| seen.line().to_owned())
        .collect();
    let expected = paths.map(|path| format!("GET {path} HTTP/1.1"));
    assert_eq!(seen, expected);
    for method in ["M-SEARCH", "get", "PROPFIND", "QUERY"] {
        let line = format!("{method} /public/x HTTP/1.1");
        assert_eq!(status(&rig, &line).await, 200, "{method}");
        assert_eq!(rig.upstream.seen().pop().unwrap().line(), line);
    }
}

#[tokio::test]
async fn pa_08_nothing_after_a_raw_fragment_sign_is_matched_or_forwarded() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    let refused = status(&rig, "GET /admin/x#/public HTTP/1.1").await;
    assert_eq!(refused, 401);
    rig.assert_nothing_reached_the_upstream();
    let passed = status(&rig, "GET /public/x#/admin HTTP/1.1").await;
    assert_eq!(passed, 200);
    assert_eq!(rig.only_seen().line(), "GET /public/x HTTP/1.1");
    // Encoded, it ends nothing: that is a path of one segment, which no route has.
    let encoded = status(&rig, "GET /admin%23/public HTTP/1.1").await;
    assert_eq!(encoded, 404);
}

#[tokio::test]
async fn pa_09_the_query_takes_no_part_in_matching() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    for target in [
        "/admin?x=/public/",
        "/admin?/public/health",
        "/admin/x?/public/health",
    ] {
        assert_eq!(
            status(&rig, &format!("GET {target} HTTP/1.1")).await,
            401,
            "{target}"
        );
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn pa_10_a_path_that_only_begins_like_a_route_is_not_that_routes() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    for path in [
        "/publicity",
        "/public.evil",
        "/PUBLIC/x",
        "/publi",
        "/one/x",
    ] {
        let status = status(&rig, &format!("GET {path} HTTP/1.1")).await;
        assert_eq!(status, 404, "{path}");
    }
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(status(&rig, "GET /public/x HTTP/1.1").await, 200);
}

#[tokio::test]
async fn pa_11_an_absolute_target_is_this_server_or_refused() {
    let rig = Rig::new(PUBLIC, |_| ok(), |_| {}).await;
    assert_eq!(
        status(&rig, "GET http://evil.example/x HTTP/1.1").await,
        400
    );
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(status(&rig, "GET http://gw/x?y HTTP/1.1").await, 200);
    assert_eq!(rig.only_seen().line(), "GET /x?y HTTP/1.1");
}

#[tokio::test]
async fn pa_12_the_upstream_gets_its_own_host_whatever_the_client_asks_for() {
    let rig = Rig::public().await;
    for host in ["evil.example", "gw:1", "gw.", "gw:"] {
        let answer = rig
            .exchange(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(answer.status, 200, "{host}");
        let seen = rig.upstream.seen().pop().unwrap();
        assert_eq!(seen.all("host"), [rig.upstream.address.to_string()]);
        assert_eq!(seen.all("x-forwarded-host"), [host]);
    }
}

#[tokio::test]
async fn pa_13_odd_targets_are_refused() {
    let rig = Rig::public().await;
    for target in ["@127.0.0.1:1/x", ":80/x", "http:x", "*", "gw:80", "x"] {
        assert_eq!(
            status(&rig, &format!("GET {target} HTTP/1.1")).await,
            400,
            "{target}"
        );
    }
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(status(&rig, "GET //127.0.0.1:1/x HTTP/1.1").await, 200);
    assert_eq!(rig.only_seen().line(), "GET //127.0.0.1:1/x HTTP/1.1");
}

#[tokio::test]
async fn pa_14_connect_and_trace_are_not_allowed() {
    let rig = Rig::public().await;
    let answer = rig.exchange("TRACE / HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.all("allow").len(), 1);
    let mut client = rig.client().await;
    client
        .send("CONNECT gw:443 HTTP/1.1\r\nHost: gw:443\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 405);
    assert_eq!(client.rest().await, "", "the connection is closed");
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn az_06_a_path_that_no_route_names_is_not_found_token_or_not() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    let token = rig.token("alice");
    for line in ["", &format!("Authorization: Bearer {token}\r\n")] {
        for path in [
            "/",
            "/other",
            "/PUBLIC/x",
            "/publicity",
            "/livez",
            "/readyz",
            "/metrics",
        ] {
            let answer = rig
                .exchange(format!("GET {path} HTTP/1.1\r\nHost: gw\r\n{line}\r\n"))
                .await;
            assert_eq!(answer.status, 404, "{path}");
            assert!(!answer.body.contains("detail"), "{answer:?}");
        }
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn az_07_a_method_that_the_route_does_not_list_is_not_allowed() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    let answer = rig
        .exchange("DELETE /admin/x HTTP/1.1\r\nHost: gw\r\n\r\n")
        .await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.all("allow"), ["GET, POST"]);
    let answer = rig
        .exchange("GET /one HTTP/1.1\r\nHost: gw\r\nX-HTTP-Method-Override: DELETE\r\n\r\n")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(rig.only_seen().line(), "GET /one HTTP/1.1");
}
