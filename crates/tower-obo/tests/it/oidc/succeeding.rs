//! A core that goes on with another's tokens, where keys and token endpoint come of one document.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tower_obo::{Core, CoreBuilder, Oidc};

use super::provider::{Provider, policy, secret};

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Provider {
    /// Other times of keys, so that they are fetched anew.
    fn succeeding(&self, oidc: Oidc) -> CoreBuilder {
        Core::builder(oidc)
            .client("shop-api", secret())
            .with_key_max_age(2 * DAY)
    }

    fn document(&self, name: &str, value: Value) {
        self.said.lock().unwrap().document[name] = value;
    }
}

#[tokio::test]
async fn exchanges_go_where_the_document_that_came_later_says() {
    let provider = Provider::start().await;
    provider.issues("opaque");
    // Nothing of use has come yet when the other takes its place.
    provider.document("issuer", json!("https://another.example"));
    let before = provider.cold(provider.oidc(), secret(), |builder| builder);
    let core = provider.succeeding(provider.oidc());
    let core = core.build_succeeding(&before).unwrap();
    drop(before);
    provider.document("issuer", json!(provider.issuer));
    let alice = provider.token(&json!({}));
    let answer = provider.send(&core, policy(), &alice).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    provider.document(
        "token_endpoint",
        json!(format!("{}/moved", provider.issuer)),
    );
    let later = Core::builder(provider.oidc())
        .client("shop-api", secret())
        .with_key_max_age(3 * DAY)
        .build_succeeding(&core)
        .unwrap();
    let bob = provider.token(&json!({"sub": "bob"}));
    let answer = provider.send(&later, policy(), &bob).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let asked_at = provider.said.lock().unwrap().asked_at.clone();
    assert_eq!(asked_at, ["/realms/shop/token", "/realms/shop/moved"]);
}

#[tokio::test]
async fn another_token_endpoint_that_is_given_is_said_to_be_no_succession() {
    let provider = Provider::start().await;
    let before = provider.cold(provider.oidc(), secret(), |builder| builder);
    let given = provider
        .oidc()
        .token_endpoint(format!("{}/moved", provider.issuer));
    let errors = provider
        .succeeding(given)
        .build_succeeding(&before)
        .unwrap_err();
    let errors = errors.to_string();
    assert!(
        errors.starts_with("token_endpoint: another than"),
        "{errors}"
    );
}
