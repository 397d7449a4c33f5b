//! What came out of the process beside its log, and what must be nowhere in it.

use std::fmt;

use obo_tests::api::client;
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};

pub(crate) const COOKIE_VALUE: &str = "cookie-that-nobody-may-see";
pub(crate) const QUERY: &str = "query-that-nobody-may-see";

#[derive(Default)]
pub(crate) struct Shown {
    answers: String,
    debug: String,
    metrics: String,
    /// What must be nowhere, with what it is.
    secrets: Vec<(String, String)>,
}

impl Shown {
    /// What must be found nowhere from now on.
    pub(crate) fn secret(&mut self, what: &str, text: &str) {
        if text.len() > 8 && !self.secrets.iter().any(|(_, known)| known == text) {
            self.secrets.push((what.to_owned(), text.to_owned()));
        }
    }

    /// The whole, its payload and its signature: the header is the same in all good tokens.
    pub(crate) fn token(&mut self, what: &str, text: &str) {
        self.secret(what, text);
        for part in text.split('.').skip(1) {
            self.secret(what, part);
        }
    }

    /// What `Debug` says of it.
    pub(crate) fn debug(&mut self, value: &impl fmt::Debug) {
        self.debug.push_str(&format!("{value:?}\n"));
    }

    /// The request with this token; the status of the answer.
    pub(crate) async fn get(&mut self, gateway: &str, token: &str) -> u16 {
        self.send(gateway, &[format!("Bearer {token}")]).await
    }

    /// The request with these `Authorization` lines; the status of the answer.
    pub(crate) async fn send(&mut self, gateway: &str, lines: &[String]) -> u16 {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_str(line).unwrap());
            for word in line.split([' ', ',']) {
                self.token("a credential", word);
            }
        }
        headers.insert(COOKIE, format!("session={COOKIE_VALUE}").parse().unwrap());
        let url = format!("{gateway}/subscriptions?api-version=2022-12-01&x={QUERY}");
        let answer = client().get(url).headers(headers).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.text().await.unwrap();
        self.answers
            .push_str(&format!("{status} {headers:?}\n{body}\n"));
        status
    }

    /// What the admin listener says to whoever measures.
    pub(crate) async fn metrics(&mut self, admin: &str) {
        let answer = client().get(format!("{admin}/metrics")).send().await;
        let text = answer.unwrap().text().await.unwrap();
        assert!(text.contains("obo_"), "{text}");
        self.metrics.push_str(&text);
    }

    /// Every secret that stands in the log, or in what came out beside it.
    pub(crate) fn found(&self, log: &str) -> String {
        assert!(self.secrets.len() > 90, "{}", self.secrets.len());
        self.search(&[
            ("an answer", &self.answers),
            ("Debug", &self.debug),
            ("the metrics", &self.metrics),
            ("the log", log),
        ])
    }

    fn search(&self, places: &[(&str, &str)]) -> String {
        let mut found = String::new();
        for (what, secret) in &self.secrets {
            for (place, text) in places {
                assert!(!text.is_empty(), "{place}");
                if let Some(line) = text.lines().find(|line| line.contains(secret)) {
                    found.push_str(&format!("{place} has {what} ({secret:.40}): {line:.200}\n"));
                }
            }
        }
        found
    }

    /// The search itself: each secret is found where it stands in a log, by its name.
    pub(crate) fn finds_each(&self) {
        for (what, secret) in &self.secrets {
            let log = format!("a line\nwith {secret} in it\n");
            let found = self.search(&[("the log", &log)]);
            assert!(found.contains(&format!("the log has {what} (")), "{what}");
        }
    }
}
