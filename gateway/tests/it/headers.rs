//! Headers and injection: section 8 of the catalogue.

use crate::{
    rig::{PUBLIC, Rig},
    upstream::{Reply, ok},
};

/// A request with Alice's token and these further lines.
fn with(token: &str, lines: &str) -> String {
    format!(
        "GET /subscriptions HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n{lines}\r\n"
    )
}

#[tokio::test]
async fn hd_01_the_upstream_sees_one_authorization_and_it_is_the_downstream_token() {
    let rig = Rig::protected().await;
    let token = rig.token("alice");
    let answer = rig.exchange(with(&token, "")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = rig.only_seen();
    let [authorization] = seen.all("authorization")[..] else {
        panic!("{seen:?}")
    };
    assert!(authorization.starts_with("Bearer ey"), "{authorization}");
    assert_eq!(rig.emulator.as_ref().unwrap().exchanges(), 1);
    assert!(!seen.head.contains(&token), "the caller's token went on");
    assert!(seen.body.is_empty());
}

#[tokio::test]
async fn a_second_request_with_the_same_token_asks_nobody() {
    let rig = Rig::protected().await;
    let token = rig.token("alice");
    let mut client = rig.client().await;
    for _ in 0..3 {
        client.send(with(&token, "")).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
    assert_eq!(rig.emulator.as_ref().unwrap().exchanges(), 1);
    let seen = rig.upstream.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].all("authorization"), seen[2].all("authorization"));
    assert_eq!(
        rig.upstream.connections(),
        1,
        "the upstream's connection is used again"
    );
}

#[tokio::test]
async fn hd_02_connection_cannot_name_away_what_the_gateway_sets() {
    let rig = Rig::protected().await;
    let token = rig.token("alice");
    let mut client = rig.client().await;
    for lines in [
        "Connection: authorization\r\n",
        "Connection: keep-alive, X-Forwarded-For, Authorization\r\n",
        "connection: AUTHORIZATION\r\nConnection: x-forwarded-for, forwarded\r\n",
        "Connection: host, x-request-id, x-forwarded-proto, x-forwarded-host\r\n",
    ] {
        client.send(with(&token, lines)).await;
        assert_eq!(client.answer().await.unwrap().status, 200, "{lines}");
    }
    // The same on a connection that ends.
    let lines = "Connection: close, X-Forwarded-For, Authorization\r\n";
    assert_eq!(rig.exchange(with(&token, lines)).await.status, 200);
    let seen = rig.upstream.seen();
    assert_eq!(seen.len(), 5);
    for seen in seen {
        for name in [
            "authorization",
            "forwarded",
            "host",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id",
        ] {
            assert_eq!(seen.all(name).len(), 1, "{name}: {seen:#?}");
        }
        assert_eq!(seen.all("host"), [rig.upstream.address.to_string()]);
        assert_eq!(seen.all("x-forwarded-host"), ["gw"]);
        assert!(!seen.head.contains(&token));
        assert!(seen.all("connection").is_empty(), "{seen:#?}");
    }
}

#[tokio::test]
async fn hd_03_headers_of_the_connection_are_not_forwarded() {
    let rig = Rig::protected().await;
    let token = rig.token("alice");
    let answer = rig
        .exchange(with(
            &token,
            "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nTrailer: x-t\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\nProxy-Authorization: Basic eDp5\r\nX-Named: 1\r\n\
             X-Kept: 1\r\nConnection: X-Named\r\n",
        ))
        .await;
    assert_eq!(answer.status, 200);
    let names = rig.only_seen().names();
    for gone in [
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "http2-settings",
        "proxy-authorization",
        "x-named",
        "connection",
    ] {
        assert!(
            !names.iter().any(|name| name == gone),
            "{gone} in {names:?}"
        );
    }
    assert!(names.iter().any(|name| name == "x-kept"), "{names:?}");
}

#[tokio::test]
async fn hd_03_an_upgrade_is_not_forwarded() {
    let rig = Rig::public().await;
    let answer = rig
        .exchange("GET / HTTP/1.1\r\nHost: gw\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
        .await;
    assert_eq!(answer.status, 200);
    assert!(rig.only_seen().all("upgrade").is_empty());
}

const RESERVED: &str = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\n\
     X-FORWARDED-PROTO: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n\
     Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Original-URL: /admin\r\nX-Original-Method: GET\r\n\
     X-Rewrite-URL: /admin\r\nX-MS-CLIENT-PRINCIPAL: e30=\r\nX-MS-CLIENT-PRINCIPAL-ID: admin\r\n\
     X-MS-TOKEN-AAD-ACCESS-TOKEN: t\r\nX-Forwarded-Client-Cert: c\r\nClient-Cert: c\r\n\
     X-Obo-Oid: admin\r\nX-OBO-OID: root\r\nProxy: http://evil.example\r\n\
     True-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\nFastly-Client-IP: 6.6.6.6\r\n\
     X-Client-IP: 6.6.6.6\r\nX-Cluster-Client-IP: 6.6.6.6\r\nX-Azure-ClientIP: 6.6.6.6\r\n\
     X-ARR-ClientCert: c\r\nX-Client-Cert: c\r\nSSL-Client-Verify: SUCCESS\r\nX-SSL-Client-DN: cn\r\n";

const ROUTES: &str = "[[route]]\npath = '/public/*'\naccess = 'public'\n\
     [[route]]\npath = '/*'\ndownstream = 'arm'\nidentity_headers = { oid = 'X-Obo-Oid' }";

#[tokio::test]
async fn hd_04_tl_05_reserved_headers_of_the_client_are_replaced_by_the_gateways_own() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    let token = rig.token("alice");
    assert_eq!(rig.exchange(with(&token, RESERVED)).await.status, 200);
    let seen = rig.only_seen();
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.all("x-forwarded-host"), ["gw"]);
    assert_eq!(
        seen.all("forwarded"),
        ["for=127.0.0.1;host=\"gw\";proto=http"]
    );
    assert_eq!(seen.all("host"), [rig.upstream.address.to_string()]);
    assert_eq!(seen.all("x-obo-oid"), [entra_emulator::demo::ALICE_OID]);
    for gone in [
        "x-forwarded-port",
        "x-real-ip",
        "x-original-url",
        "x-original-method",
        "x-rewrite-url",
        "x-ms-client-principal",
        "x-ms-client-principal-id",
        "x-ms-token-aad-access-token",
        "x-forwarded-client-cert",
        "client-cert",
        "proxy",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-azure-clientip",
        "x-arr-clientcert",
        "x-client-cert",
        "ssl-client-verify",
        "x-ssl-client-dn",
    ] {
        assert!(seen.all(gone).is_empty(), "{gone}: {seen:#?}");
    }
}

#[tokio::test]
async fn hd_07_no_decision_depends_on_what_a_request_says_that_it_was() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    for lines in [
        "X-Forwarded-Uri: /public/x",
        "X-Original-URL: /public/x",
        "X-Rewrite-URL: /public/x",
        "X-Original-Method: OPTIONS",
        "X-HTTP-Method-Override: OPTIONS",
        "User-Agent: kube-probe/1.30",
        "User-Agent: ELB-HealthChecker/2.0",
        "User-Agent: GoogleHC/1.0",
    ] {
        let request = format!("GET /private HTTP/1.1\r\nHost: gw\r\n{lines}\r\n\r\n");
        assert_eq!(rig.exchange(request).await.status, 401, "{lines}");
    }
    rig.assert_nothing_reached_the_upstream();
    let lines = "X-Forwarded-Uri: /private\r\nX-Original-URL: /private\r\n\
         X-Rewrite-URL: /private\r\nX-Original-Method: DELETE\r\n";
    let request = format!("GET /public/x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n");
    assert_eq!(rig.exchange(request).await.status, 200);
    assert_eq!(rig.only_seen().line(), "GET /public/x HTTP/1.1");
}

#[tokio::test]
async fn hd_10_what_a_claim_says_stays_in_its_header_and_a_claim_that_is_absent_leaves_none() {
    const ROUTES: &str = "[[route]]\npath = '/*'\n\
         identity_headers = { name = 'X-Name', email = 'X-Email' }";
    let lines = "X-Name: admin\r\nX-Email: admin@example.com\r\n";
    for (name, header) in [
        ("Zo\u{eb},\r\nX-Own: 1", &["Zo%C3%AB%2C%0D%0AX-Own: 1"][..]),
        (&*"x".repeat(8 * 1024), &[]),
        (&*"x".repeat(64 * 1024), &[]),
    ] {
        // So that a token of that size comes through at all.
        let large = |config: &mut obo_gateway::Config| {
            config.limits.head_bytes = 128 * 1024;
            config.limits.token_bytes = 128 * 1024;
        };
        let rig = Rig::new(ROUTES, |_| ok(), large).await;
        let emulator = rig.emulator.as_ref().unwrap();
        let token = emulator.token().claim("name", name).sign();
        assert_eq!(rig.exchange(with(&token, lines)).await.status, 200);
        let seen = rig.only_seen();
        assert_eq!(seen.all("x-name"), header);
        assert!(seen.all("x-email").is_empty() && seen.all("x-own").is_empty());
    }
}

#[tokio::test]
async fn hd_05_aliases_of_reserved_headers_are_stripped_on_public_routes_too() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    let token = rig.token("alice");
    let aliases = "X_Forwarded_For: 6.6.6.6\r\nX_MS_CLIENT_PRINCIPAL_ID: admin\r\n\
         x_real-ip: 6.6.6.6\r\nX.Forwarded.Proto: https\r\nx_obo_oid: admin\r\n\
         Client_Cert: c\r\nProxy_Authorization: x\r\nx_ms_token_aad: t\r\nX_Request_Id: 1\r\n\
         Transfer_Encoding: chunked\r\nContent_Length: 5\r\nContent.Length: 5\r\nKeep_Alive: 1\r\n\
         Proxy_Connection: x\r\nProxy_Authenticate: x\r\nHTTP2_Settings: x\r\n\
         X_Other: kept\r\n";
    for path in ["/public/x", "/private"] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n{aliases}{RESERVED}\r\n"
        );
        assert_eq!(rig.exchange(request).await.status, 200, "{path}");
    }
    let seen = rig.upstream.seen();
    assert_eq!(seen.len(), 2);
    for seen in &seen {
        let odd: Vec<String> = seen
            .names()
            .into_iter()
            .filter(|name| name.contains(['_', '.']))
            .collect();
        assert_eq!(odd, ["x_other"], "{seen:#?}");
    }
    let public = &seen[0];
    assert!(public.all("authorization").is_empty(), "{public:#?}");
    assert!(public.all("x-obo-oid").is_empty(), "{public:#?}");
}

#[tokio::test]
async fn az_08_a_public_route_forwards_no_authorization_and_judges_none() {
    let rig = Rig::public().await;
    for authorization in [
        "Bearer garbage",
        "Basic eDp5",
        "Bearer a\r\nAuthorization: Bearer b",
    ] {
        let answer = rig
            .exchange(format!(
                "GET / HTTP/1.1\r\nHost: gw\r\nAuthorization: {authorization}\r\n\r\n"
            ))
            .await;
        assert_eq!(answer.status, 200, "{authorization}");
    }
    for seen in rig.upstream.seen() {
        assert!(seen.all("authorization").is_empty(), "{seen:#?}");
    }
}

#[tokio::test]
async fn hd_11_headers_of_the_upstreams_connection_stop_here_and_cookies_stay_apart() {
    let rig = Rig::public_with(
        |_| {
            Reply::Keep(
                "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
                 HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\n\
                 Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nSet-Cookie: a=1\r\n\
                 Set-Cookie: b=2\r\nX-Kept: 1\r\ncontent-length: 2\r\n\r\nok"
                    .to_owned(),
            )
        },
        |_| {},
    )
    .await;
    let answer = rig.client().await.get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.all("x-kept"), ["1"]);
    for gone in ["x-hop", "keep-alive", "proxy-authenticate"] {
        assert!(answer.all(gone).is_empty(), "{gone}: {answer:?}");
    }
}

#[tokio::test]
async fn hd_12_an_upstream_that_reflects_the_token_in_a_header_is_not_passed_on() {
    let rig = Rig::new(
        crate::rig::PROTECTED,
        |seen| {
            let token = seen.all("authorization")[0].to_owned();
            let bare = token.trim_start_matches("Bearer ").to_owned();
            Reply::Keep(format!(
                "HTTP/1.1 200 OK\r\nx-echo: {token}\r\nx-bare: {bare}\r\nx-kept: 1\r\n\
                 content-length: 0\r\n\r\n"
            ))
        },
        |_| {},
    )
    .await;
    let token = rig.token("alice");
    let answer = rig.exchange(with(&token, "")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.all("x-echo").is_empty() && answer.all("x-bare").is_empty());
    assert_eq!(answer.all("x-kept"), ["1"]);
}

#[tokio::test]
async fn lo_05_a_request_id_is_taken_when_well_formed_and_replaced_otherwise() {
    let rig = Rig::new(PUBLIC, |_| ok(), |_| {}).await;
    for (sent, taken) in [
        ("abc-123", true),
        ("a b", false),
        (&*"x".repeat(129), false),
    ] {
        let answer = rig
            .exchange(format!(
                "GET / HTTP/1.1\r\nHost: gw\r\nX-Request-Id: {sent}\r\n\r\n"
            ))
            .await;
        let seen = rig.upstream.seen().pop().unwrap();
        assert_eq!(answer.all("x-request-id"), seen.all("x-request-id"));
        assert_eq!(answer.all("x-request-id") == [sent], taken, "{sent}");
    }
}

#[tokio::test]
async fn a_refusal_reaches_neither_upstream_nor_identity_provider() {
    let rig = Rig::protected().await;
    let token = rig.token("alice");
    let tampered = format!("{}x", &token[..token.len() - 1]);
    for (line, status) in [
        (String::new(), 401),
        (format!("Authorization: Bearer {tampered}\r\n"), 401),
        (
            format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"),
            400,
        ),
    ] {
        let answer = rig
            .exchange(format!("GET /x HTTP/1.1\r\nHost: gw\r\n{line}\r\n"))
            .await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.all("content-type"), ["application/problem+json"]);
        assert_eq!(answer.all("cache-control"), ["no-store"]);
        assert_eq!(answer.all("www-authenticate").len(), 1);
        assert_eq!(answer.all("x-request-id").len(), 1);
    }
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(rig.emulator.as_ref().unwrap().exchanges(), 0);
}
