use std::{rc::Rc, time::Duration};

use http::{HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::*;
use crate::{
    lines,
    metrics::Refusal,
    record::{Begun, Readers},
    route::Names,
};

fn record(path: &str) -> Box<Record> {
    let readers = Rc::new(Readers::default());
    let mut record = Record::new(
        &readers,
        HeaderValue::from_static("the-id"),
        Method::GET,
        path,
    );
    record.route = Some(Rc::new(Names {
        label: "GET /a/*".into(),
        downstreams: "arm".into(),
        server_timing: false,
    }));
    record.answer = Some(Begun {
        status: StatusCode::FORBIDDEN,
        outcome: Outcome::Refused("caller"),
        refusal: Some(Refusal {
            problem: "consent-required",
            actor: "caller",
        }),
        aadsts: Some(65001),
        after: Duration::from_micros(12_034),
    });
    (record.received, record.sent) = (3, 4_000);
    record
}

fn line_of(json: bool, record: &Record) -> String {
    let line = lines::line(json, LOG, |fields| fill(fields, record));
    line.strip_suffix('\n').unwrap().to_owned()
}

fn line(json: bool, path: &str) -> String {
    line_of(json, &record(path))
}

#[test]
fn a_line_says_who_asked_for_what_and_what_became_of_it() {
    let mut record = record("/a/1");
    let now = Instant::now();
    for (work, micros) in [(Work::Validation, 40), (Work::Exchange, 11_000)] {
        record.add_until(work, now, now + Duration::from_micros(micros));
    }
    let text = line_of(false, &record);
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(time.starts_with("time=20") && time.ends_with('Z'), "{time}");
    let (before, took) = rest.split_once("duration_ms=").unwrap();
    assert_eq!(
        before,
        "log=access request_id=the-id method=GET path=/a/1 route=\"GET /a/*\" status=403 outcome=caller \
         problem=consent-required aadsts=AADSTS65001 ended=cut-off received_bytes=3 sent_bytes=4000 "
    );
    let (_, parts) = took.split_once(' ').unwrap();
    assert_eq!(
        parts,
        "answer_ms=12.034 validation_ms=0.040 exchange_ms=11.000"
    );
    let json: serde_json::Value = serde_json::from_str(&line_of(true, &record)).unwrap();
    assert_eq!(json["route"], "GET /a/*");
    assert_eq!(json["status"], 403);
    assert_eq!(json["sent_bytes"], 4_000);
    assert_eq!(json["answer_ms"], 12.034);
    assert!(json["duration_ms"].is_number());
    assert!(json.get("upstream_ms").is_none());
}

#[test]
fn lo_02_whatever_stands_in_a_path_it_stays_one_line_and_tells_a_terminal_nothing() {
    let hostile = "/a\r\nstatus=200 outcome=\"2xx\" \u{1b}[2J\u{7f}\u{85}\u{2028}\u{9b}31m\\";
    for json in [false, true] {
        let line = line(json, hostile);
        let bad = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        assert!(!line.contains(bad), "{line:?}");
    }
    let read: serde_json::Value = serde_json::from_str(&line(true, hostile)).unwrap();
    assert_eq!(read["path"], hostile);
    assert_eq!(read["status"], 403, "what the path says is no field");
}

#[test]
fn lo_02_what_is_long_is_cut() {
    let long = format!("/{}", "é".repeat(500_000));
    for json in [false, true] {
        let line = line(json, &long);
        assert!(line.len() < 1_600 && line.contains('…'), "{}", line.len());
    }
}
