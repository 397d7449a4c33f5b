//! Calls of the API through the gateway, as a client would make them.

use std::{collections::BTreeSet, time::Duration};

use reqwest::{Client, Response};
use serde_json::Value;

/// A client that follows no redirect and does not wait for ever. It keeps no connections: they
/// would belong to the runtime of the test that opened them.
pub fn client() -> Client {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

/// `GET /subscriptions` of the gateway.
pub async fn subscriptions(gateway: &str, token: Option<&str>) -> Response {
    let mut request = client().get(format!("{gateway}/subscriptions"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

/// The names in a list of subscriptions.
pub fn names(list: &Value) -> BTreeSet<String> {
    list["value"]
        .as_array()
        .expect("a list of subscriptions")
        .iter()
        .map(|subscription| subscription["displayName"].as_str().unwrap().to_owned())
        .collect()
}
