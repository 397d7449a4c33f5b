//! The audit log: a line for each decision on a token, by ids and never by names.

use entra_emulator::demo as ids;
use obo_gateway::{AuditLog, Config};
use serde_json::Value;

use crate::{
    access_log::Written,
    client::in_time,
    rig::Rig,
    upstream::{Reply, Seen, ok},
};

const ROUTES: &str = "[[route]]\npath = '/a/*'\nmethods = ['GET']\ndownstream = 'arm'\n\
     [[route]]\npath = '/other'\nscopes = ['other']\ndownstream = 'arm'\n\
     [[route]]\npath = '/open'\naccess = 'public'\n";

fn change(written: &Written) -> impl FnOnce(&mut Config) + use<> {
    let log = AuditLog::json(written.clone());
    move |config| config.audit_log = Some(log)
}

fn script(seen: &Seen) -> Reply {
    if seen.line().contains("challenge") {
        let claims = "eyJhY2Nlc3NfdG9rZW4iOnt9fQ==";
        return Reply::Keep(format!(
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nWWW-Authenticate: Bearer \
             error=\"insufficient_claims\", claims=\"{claims}\"\r\n\r\n"
        ));
    }
    ok()
}

async fn ask(rig: &Rig, path: &str, token: &str) -> u16 {
    let authorization = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    rig.exchange(format!(
        "GET {path} HTTP/1.1\r\nHost: gw\r\n{authorization}\r\n"
    ))
    .await
    .status
}

/// The claims of a token, as whoever sent it has them.
fn claims(token: &str) -> Value {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn each_decision_has_one_line_that_says_whom_it_was_about() {
    let written = Written::default();
    let rig = Rig::new(ROUTES, script, change(&written)).await;
    let emulator = rig.emulator.as_ref().unwrap();
    let alice = rig.token("alice");
    let bob = emulator.user_token_without_consent("bob");
    for (path, token, status) in [
        ("/open", "", 200),
        ("/a/first", &*alice, 200),
        ("/a/known", &alice, 200),
        ("/a/consent", &bob, 403),
        ("/other", &alice, 403),
        ("/a/challenge", &alice, 401),
        ("/nowhere", &alice, 404),
    ] {
        assert_eq!(ask(&rig, path, token).await, status, "{path}");
    }
    let lines = written.lines(6).await;
    assert_eq!(lines.len(), 6, "none where nothing is decided: {lines:#?}");
    let read = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    for (line, route, token, outcome) in [
        (&lines[0], "GET /a/*", &alice, "admitted"),
        (&lines[1], "GET /a/*", &alice, "admitted"),
        (&lines[2], "GET /a/*", &bob, "consent-required"),
        (&lines[3], "/other", &alice, "insufficient-scope"),
        (&lines[4], "GET /a/*", &alice, "admitted"),
        (&lines[5], "GET /a/*", &alice, "insufficient-claims"),
    ] {
        assert_eq!(read(line, "log"), "audit");
        assert_eq!(read(line, "route"), route, "{line}");
        assert_eq!(read(line, "outcome"), outcome, "{line}");
        assert_eq!(read(line, "downstream"), "arm", "{line}");
        let claims = claims(token);
        for (ours, theirs) in [
            ("tid", "tid"),
            ("oid", "oid"),
            ("azp", "azp"),
            ("uti", "uti"),
        ] {
            assert_eq!(line[ours], claims[theirs], "{ours} of {line}");
            assert!(line[ours].is_string(), "{ours} of {line}");
        }
        let refused = outcome != "admitted";
        assert_eq!(line["actor"].is_string(), refused, "{line}");
        assert_eq!(line["correlation_id"].is_string(), refused, "{line}");
    }
    written.assert_documented();
    assert_eq!(lines[0]["tid"], ids::CONTOSO);
    assert_eq!(lines[2]["aadsts"], "AADSTS65001");
    // One request, two decisions.
    assert_eq!(lines[4]["request_id"], lines[5]["request_id"]);
}

#[tokio::test]
async fn a_token_that_is_not_valid_names_nobody() {
    let written = Written::default();
    let rig = Rig::new(ROUTES, script, change(&written)).await;
    let token = rig.emulator.as_ref().unwrap().token();
    let expired = token.expires_in(-3_600).sign();
    assert_eq!(ask(&rig, "/a/1", &expired).await, 401);
    assert_eq!(ask(&rig, "/a/2", "").await, 401);
    let lines = written.lines(2).await;
    for (line, outcome) in lines.iter().zip(["invalid-token", "missing-token"]) {
        assert_eq!(line["outcome"], outcome);
        assert_eq!(line["actor"], "caller");
        for claim in ["tid", "oid", "azp", "uti"] {
            assert!(line[claim].is_null(), "{claim} of {line}");
        }
    }
}

#[tokio::test]
async fn lo_01_the_audit_log_has_neither_tokens_nor_names_nor_queries() {
    let written = Written::default();
    let rig = Rig::new(ROUTES, script, change(&written)).await;
    let alice = rig.token("alice");
    for path in [
        "/a/1?code=secret",
        "/other?code=secret",
        "/a/challenge?secret",
    ] {
        ask(&rig, path, &alice).await;
    }
    written.lines(4).await;
    let text = written.text();
    let claims = claims(&alice);
    let mut secrets = vec![
        alice.rsplit('.').next().unwrap().to_owned(),
        "secret".to_owned(),
    ];
    for claim in ["name", "preferred_username", "upn", "email", "ipaddr"] {
        secrets.extend(claims[claim].as_str().map(str::to_owned));
    }
    assert!(secrets.len() > 2, "the token has a name: {claims}");
    for seen in rig.upstream.seen() {
        let token = seen.all("authorization")[0].rsplit('.').next().unwrap();
        secrets.push(token.to_owned());
    }
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn lo_02_what_stands_in_claims_makes_no_second_line_and_tells_a_terminal_nothing() {
    let hostile = "a\r\n{\"log\":\"audit\"}\u{1b}[2J\u{85}\u{2028}\"";
    for json in [true, false] {
        let written = Written::default();
        let log = match json {
            true => AuditLog::json(written.clone()),
            false => AuditLog::text(written.clone()),
        };
        let rig = Rig::new(ROUTES, script, |config| config.audit_log = Some(log)).await;
        let token = rig.emulator.as_ref().unwrap().token();
        let long = "b".repeat(5_000);
        let token = token.claim("uti", hostile).claim("azp", long).sign();
        ask(&rig, "/other", &token).await;
        in_time(async {
            while !written.text().contains('\n') {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let text = written.text();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        let line = text.strip_suffix('\n').unwrap();
        assert!(line.len() < 3_000, "{}", line.len());
        let bad = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        assert!(!line.contains(bad), "{line:?}");
        assert!(line.contains("uti") && line.contains('…'), "{line}");
    }
}
