//! Web pages of other origins: preflights, and what their scripts may read.

use entra_emulator::{Endpoint, Fault};

use crate::{
    client::Answer,
    rig::Rig,
    upstream::{Reply, ok},
};

const APP: &str = "https://app.example";

const ROUTES: &str = "[[route]]\npath = '/api/*'\nmethods = ['GET', 'PUT']\ndownstream = 'arm'\n\
     cors = { origins = ['https://app.example', 'http://localhost:3000'], max_age = '10m', \
     headers = ['Authorization', 'X-Own'], expose = ['X-Total'], credentials = true }\n\
     [[route]]\npath = '/open'\naccess = 'public'\ncors = { origins = ['*'] }\n\
     [[route]]\npath = '/plain/*'\ndownstream = 'arm'\n\
     [[route]]\npath = '/get'\nmethods = ['GET']\n\
     [[route]]\npath = '/public'\naccess = 'public'";

/// A preflight; `lines` may hold more.
fn preflight(path: &str, origin: &str, method: &str, lines: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: gw\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: {method}\r\n{lines}\r\n"
    )
}

fn get(path: &str, origin: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gw\r\nOrigin: {origin}\r\n{lines}\r\n")
}

/// Names of all headers that CORS has.
fn cors_headers(answer: &Answer) -> Vec<&str> {
    let names = answer.head.lines().skip(1);
    names
        .filter_map(|line| Some(line.split_once(':')?.0))
        .filter(|name| name.to_ascii_lowercase().starts_with("access-control-"))
        .collect()
}

fn assert_readable_by(origin: &str, answer: &Answer) {
    assert_eq!(
        answer.all("access-control-allow-origin"),
        [origin],
        "{answer:?}"
    );
    let [exposed] = answer.all("access-control-expose-headers")[..] else {
        panic!("{answer:?}")
    };
    for name in ["www-authenticate", "retry-after", "x-request-id"] {
        assert!(exposed.split(", ").any(|item| item == name), "{exposed}");
    }
}

#[tokio::test]
async fn hd_13_a_preflight_is_answered_by_the_route_s_cors_without_a_token() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    for origin in [APP, "http://localhost:3000"] {
        let answer = rig
            .exchange(preflight(
                "/api/x",
                origin,
                "PUT",
                "Access-Control-Request-Headers: authorization, x-own\r\n",
            ))
            .await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.all("access-control-allow-origin"), [origin]);
        assert_eq!(answer.all("access-control-allow-methods"), ["GET, PUT"]);
        assert_eq!(
            answer.all("access-control-allow-headers"),
            ["authorization, x-own"]
        );
        assert_eq!(answer.all("access-control-allow-credentials"), ["true"]);
        assert_eq!(answer.all("access-control-max-age"), ["600"]);
        assert!(answer.all("vary").contains(&"origin"), "{answer:?}");
        assert_eq!(answer.all("x-request-id").len(), 1);
    }
    // Any page may; but then none as its visitor.
    let answer = rig
        .exchange(preflight("/open", "https://any.example", "DELETE", ""))
        .await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.all("access-control-allow-origin"), ["*"]);
    assert!(answer.all("access-control-allow-credentials").is_empty());
    assert!(answer.all("access-control-allow-methods")[0].contains("DELETE"));
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn hd_13_pages_of_other_origins_are_allowed_nothing() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.evil.example",
        "https://app.example:443",
        "http://app.example",
        "https://APP.example",
        "https://app.example\r\nOrigin: https://app.example",
        "*",
    ] {
        let answer = rig.exchange(preflight("/api/x", origin, "GET", "")).await;
        assert_eq!(answer.status, 204, "{origin}");
        assert!(cors_headers(&answer).is_empty(), "{origin}: {answer:?}");
        let answer = rig.exchange(get("/api/x", origin, "")).await;
        assert_eq!(answer.status, 401, "{origin}");
        assert!(cors_headers(&answer).is_empty(), "{origin}: {answer:?}");
        assert_eq!(answer.all("vary"), ["origin"], "{origin}");
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn hd_13_options_is_a_request_like_others_where_it_is_no_preflight_or_the_route_has_no_cors()
{
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    for (request, status) in [
        // No CORS: a token is needed, or the method is not taken at all.
        (preflight("/plain/x", APP, "GET", ""), 401),
        (preflight("/get", APP, "GET", ""), 405),
        (preflight("/nowhere", APP, "GET", ""), 404),
        // No preflight.
        (
            "OPTIONS /api/x HTTP/1.1\r\nHost: gw\r\nOrigin: https://app.example\r\n\r\n".to_owned(),
            405,
        ),
        (
            "OPTIONS /api/x HTTP/1.1\r\nHost: gw\r\nAccess-Control-Request-Method: GET\r\n\r\n"
                .to_owned(),
            405,
        ),
        // No path that may be read in two ways.
        (preflight("/api/../plain", APP, "GET", ""), 400),
        (preflight("/api%2fx", APP, "GET", ""), 400),
    ] {
        let answer = rig.exchange(&request).await;
        assert_eq!(answer.status, status, "{request}");
        assert!(answer.all("access-control-allow-methods").is_empty());
    }
    rig.assert_nothing_reached_the_upstream();
    // What a public route's upstream says to one is its own affair.
    let answer = rig.exchange(preflight("/public", APP, "GET", "")).await;
    assert_eq!(answer.status, 200);
    assert!(rig.only_seen().line().starts_with("OPTIONS /public "));
}

#[tokio::test]
async fn hd_14_refusals_of_every_kind_can_be_read_by_the_route_s_pages() {
    let rig = Rig::new(ROUTES, |_| Reply::Close(String::new()), |_| {}).await;
    let good = rig.token("alice");
    let emulator = rig.emulator.as_ref().unwrap();
    let scope = emulator.token().claim("scp", "other").sign();
    let mfa = rig.token("carol");
    for (authorization, status) in [
        (String::new(), 401),
        ("Authorization: Bearer garbage\r\n".to_owned(), 401),
        ("Authorization: Bearer\r\n".to_owned(), 400),
        (format!("Authorization: Bearer {scope}\r\n"), 403),
        (format!("Authorization: Bearer {mfa}\r\n"), 401),
        // The upstream breaks off.
        (format!("Authorization: Bearer {good}\r\n"), 502),
    ] {
        let answer = rig.exchange(get("/api/x", APP, &authorization)).await;
        assert_eq!(answer.status, status, "{authorization}");
        assert_readable_by(APP, &answer);
        assert_eq!(answer.all("access-control-allow-credentials"), ["true"]);
        assert!(answer.all("access-control-expose-headers")[0].ends_with(", x-total"));
    }
    let answer = rig
        .exchange("DELETE /api/x HTTP/1.1\r\nHost: gw\r\nOrigin: https://app.example\r\n\r\n")
        .await;
    assert_eq!(answer.status, 405);
    assert_readable_by(APP, &answer);
    assert_eq!(answer.all("allow"), ["GET, PUT"]);
}

#[tokio::test]
async fn hd_14_a_refusal_that_passes_by_itself_can_be_read_too() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    let token = rig.token("alice");
    let fault = Fault::status(503).header("retry-after", "9");
    (rig.emulator.as_ref().unwrap()).fail(Endpoint::Token, fault, 1);
    let answer = rig
        .exchange(get(
            "/api/x",
            APP,
            &format!("Authorization: Bearer {token}\r\n"),
        ))
        .await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.all("retry-after"), ["9"]);
    assert_readable_by(APP, &answer);
}

#[tokio::test]
async fn hd_14_a_refusal_before_the_route_is_looked_for_can_be_read_by_its_pages() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    let large = format!("X-A: {}\r\n", "a".repeat(65 * 1024));
    let long = "a".repeat(17 * 1024);
    for (target, more, status) in [
        ("/api/x", "Expect: tea\r\n", 417),
        ("/api/x", "Transfer-Encoding: gzip, chunked\r\n", 501),
        ("/api/x", &large, 431),
        (&format!("/api/{long}"), "", 414),
    ] {
        let answer = rig.exchange(get(target, APP, more)).await;
        assert_eq!(answer.status, status, "{target:.9} {more:.19}");
        assert_readable_by(APP, &answer);
        let evil = rig
            .exchange(get(target, "https://evil.example", more))
            .await;
        assert_eq!(evil.status, status);
        assert!(cors_headers(&evil).is_empty(), "{evil:?}");
    }
    for target in ["/plain/x", "/nowhere", "/api/../plain"] {
        let answer = rig.exchange(get(target, APP, "Expect: tea\r\n")).await;
        assert_eq!(answer.status, 417, "{target}");
        assert!(cors_headers(&answer).is_empty(), "{answer:?}");
    }

    let full = Rig::new(ROUTES, |_| ok(), |config| config.limits.requests = 0).await;
    let answer = full.exchange(get("/api/x", APP, "")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.all("retry-after"), ["1"]);
    assert_readable_by(APP, &answer);
}

#[tokio::test]
async fn what_the_upstream_says_of_cors_is_replaced_on_a_route_with_cors_and_passes_on_others() {
    let rig = Rig::new(
        ROUTES,
        |_| {
            Reply::Keep(
                "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n\
                 access-control-allow-origin: https://evil.example\r\n\
                 Access-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: set-cookie\r\n\
                 Access-Control-Allow-Headers: *\r\nVary: accept\r\ncontent-length: 2\r\n\r\nok"
                    .to_owned(),
            )
        },
        |_| {},
    )
    .await;
    let token = format!("Authorization: Bearer {}\r\n", rig.token("alice"));
    let answer = rig.exchange(get("/api/x", APP, &token)).await;
    assert_eq!(answer.status, 200);
    assert_readable_by(APP, &answer);
    assert!(answer.all("access-control-allow-headers").is_empty());
    assert!(!answer.all("access-control-expose-headers")[0].contains("set-cookie"));
    assert_eq!(answer.all("vary"), ["accept", "origin"]);

    let evil = rig
        .exchange(get("/api/x", "https://evil.example", &token))
        .await;
    assert_eq!(evil.status, 200);
    assert!(cors_headers(&evil).is_empty(), "{evil:?}");
    assert_eq!(evil.all("vary"), ["accept", "origin"]);

    let open = rig.exchange(get("/open", "https://evil.example", "")).await;
    assert_readable_by("*", &open);
    assert!(open.all("access-control-allow-credentials").is_empty());
    assert_eq!(open.all("vary"), ["accept"]);

    let public = rig.exchange(get("/public", APP, "")).await;
    assert_eq!(public.all("access-control-allow-origin").len(), 2);
}
