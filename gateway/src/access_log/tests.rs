use super::*;

fn line(json: bool, path: &str) -> String {
    let asked = Asked {
        id: HeaderValue::from_static("the-id"),
        method: Method::GET,
        path: path.to_owned(),
    };
    let answered = Answered {
        route: Some("GET /a/*"),
        status: Some(StatusCode::FORBIDDEN),
        outcome: Outcome::Refused("caller"),
        problem: Some("consent-required"),
        aadsts: Some(65001),
        took: Duration::from_micros(12_034),
        upstream: None,
    };
    let mut line = String::new();
    let mut fields = Fields {
        line: &mut line,
        json,
    };
    fields.all(&asked, &answered);
    line
}

#[test]
fn a_line_says_who_asked_for_what_and_what_became_of_it() {
    let text = line(false, "/a/1");
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(time.starts_with("time=20") && time.ends_with('Z'), "{time}");
    assert_eq!(
        rest,
        "request_id=the-id method=GET path=/a/1 route=\"GET /a/*\" status=403 outcome=caller \
         problem=consent-required aadsts=AADSTS65001 duration_ms=12.034"
    );
    let json: serde_json::Value = serde_json::from_str(&line(true, "/a/1")).unwrap();
    assert_eq!(json["route"], "GET /a/*");
    assert_eq!(json["status"], 403);
    assert_eq!(json["duration_ms"], 12.034);
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
        assert!(line.len() < 1_500 && line.contains('…'), "{}", line.len());
    }
}
