//! Who called whom: proxies in front of the gateway, trusted or not (HD-06).

use crate::{rig::Rig, upstream::Seen};

/// What the upstream sees of a request with these lines, behind a peer that is trusted if `trusted`
/// says so.
async fn seen(trusted: &[&str], lines: &str) -> Seen {
    let rig = Rig::public_with(
        |_| crate::upstream::ok(),
        |config| {
            config.trusted_proxies = trusted.iter().map(|net| net.parse().unwrap()).collect();
        },
    )
    .await;
    let request = format!("GET / HTTP/1.1\r\nHost: gw\r\n{lines}\r\n");
    assert_eq!(rig.exchange(request).await.status, 200);
    rig.only_seen()
}

const LOOPBACK: &[&str] = &["10.0.0.0/8", "127.0.0.0/8"];

const CHAIN: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n\
     X-Forwarded-Proto: https\r\nX-Forwarded-Host: api.example.com\r\n\
     Forwarded: for=192.0.2.1;proto=https\r\n";

#[tokio::test]
async fn hd_06_nobody_is_believed_who_is_not_in_trusted_proxies() {
    for trusted in [&[][..], &["10.0.0.0/8", "::1", "127.0.0.2"]] {
        let seen = seen(trusted, CHAIN).await;
        assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
        assert_eq!(seen.all("x-forwarded-host"), ["gw"]);
        assert_eq!(
            seen.all("forwarded"),
            ["for=127.0.0.1;host=\"gw\";proto=http"]
        );
    }
}

#[tokio::test]
async fn hd_06_what_a_trusted_proxy_says_stays_and_the_proxy_is_added() {
    let seen = seen(LOOPBACK, CHAIN).await;
    assert_eq!(
        seen.all("x-forwarded-for"),
        ["192.0.2.1, 192.0.2.2, 127.0.0.1"]
    );
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.all("x-forwarded-host"), ["api.example.com"]);
    assert_eq!(
        seen.all("forwarded"),
        ["for=192.0.2.1;proto=https, for=127.0.0.1;host=\"gw\";proto=http"]
    );
}

#[tokio::test]
async fn hd_06_the_form_that_a_trusted_proxy_does_not_use_names_no_client() {
    let older = seen(LOOPBACK, "X-Forwarded-For: 192.0.2.1\r\n").await;
    assert_eq!(older.all("x-forwarded-for"), ["192.0.2.1, 127.0.0.1"]);
    assert_eq!(older.all("x-forwarded-proto"), ["http"]);
    assert_eq!(older.all("x-forwarded-host"), ["gw"]);
    assert!(older.all("forwarded").is_empty());

    let standard = seen(LOOPBACK, "Forwarded: for=192.0.2.1\r\n").await;
    assert_eq!(
        standard.all("forwarded"),
        ["for=192.0.2.1, for=127.0.0.1;host=\"gw\";proto=http"]
    );
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"] {
        assert!(standard.all(name).is_empty(), "{name}");
    }

    let neither = seen(LOOPBACK, "").await;
    assert_eq!(neither.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(neither.all("forwarded").len(), 1);
}

#[tokio::test]
async fn hd_06_a_trusted_proxy_s_scheme_and_host_stay_only_if_said_once_and_well() {
    for lines in [
        "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: u@evil\r\n",
        "X-Forwarded-Proto: https, http\r\nX-Forwarded-Host: a, b\r\n",
        "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: a\r\nX-Forwarded-Host: a\r\n",
        "X-Forwarded-Proto:\r\nX-Forwarded-Host:\r\n",
    ] {
        let seen = seen(LOOPBACK, lines).await;
        assert_eq!(seen.all("x-forwarded-proto"), ["http"], "{lines}");
        assert_eq!(seen.all("x-forwarded-host"), ["gw"], "{lines}");
    }
}

#[tokio::test]
async fn hd_04_hd_05_of_a_trusted_proxy_too_other_reserved_headers_and_aliases_are_stripped() {
    let seen = seen(
        LOOPBACK,
        "X-Forwarded-For: 192.0.2.1\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\
         X-Forwarded-Client-Cert: c\r\nX-Forwarded-Authorization: Bearer x\r\nX-Original-URL: /a\r\n\
         X-Forwarded-Uri: /a\r\nX-MS-CLIENT-PRINCIPAL: e30=\r\nConnection: x-forwarded-host\r\n\
         X-Forwarded-Host: evil\r\n",
    )
    .await;
    assert_eq!(seen.all("x-forwarded-for"), ["192.0.2.1, 127.0.0.1"]);
    // Named by `Connection`, it was the last hop's.
    assert_eq!(seen.all("x-forwarded-host"), ["gw"]);
    let mut left: Vec<String> = seen.names();
    left.retain(|name| name.starts_with("x"));
    left.sort();
    assert_eq!(
        left,
        [
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id"
        ]
    );
}
