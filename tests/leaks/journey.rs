//! The journey, and the search.

use std::time::Duration;

use entra_emulator::{Endpoint, Fault, Signature, demo as ids};
use obo_demo::{Demo, Options};
use serde_json::json;

use crate::{
    capture::Capture,
    credentials::{self, logs},
    shown::{COOKIE_VALUE, QUERY, Shown},
};

const OPERATOR: &str = "words-for-the-operator";
const GARBAGE: &str = "garbage-on-the-wire";
const MADE_UP_KID: &str = "kid-that-somebody-made-up";

/// Who travels, and what they have shown and been told on the way.
struct Journey {
    demo: Demo,
    shown: Shown,
}

impl Journey {
    async fn start(log: &Capture) -> Self {
        let log = log.clone();
        let options = Options::free_ports().gateway(move |config| logs(config, &log));
        let demo = Demo::start(options).await.unwrap();
        let kid = demo.emulator().current_kid();
        let secrets = [
            ("the client secret", ids::API_CLIENT_SECRET),
            ("a cookie", COOKIE_VALUE),
            ("a query", QUERY),
            ("the operator's text", OPERATOR),
            ("bytes of a broken server", GARBAGE),
            ("a made-up key id", MADE_UP_KID),
            ("a key id", &*kid),
        ];
        let mut shown = Shown::default();
        for (what, secret) in secrets {
            shown.secret(what, secret);
        }
        Self { demo, shown }
    }

    /// The request with these `Authorization` lines; the status of the answer.
    async fn send(&mut self, lines: &[String]) -> u16 {
        let url = self.demo.gateway().url().to_owned();
        self.shown.send(&url, lines).await
    }

    async fn send_token(&mut self, token: String) -> u16 {
        self.send(&[format!("Bearer {token}")]).await
    }

    fn secret(&mut self, what: &str, text: &str) {
        self.shown.token(what, text);
    }

    /// An exchange that fails like this; the status of the answer.
    async fn exchange(&mut self, user: &str, fault: Fault) -> u16 {
        let token = self.demo.emulator().user_token(user);
        let asked = self.demo.emulator().count(Endpoint::Token);
        self.demo.emulator().fail(Endpoint::Token, fault, 2);
        let mut status = self.send_token(token.clone()).await;
        // A refused credential holds everybody back for some seconds.
        for _ in 0..300 {
            if self.demo.emulator().count(Endpoint::Token) > asked {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            status = self.send_token(token.clone()).await;
        }
        assert!(self.demo.emulator().count(Endpoint::Token) > asked);
        self.demo.emulator().clear_faults();
        status
    }

    /// What the emulator gave out and what it was shown: downstream tokens, assertions.
    fn learn_downstream_tokens(&mut self) {
        for endpoint in [Endpoint::Arm, Endpoint::Token] {
            for request in self.demo.emulator().requests(endpoint) {
                let line = request.header("authorization").unwrap_or_default();
                self.secret("a downstream token", line.trim_start_matches("Bearer "));
                if let Some(assertion) = request.parameter("assertion") {
                    self.secret("an assertion", &assertion);
                }
            }
        }
    }
}

/// An error of Entra ID with text that is meant for whoever runs the API.
fn error(status: u16, error: &str, code: u32) -> Fault {
    Fault::status(status).json(&json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {OPERATOR}\r\nTrace ID: {OPERATOR}"),
        "error_codes": [code],
        "error_uri": format!("https://login.example/{OPERATOR}"),
    }))
}

fn token_answer(token: &str) -> Fault {
    Fault::status(200)
        .json(&json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}))
}

async fn refused_before_any_exchange(journey: &mut Journey) {
    let emulator = |journey: &Journey| journey.demo.emulator().token().user("alice");
    for lines in [
        vec![],
        vec!["Basic YWxpY2U6Z2VoZWltZXMtd29ydA==".to_owned()],
        vec![
            "Bearer one-of-two-tokens".to_owned(),
            "Bearer two-of-two-tokens".to_owned(),
        ],
        vec!["Bearer one-in-a-line, Bearer two-in-a-line".to_owned()],
        vec!["Bearer not.a.jwt-at-all".to_owned()],
        vec![format!("Bearer {}", "far-too-long".repeat(2_000))],
    ] {
        let status = journey.send(&lines).await;
        assert!((400..500).contains(&status), "{lines:?}: {status}");
    }
    let good = emulator(journey).sign();
    let forged = format!("{}{}", &good[..good.len() - 8], "AAAAAAAA");
    let attack = Signature::Hs256(journey.demo.emulator().public_key_pem().into_bytes());
    let refused = [
        (401, forged),
        (401, emulator(journey).expired().sign()),
        (
            401,
            emulator(journey).claim("aud", "api://somebody-else").sign(),
        ),
        (
            401,
            emulator(journey).claim("exp", "a-text-for-a-number").sign(),
        ),
        (401, emulator(journey).header("kid", MADE_UP_KID).sign()),
        (
            401,
            emulator(journey)
                .header("alg", "none")
                .signature(Signature::Empty)
                .sign(),
        ),
        (
            401,
            emulator(journey)
                .header("alg", "HS256")
                .signature(attack)
                .sign(),
        ),
        (401, journey.demo.emulator().user_token("erin")),
        (401, journey.demo.emulator().arm_token("alice")),
        (403, emulator(journey).id_token().sign()),
        (403, emulator(journey).app_only().sign()),
        (403, emulator(journey).scopes(["another-scope"]).sign()),
    ];
    for (at, (expected, token)) in refused.into_iter().enumerate() {
        assert_eq!(journey.send_token(token).await, expected, "{at}");
    }
}

async fn refused_by_entra(journey: &mut Journey) {
    let emulator = journey.demo.emulator();
    let without_consent = emulator.user_token_without_consent("bob");
    let second_factor = emulator.user_token("carol");
    let disabled = emulator.user_token("dave");
    assert_eq!(journey.send_token(without_consent).await, 403);
    assert_eq!(journey.send_token(second_factor).await, 401);
    assert_eq!(journey.send_token(disabled).await, 403);

    let stranger = journey.demo.emulator().arm_token("bob");
    journey.secret("somebody else's token", &stranger);
    journey.secret("a broken token", "a-token-with-a-line");
    for (status, fault) in [
        (502, error(401, "invalid_client", 7_000_215)),
        (502, error(400, "invalid_client", 700_027)),
        (502, error(400, "invalid_resource", 500_011)),
        (502, error(400, "something-else", 1_234_567)),
        (401, error(400, "invalid_grant", 50_013)),
        (401, error(400, "invalid_grant", 50_173)),
        (403, error(400, "invalid_grant", 65_001)),
        (403, error(400, "interaction_required", 53_003)),
        (503, error(503, "temporarily_unavailable", 90_033)),
        (502, Fault::status(200).body(format!("<html>{OPERATOR}"))),
        (503, Fault::status(500).body(OPERATOR)),
        (
            502,
            Fault::status(302).header("location", format!("http://127.0.0.1:1/{OPERATOR}")),
        ),
        (502, token_answer(&stranger)),
        (502, token_answer("a-token-with-a-line\r\nx: y")),
        (503, Fault::reset()),
        (503, Fault::garbage(GARBAGE)),
        // Everybody is held back from then on.
        (503, Fault::status(429).body(OPERATOR)),
    ] {
        let case = format!("{fault:?}");
        assert_eq!(journey.exchange("alice", fault).await, status, "{case}");
    }
}

async fn served_and_challenged(journey: &mut Journey) {
    let token = journey.demo.emulator().user_token("alice");
    assert_eq!(journey.send_token(token.clone()).await, 200);
    let challenge = "Bearer error=\"insufficient_claims\", claims=\"eyJhIjoxfQ==\"";
    let fault = Fault::status(401).header("www-authenticate", challenge);
    journey.demo.emulator().fail(Endpoint::Arm, fault, 1);
    assert_eq!(journey.send_token(token.clone()).await, 401);
    assert_eq!(journey.send_token(token).await, 401);
    for fault in [Fault::reset(), Fault::garbage(GARBAGE), Fault::status(401)] {
        let token = journey.demo.emulator().user_token("alice");
        journey.demo.emulator().fail(Endpoint::Arm, fault, 1);
        assert!(journey.send_token(token).await >= 400);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lo_01_nothing_secret_is_answered_logged_or_shown() {
    let log = Capture::start();
    let mut journey = Journey::start(&log).await;
    refused_before_any_exchange(&mut journey).await;
    served_and_challenged(&mut journey).await;
    refused_by_entra(&mut journey).await;
    journey.learn_downstream_tokens();
    let Journey { demo, mut shown } = journey;
    shown.debug(demo.gateway());
    shown.debug(demo.backend());
    shown.metrics(demo.gateway().admin_url().unwrap()).await;
    demo.shutdown().await;
    credentials::travel(&log, &mut shown).await;

    let log = log.text();
    // It is the log of the gateway and of the library, and it is verbose.
    for word in [
        "tower_obo",
        "obo_gateway",
        "TRACE",
        "request refused",
        "exchange failed",
        "log=access",
        "log=audit",
    ] {
        assert!(log.contains(word), "{word}: {} bytes of log", log.len());
    }
    let found = shown.found(&log);
    assert!(found.is_empty(), "{found}");
    shown.finds_each();
}
