//! `/metrics`: what a request does to the figures, and who reads them.

use std::{collections::BTreeMap, time::Duration};

use entra_emulator::{Endpoint, Fault};
use obo_gateway::Config;

use crate::{
    admin::{admin, with_admin},
    client::{Answer, in_time},
    rig::Rig,
    upstream::{Reply, Seen, ok},
};

const ROUTES: &str = "[[route]]\npath = '/a/*'\nmethods = ['GET', 'POST']\ndownstream = 'arm'\n\
     [[route]]\npath = '/open'\naccess = 'public'\n";

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

/// Samples by their names with labels, as they are written.
type Samples = BTreeMap<String, f64>;

fn change(config: &mut Config) {
    with_admin(config);
    config.workers = 2;
}

fn answers(seen: &Seen) -> Reply {
    match seen.line().contains("/missing") {
        true => Reply::Keep("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into()),
        false => ok(),
    }
}

async fn scrape(rig: &Rig, accept: &str) -> Answer {
    let mut client = admin(rig).await;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
    client.send(request).await;
    client.answer().await.unwrap()
}

async fn samples(rig: &Rig) -> Samples {
    let answer = scrape(rig, "text/plain").await;
    assert_eq!(answer.status, 200);
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(sample).collect()
}

async fn send(rig: &Rig, line: &str, token: Option<&str>) -> u16 {
    let token = token.map_or(String::new(), |t| format!("Authorization: Bearer {t}\r\n"));
    let request = format!("{line} HTTP/1.1\r\nHost: gw\r\n{token}\r\n");
    rig.exchange(request).await.status
}

/// A stranger whose key ids are made up is refused so while keys are fetched: the alert that wakes somebody looks away.
#[tokio::test]
async fn ks_03_made_up_key_ids_are_told_apart_from_the_provider_s_faults() {
    let rig = Rig::new("", answers, |config| {
        change(config);
        config.limits.keys_timeout = Duration::from_millis(20);
    })
    .await;
    let emulator = rig.emulator.as_ref().unwrap();
    let made_up = emulator.token().header("kid", "made-up").sign();
    let hold = emulator.hold(Endpoint::Keys);
    assert_eq!(send(&rig, "GET /", Some(&made_up)).await, 503);
    hold.release();
    let figures = samples(&rig).await;
    let refusals: Vec<_> = figures
        .iter()
        .filter(|(name, value)| name.contains("actor=\"identity-provider\"") && **value > 0.)
        .collect();
    let name =
        "obo_refusals_total{problem=\"key-still-unknown\",actor=\"identity-provider\"}".to_owned();
    assert_eq!(refusals, [(&name, &1.)]);
    let rules = include_str!("../../../deploy/prometheus/obo-gateway.rules.yaml");
    assert!(rules.contains("problem!=\"key-still-unknown\""));
}

#[tokio::test]
async fn every_request_is_counted_once_by_route_and_outcome() {
    let rig = Rig::new(ROUTES, answers, change).await;
    let (alice, bob) = (rig.token("alice"), rig.token("bob"));
    for (line, token, status) in [
        ("GET /a/1?x=secret", Some(&alice), 200),
        ("GET /a/2", Some(&alice), 200),
        ("GET /a/missing", Some(&bob), 404),
        ("GET /a/1", None, 401),
        ("GET /open", None, 200),
        ("PUT /a/1", None, 405),
        ("GET /nowhere", None, 404),
        ("GET /a/%2e%2e/open", None, 400),
    ] {
        let token = token.map(String::as_str);
        assert_eq!(send(&rig, line, token).await, status, "{line}");
    }
    let samples = samples(&rig).await;
    for (name, value) in [
        (
            "obo_requests_total{route=\"GET,POST /a/*\",outcome=\"2xx\"}",
            2.,
        ),
        (
            "obo_requests_total{route=\"GET,POST /a/*\",outcome=\"4xx\"}",
            1.,
        ),
        (
            "obo_requests_total{route=\"GET,POST /a/*\",outcome=\"caller\"}",
            1.,
        ),
        ("obo_requests_total{route=\"/open\",outcome=\"2xx\"}", 1.),
        ("obo_requests_total{route=\"none\",outcome=\"caller\"}", 3.),
        (
            "obo_request_duration_seconds_count{route=\"GET,POST /a/*\"}",
            4.,
        ),
        ("obo_request_duration_seconds_count{route=\"none\"}", 3.),
        (
            "obo_refusals_total{problem=\"missing-token\",actor=\"caller\"}",
            1.,
        ),
        (
            "obo_refusals_total{problem=\"method-not-allowed\",actor=\"caller\"}",
            1.,
        ),
        (
            "obo_refusals_total{problem=\"not-found\",actor=\"caller\"}",
            1.,
        ),
        (
            "obo_refusals_total{problem=\"bad-request\",actor=\"caller\"}",
            1.,
        ),
        (
            "obo_upstream_requests_total{upstream=\"default\",outcome=\"2xx\"}",
            3.,
        ),
        (
            "obo_upstream_requests_total{upstream=\"default\",outcome=\"4xx\"}",
            1.,
        ),
        (
            "obo_upstream_duration_seconds_count{upstream=\"default\"}",
            4.,
        ),
        ("obo_admission_lookups_total{result=\"hit\"}", 1.),
        ("obo_admission_lookups_total{result=\"miss\"}", 2.),
        ("obo_token_lookups_total{result=\"hit\"}", 1.),
        ("obo_token_lookups_total{result=\"miss\"}", 2.),
        ("obo_exchanges_total{result=\"ok\",aadsts=\"\"}", 2.),
        ("obo_exchange_duration_seconds_count", 2.),
        ("obo_cache_entries{cache=\"admissions\"}", 2.),
        ("obo_cache_entries{cache=\"tokens\"}", 2.),
        ("obo_cache_evictions_total{cache=\"tokens\"}", 0.),
        ("obo_key_fetches_total{result=\"ok\"}", 1.),
        ("obo_ready", 1.),
        ("obo_requests_running", 0.),
        ("obo_requests_running_max", 1024.),
        ("obo_foreign_tokens_total", 0.),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}: {samples:#?}");
    }
    assert!(samples["obo_keys"] >= 1.);
    let age = samples["obo_keys_fetched_time_seconds"] - samples["obo_start_time_seconds"];
    assert!((0. ..=60.).contains(&age), "{age}");
    let text = format!("{samples:?}");
    for secret in [&*alice, &*bob, "secret", "/a/1"] {
        assert!(!text.contains(secret));
    }
}

#[tokio::test]
async fn what_is_no_request_is_counted_where_it_is_refused() {
    let rig = Rig::new(ROUTES, answers, change).await;
    let large = format!(
        "GET /open HTTP/1.1\r\nX-A: {}\r\n\r\n",
        "a".repeat(200 * 1024)
    );
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100 * 1024));
    for (bytes, status) in [
        ("GET /open HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (&large, 431),
        (&long, 414),
    ] {
        assert_eq!(rig.exchange(bytes).await.status, status);
    }
    // Behind one that was.
    let mut client = rig.client().await;
    assert_eq!(client.get("/open").await.status, 200);
    client.send("GET /open HTTP/1.1\r\nno colon\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 400);
    let refused = "obo_requests_total{route=\"none\",outcome=\"caller\"}";
    // It is counted right behind its answer.
    let samples = in_time(async {
        loop {
            let samples = samples(&rig).await;
            if samples.get(refused) >= Some(&4.) {
                return samples;
            }
        }
    })
    .await;
    assert_eq!(samples.get(refused), Some(&4.), "{samples:#?}");
    for (problem, count) in [
        ("bad-request", 2.),
        ("head-too-large", 1.),
        ("target-too-long", 1.),
    ] {
        let name = format!("obo_refusals_total{{problem=\"{problem}\",actor=\"caller\"}}");
        assert_eq!(samples.get(&name), Some(&count), "{name}: {samples:#?}");
    }
}

#[tokio::test]
async fn exchanges_that_fail_are_counted_by_code_and_upstreams_by_what_they_do() {
    let rig = Rig::new(ROUTES, |_| Reply::Close(String::new()), change).await;
    let emulator = rig.emulator.as_ref().unwrap();
    let unconsented = emulator.user_token_without_consent("bob");
    assert_eq!(send(&rig, "GET /a/1", Some(&unconsented)).await, 403);
    let fault = Fault::status(400)
        .body(r#"{"error":"invalid_grant","error_codes":[987654],"error_description":"x"}"#);
    emulator.fail(Endpoint::Token, fault, 1);
    let alice = rig.token("alice");
    assert!(send(&rig, "GET /a/1", Some(&alice)).await >= 400);
    assert_eq!(send(&rig, "GET /open", None).await, 502);
    let samples = samples(&rig).await;
    let of = |name: &str, part: &str| {
        let found = samples
            .iter()
            .find(|(key, _)| key.starts_with(name) && key.contains(part));
        found.map(|(_, value)| *value)
    };
    let exchanges = "obo_exchanges_total";
    assert_eq!(
        of(exchanges, "{result=\"consent-required\",aadsts=\"65001\"}"),
        Some(1.)
    );
    assert_eq!(of(exchanges, "aadsts=\"other\""), Some(1.), "{samples:#?}");
    assert_eq!(
        of("obo_upstream_requests", "outcome=\"upstream\""),
        Some(1.)
    );
    assert_eq!(
        of("obo_requests_total", "\"/open\",outcome=\"upstream\""),
        Some(1.)
    );
}

#[tokio::test]
async fn tasks_are_told_and_end_with_what_they_were_for() {
    let rig = Rig::new(ROUTES, |_| Reply::Hang(String::new()), change).await;
    let tasks = async || samples(&rig).await["obo_tasks"];
    let before = tasks().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = rig.client().await;
        client.send("GET /open HTTP/1.1\r\nHost: gw\r\n\r\n").await;
        clients.push(client);
    }
    rig.upstream.until_seen(20).await;
    let with_clients = tasks().await;
    assert!(with_clients >= before + 20., "{before}, {with_clients}");
    drop(clients);
    in_time(async {
        while tasks().await > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn ex_10_a_token_of_another_user_raises_the_alarm_and_reaches_nobody() {
    let rig = Rig::new(ROUTES, answers, change).await;
    let emulator = rig.emulator.as_ref().unwrap();
    let (alice, of_bob) = (rig.token("alice"), rig.token("bob"));
    let answer = serde_json::json!(
        {"token_type": "Bearer", "expires_in": 3599, "access_token": of_bob}
    );
    emulator.fail(Endpoint::Token, Fault::status(200).json(&answer), 1);
    assert_eq!(send(&rig, "GET /a/1", Some(&alice)).await, 502);
    rig.assert_nothing_reached_the_upstream();
    let alarms = "obo_foreign_tokens_total";
    let samples = samples(&rig).await;
    assert_eq!(samples.get(alarms), Some(&1.), "{samples:#?}");
    let refused =
        "obo_refusals_total{problem=\"unusable-identity-provider\",actor=\"identity-provider\"}";
    assert_eq!(samples.get(refused), Some(&1.), "{samples:#?}");
}

#[tokio::test]
async fn a_fresh_gateway_tells_0_of_what_it_is_to_blame_for_and_whether_it_drains() {
    let rig = Rig::new(ROUTES, |_| Reply::Hang(String::new()), change).await;
    let of_the_gateway =
        |problem| format!("obo_refusals_total{{problem=\"{problem}\",actor=\"gateway\"}}");
    let fresh = samples(&rig).await;
    for problem in [
        "internal-error",
        "too-many-requests",
        "request-timeout",
        "credential-unavailable",
        "gateway-misconfigured",
        "overloaded",
    ] {
        let name = of_the_gateway(problem);
        assert_eq!(fresh.get(&name), Some(&0.), "{name}: {fresh:#?}");
    }
    assert_eq!(fresh.get("obo_draining"), Some(&0.));
    assert_eq!(fresh.get("obo_keys_max_age_seconds"), Some(&86_400.));

    let mut client = rig.client().await;
    client.send("GET /open HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    rig.upstream.until_seen(1).await;
    let mut probe = admin(&rig).await;
    let shutdown = tokio::spawn(rig.gateway.shutdown());
    in_time(async {
        loop {
            let figures = probe.figures().await;
            if figures.contains("\nobo_draining 1\n") {
                assert!(figures.contains("\nobo_ready 0\n"), "{figures}");
                return;
            }
        }
    })
    .await;
    shutdown.abort();
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_counted_as_abandoned() {
    let rig = Rig::new(ROUTES, |_| Reply::Hang(String::new()), change).await;
    let mut client = rig.client().await;
    client.send("GET /open HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    in_time(async {
        while rig.upstream.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(client);
    let name = "obo_requests_total{route=\"/open\",outcome=\"abandoned\"}";
    in_time(async {
        while samples(&rig).await.get(name) != Some(&1.) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn lo_04_what_callers_make_up_makes_no_series() {
    let rig = Rig::new(ROUTES, |_| ok(), change).await;
    let mut client = rig.client().await;
    let mut counts = Vec::new();
    for round in 0..2 {
        for number in 0..200 {
            let (path, method) = (format!("/{round}/{number}"), format!("M{round}{number}"));
            client.get(&path).await;
            client.get(&format!("/open?{path}")).await;
            let forged = rig.emulator.as_ref().unwrap().token();
            let token = forged.claim("tid", &*path).header("kid", &*path).sign();
            let request = format!(
                "{method} /a{path} HTTP/1.1\r\nHost: {method}.example\r\nX-Request-Id: {method}\r\n\
                 Authorization: Bearer {token}\r\n\r\n"
            );
            client.send(request).await;
            client.answer().await.unwrap();
        }
        counts.push(samples(&rig).await.len());
    }
    assert_eq!(counts[0], counts[1], "{:#?}", samples(&rig).await);
}

#[tokio::test]
async fn the_reader_gets_the_format_that_it_asks_for_and_every_name_is_documented() {
    let rig = Rig::new(ROUTES, |_| ok(), change).await;
    assert_eq!(send(&rig, "GET /a/1", Some(&rig.token("alice"))).await, 200);
    assert_eq!(send(&rig, "GET /a/1", None).await, 401);
    let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let open = scrape(&rig, prometheus).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.all("content-type"), [kind]);
    assert!(open.body.ends_with("# EOF\n"));
    let old = scrape(&rig, "*/*").await;
    assert_eq!(
        old.all("content-type"),
        ["text/plain; version=0.0.4; charset=utf-8"]
    );
    let declared: Vec<&str> = old
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(declared.len() > 20, "{declared:?}");
    for name in declared {
        assert!(DOCUMENT.contains(&format!("| `{name}` |")), "{name}");
    }
}
