//! The access log: a line for each request, and nothing in it that is nobody's business.

use std::{
    io,
    sync::{Arc, Mutex},
};

use obo_gateway::{AccessLog, Config};
use serde_json::Value;

use crate::{client::in_time, rig::Rig, upstream::ok};

const ROUTES: &str = "[[route]]\npath = '/a/*'\nmethods = ['GET']\ndownstream = 'arm'\n\
     [[route]]\npath = '/open/*'\naccess = 'public'\n";

/// What was written.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Every field of the lines is in `docs/logs.md`.
    pub(crate) fn assert_documented(&self) {
        let page = include_str!("../../../docs/logs.md");
        for line in self.text().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            for name in line.as_object().unwrap().keys() {
                assert!(
                    page.contains(&format!("`{name}`")),
                    "docs/logs.md has no {name}"
                );
            }
        }
    }

    /// The lines, once there are so many.
    pub(crate) async fn lines(&self, count: usize) -> Vec<Value> {
        in_time(async {
            while self.text().matches('\n').count() < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    pub(crate) fn change(&self) -> impl FnOnce(&mut Config) + use<> {
        let log = AccessLog::json(self.clone());
        move |config| config.access_log = Some(log)
    }
}

#[tokio::test]
async fn each_request_has_one_line_that_says_what_became_of_it() {
    let written = Written::default();
    let rig = Rig::new(ROUTES, |_| ok(), written.change()).await;
    let alice = format!("Authorization: Bearer {}\r\n", rig.token("alice"));
    let emulator = rig.emulator.as_ref().unwrap();
    let bob = emulator.user_token_without_consent("bob");
    let bob = format!("Authorization: Bearer {bob}\r\n");
    for (line, headers, status) in [
        ("GET /a/1", &*alice, 200),
        ("GET /a/2", &*bob, 403),
        ("GET /a/3", "X-Request-Id: mine\r\n", 401),
        ("PUT /a/4", "", 405),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: gw\r\n{headers}\r\n");
        assert_eq!(rig.exchange(request).await.status, status, "{line}");
    }
    let lines = written.lines(4).await;
    let [served, consent, nobody, method] = &lines[..] else {
        panic!("{lines:#?}");
    };
    for (line, path, route, status, outcome) in [
        (served, "/a/1", "GET /a/*", 200, "2xx"),
        (consent, "/a/2", "GET /a/*", 403, "caller"),
        (nobody, "/a/3", "GET /a/*", 401, "caller"),
        (method, "/a/4", "none", 405, "caller"),
    ] {
        assert_eq!(line["path"], path);
        assert_eq!(line["route"], route, "{path}");
        assert_eq!(line["status"], status, "{path}");
        assert_eq!(line["outcome"], outcome, "{path}");
        assert_eq!(line["ended"], "complete", "{path}");
        let total = line["duration_ms"].as_f64().unwrap();
        let answered = line["answer_ms"].as_f64().unwrap();
        assert!(answered > 0. && total >= answered, "{line}");
        for (part, there) in [
            ("validation_ms", route != "none"),
            ("exchange_ms", route != "none" && path != "/a/3"),
            ("upstream_ms", path == "/a/1"),
        ] {
            assert_eq!(line[part].is_number(), there, "{part} of {line}");
        }
    }
    written.assert_documented();
    assert_eq!(consent["aadsts"], "AADSTS65001");
    assert_eq!(consent["problem"], "consent-required");
    assert_eq!(served["request_id"].as_str().unwrap().len(), 32);
    assert_eq!(nobody["request_id"], "mine");
    assert_eq!(nobody["problem"], "missing-token");
}

#[tokio::test]
async fn what_is_no_request_has_a_line_that_says_so() {
    let written = Written::default();
    let rig = Rig::new(ROUTES, |_| ok(), written.change()).await;
    let answer = rig.exchange("GET /a?secret\r\n\r\n").await;
    assert_eq!(answer.status, 400);
    let lines = written.lines(1).await;
    let line = &lines[0];
    assert_eq!(line["request_id"], answer.all("x-request-id")[0]);
    for (name, value) in [
        ("method", "-"),
        ("path", "-"),
        ("route", "none"),
        ("outcome", "caller"),
        ("problem", "bad-request"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!(line["status"], 400);
    assert_eq!(lines.len(), 1);
    assert!(!written.text().contains("secret"));
}

#[tokio::test]
async fn lo_01_neither_tokens_nor_cookies_nor_queries_are_in_the_access_log() {
    let written = Written::default();
    let rig = Rig::new(ROUTES, |_| ok(), written.change()).await;
    let token = rig.token("alice");
    for path in ["/a/1", "/open/1", "/nowhere"] {
        let request = format!(
            "GET {path}?code=secret-query HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\
             Cookie: secret-cookie\r\nX-Api-Key: secret-key\r\n\r\n"
        );
        rig.exchange(request).await;
    }
    written.lines(3).await;
    let text = written.text();
    assert!(!text.contains("secret") && !text.contains('?'), "{text}");
    let signature = token.rsplit('.').next().unwrap();
    assert!(!text.contains(signature), "{text}");
    let sent = rig.upstream.seen();
    let downstream = sent[0].all("authorization")[0].rsplit('.').next().unwrap();
    assert!(!text.contains(downstream), "{text}");
}

#[tokio::test]
async fn lo_02_what_callers_write_makes_no_second_line() {
    let written = Written::default();
    let rig = Rig::new(ROUTES, |_| ok(), written.change()).await;
    for path in [
        "/open/%0d%0a%7b%22status%22:200%7d",
        "/open/\"},{\"status\":200",
        "/open/%1b[2J",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: gw\r\n\r\n");
        rig.exchange(request).await;
    }
    rig.exchange("GET /open/last HTTP/1.1\r\nHost: gw\r\nX-Request-Id: a\"b\r\n\r\n")
        .await;
    in_time(async {
        while !written.text().contains("/open/last") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Every line is an object of its own, for the path that was asked for.
    for line in written.lines(1).await {
        let path = line["path"].as_str().unwrap();
        assert!(
            path.starts_with("/open/") && line["route"].is_string(),
            "{line}"
        );
    }
}
