//! Traces: what a collector is told of a request, and what upstreams are told of where it stands.

use std::time::Duration;

use obo_gateway::AccessLog;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};

use crate::{
    access_log::Written,
    client::in_time,
    collector::{Collector, text},
    rig::Rig,
    upstream::{Reply, Seen, ok, refusing},
};

const ROUTES: &str = "[[route]]\npath = '/a/*'\ndownstream = 'arm'\n\
     [[route]]\npath = '/open/*'\naccess = 'public'\n";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn file(endpoint: impl std::fmt::Display, ratio: &str) -> String {
    format!("[traces]\nendpoint = 'http://{endpoint}'\nratio = {ratio}\n{ROUTES}")
}

fn script(seen: &Seen) -> Reply {
    if seen.line().contains("/open/broken") {
        return Reply::Close(String::new());
    }
    ok()
}

async fn rig(collector: &Collector, ratio: &str) -> Rig {
    Rig::new(&file(collector.address, ratio), script, |_| {}).await
}

async fn ask(rig: &Rig, target: &str, headers: &str) -> u16 {
    let request = format!("GET {target} HTTP/1.1\r\nHost: gw\r\n{headers}\r\n");
    rig.exchange(request).await.status
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut named = spans.iter().filter(|span| span.name == name);
    let one = named.next();
    assert!(named.next().is_none(), "{name} twice: {spans:#?}");
    one.unwrap_or_else(|| panic!("no {name}: {spans:#?}"))
}

/// The last request's, as the upstream saw it.
fn traceparent(rig: &Rig) -> String {
    let seen = rig.upstream.seen();
    let lines = seen.last().unwrap().all("traceparent");
    assert!(lines.len() <= 1, "{lines:?}");
    lines.concat()
}

#[tokio::test]
async fn a_request_is_a_span_in_the_callers_trace_with_one_for_each_thing_it_waited_for() {
    let collector = Collector::start().await;
    let rig = rig(&collector, "0").await;
    let headers = format!(
        "Authorization: Bearer {}\r\ntraceparent: 00-{TRACE}-{CALLER}-01\r\ntracestate: a=1,b=2\r\n\
         X-Request-Id: mine\r\n",
        rig.token("alice")
    );
    assert_eq!(ask(&rig, "/a/1?code=secret", &headers).await, 200);
    let spans = collector.spans(4).await;
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert_eq!(collector.resource("service.name"), "obo-gateway");
    let all = named(&spans, "GET /a/*");
    assert_eq!(all.kind(), SpanKind::Server);
    assert_eq!(hex(&all.parent_span_id), CALLER);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/a/*"),
        ("url.path", "/a/1"),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("http.response.body.size", "2"),
        ("obo.outcome", "2xx"),
        ("obo.ended", "complete"),
        ("obo.request_id", "mine"),
    ] {
        assert_eq!(text(&all.attributes, name), value, "{name}");
    }
    for name in ["validation", "exchange", "upstream"] {
        let part = named(&spans, name);
        assert_eq!(part.parent_span_id, all.span_id, "{name}");
        assert!(
            part.start_time_unix_nano >= all.start_time_unix_nano,
            "{name}"
        );
        assert!(
            part.end_time_unix_nano >= part.start_time_unix_nano,
            "{name}"
        );
        assert!(part.end_time_unix_nano <= all.end_time_unix_nano, "{name}");
    }
    for span in &spans {
        assert_eq!(hex(&span.trace_id), TRACE);
        assert_eq!(span.trace_state, "a=1,b=2");
    }
    let exchange = named(&spans, "exchange");
    assert_eq!(text(&exchange.attributes, "obo.downstream"), "arm");
    let upstream = named(&spans, "upstream");
    assert_eq!(upstream.kind(), SpanKind::Client);
    // The upstream's own spans belong under this one.
    let ours = format!("00-{TRACE}-{}-01", hex(&upstream.span_id));
    assert_eq!(traceparent(&rig), ours);
    assert_eq!(rig.only_seen().all("tracestate"), ["a=1,b=2"]);
}

#[tokio::test]
async fn what_went_wrong_is_in_the_span() {
    let collector = Collector::start().await;
    let rig = rig(&collector, "1.0").await;
    let bob = rig
        .emulator
        .as_ref()
        .unwrap()
        .user_token_without_consent("bob");
    let bob = format!("Authorization: Bearer {bob}\r\n");
    assert_eq!(ask(&rig, "/a/1", &bob).await, 403);
    assert_eq!(ask(&rig, "/open/broken", "").await, 502);
    assert_eq!(ask(&rig, "/nowhere", "").await, 404);
    let spans = collector.spans(6).await;
    let consent = named(&spans, "GET /a/*");
    assert_eq!(text(&consent.attributes, "error.type"), "consent-required");
    assert_eq!(text(&consent.attributes, "obo.aadsts"), "65001");
    let is_error = |span: &Span| {
        let status = span.status.clone().unwrap_or_default();
        status.code() == StatusCode::Error
    };
    assert!(!is_error(consent), "that is the caller's affair");
    let broken = named(&spans, "GET /open/*");
    assert_eq!(text(&broken.attributes, "obo.outcome"), "upstream");
    assert!(is_error(broken));
    let nowhere = named(&spans, "GET");
    assert_eq!(
        text(&nowhere.attributes, "http.response.status_code"),
        "404"
    );
    assert!(nowhere.parent_span_id.is_empty());
}

#[tokio::test]
async fn a_caller_that_is_not_told_of_is_not_told_of_here_and_nor_is_what_the_ratio_leaves_out() {
    let collector = Collector::start().await;
    let rig = rig(&collector, "0.0").await;
    let unsampled = format!("00-{TRACE}-{CALLER}-00");
    let headers = format!("traceparent: {unsampled}\r\n");
    assert_eq!(ask(&rig, "/open/1", &headers).await, 200);
    assert_eq!(traceparent(&rig), unsampled, "passed on as it is");
    assert_eq!(ask(&rig, "/open/2", "").await, 200);
    let begun_here = traceparent(&rig);
    assert!(
        begun_here.ends_with("-00") && begun_here.len() == 55,
        "{begun_here}"
    );
    // One that is told of, so that all that could have come before has.
    let sampled = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n");
    assert_eq!(ask(&rig, "/open/3", &sampled).await, 200);
    let spans = collector.spans(2).await;
    assert_eq!(spans.len(), 2, "{spans:#?}");
}

#[tokio::test]
async fn lo_05_ids_that_are_not_well_formed_reach_no_upstream() {
    let collector = Collector::start().await;
    let traced = rig(&collector, "1").await;
    let plain = Rig::new(ROUTES, script, |_| {}).await;
    let long = "a".repeat(129);
    for (rig, is_traced) in [(&traced, true), (&plain, false)] {
        for bad in [
            format!("traceparent: 00-{TRACE}-{CALLER}-01-more\r\ntracestate: a=1\r\n"),
            format!("traceparent: {}\r\ntracestate: a=1\r\n", "0".repeat(55)),
            format!("traceparent: 00-{TRACE}-{CALLER}-01\r\ntraceparent: x\r\ntracestate: a=1\r\n"),
            "tracestate: a=1\r\n".to_owned(),
            "traceparent: <script>\r\ntracestate: <script>\r\n".to_owned(),
        ] {
            assert_eq!(ask(rig, "/open/1", &bad).await, 200, "{bad}");
            let ours = traceparent(rig);
            assert_eq!(
                ours.len(),
                if is_traced { 55 } else { 0 },
                "{ours} for {bad}"
            );
            assert!(!ours.contains(TRACE), "{ours}");
            let seen = rig.upstream.seen();
            assert!(seen.last().unwrap().all("tracestate").is_empty(), "{bad}");
        }
        let good = format!("traceparent: 00-{TRACE}-{CALLER}-00\r\ntracestate: <script>\r\n");
        assert_eq!(ask(rig, "/open/1", &good).await, 200);
        assert!(traceparent(rig).contains(TRACE));
        assert!(
            rig.upstream
                .seen()
                .last()
                .unwrap()
                .all("tracestate")
                .is_empty()
        );
        for (id, taken) in [("abc-1", true), ("a b", false), (&*long, false)] {
            let headers = format!("client-request-id: {id}\r\nx-request-id: mine\r\n");
            assert_eq!(ask(rig, "/open/1", &headers).await, 200);
            let seen = rig.upstream.seen();
            let wanted = if taken { id } else { "mine" };
            assert_eq!(seen.last().unwrap().all("client-request-id"), [wanted]);
        }
    }
}

#[tokio::test]
async fn lo_01_no_span_holds_a_token_a_cookie_or_a_query() {
    let collector = Collector::start().await;
    let rig = rig(&collector, "1").await;
    let token = rig.token("alice");
    for path in ["/a/1", "/open/1", "/nowhere"] {
        let headers = format!(
            "Authorization: Bearer {token}\r\nCookie: secret-cookie\r\nX-Api-Key: secret-key\r\n"
        );
        ask(&rig, &format!("{path}?code=secret-query"), &headers).await;
    }
    collector.spans(7).await;
    let told = String::from_utf8_lossy(&collector.bytes()).into_owned();
    assert!(!told.contains("secret"), "{told}");
    assert!(!told.contains(token.rsplit('.').next().unwrap()));
    let sent = rig.upstream.seen();
    let downstream = sent[0].all("authorization")[0].rsplit('.').next().unwrap();
    assert!(!told.contains(downstream));
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_no_request_and_its_spans_are_counted() {
    let file = file(refusing(), "1");
    let rig = Rig::new(&file, script, |config| {
        config.admin = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    for _ in 0..5 {
        assert_eq!(ask(&rig, "/open/1", "").await, 200);
    }
    let admin = rig.gateway.admin_url().unwrap().to_owned();
    let address = admin.strip_prefix("http://").unwrap().parse().unwrap();
    in_time(async {
        loop {
            let mut client = crate::client::Client::connect(address).await;
            client
                .send(format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n"))
                .await;
            let answer = client.answer().await.unwrap();
            if answer
                .body
                .contains("obo_trace_spans_total{result=\"failed\"} 10")
            {
                return;
            }
            assert!(
                answer
                    .body
                    .contains("obo_trace_spans_total{result=\"exported\"} 0")
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_told_last_reaches_the_collector_before_a_shutdown_ends() {
    let collector = Collector::start().await;
    let rig = rig(&collector, "1").await;
    assert_eq!(ask(&rig, "/open/1", "").await, 200);
    in_time(rig.gateway.shutdown()).await;
    assert_eq!(collector.now().len(), 2);
}

#[tokio::test]
async fn the_access_log_has_the_trace() {
    let collector = Collector::start().await;
    let written = Written::default();
    let log = AccessLog::json(written.clone());
    let rig = Rig::new(&file(collector.address, "1"), script, |config| {
        config.access_log = Some(log);
    })
    .await;
    assert_eq!(ask(&rig, "/open/1", "").await, 200);
    let lines = written.lines(1).await;
    let spans = collector.spans(2).await;
    assert_eq!(lines[0]["trace_id"], hex(&spans[0].trace_id));
}
