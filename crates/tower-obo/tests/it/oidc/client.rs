//! A provider that does not take the client's secret, in Keycloak's words: 401 `unauthorized_client`.

use http::StatusCode;
use serde_json::json;
use tower_obo::Credential;

use super::provider::{Provider, field, policy};
use crate::credentials::kit::Volume;

impl Provider {
    fn secrets(&self) -> Vec<String> {
        let asked = self.asked();
        let secret = |form: &[(String, String)]| field(form, "client_secret").unwrap().to_owned();
        asked.iter().map(|(_, form)| secret(form)).collect()
    }

    fn takes(&self, secret: &str) {
        self.said.lock().unwrap().secret = Some(secret.to_owned());
    }
}

#[tokio::test]
async fn ex_05_a_wrong_secret_is_not_presented_with_every_request() {
    let provider = Provider::start().await;
    let core = provider
        .core(provider.oidc(), Credential::secret("wrong"))
        .await;
    provider.issues("opaque");
    provider.takes("right");
    for user in ["alice", "bob", "grace"] {
        let token = provider.token(&json!({"sub": user}));
        let answer = provider.send(&core, policy(), &token).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{user}");
        assert_eq!(answer.problem_type(), "gateway-misconfigured");
    }
    assert_eq!(provider.secrets(), ["wrong"]);
    provider.clock.advance(std::time::Duration::from_secs(5));
    let token = provider.token(&json!({"sub": "alice"}));
    provider.send(&core, policy(), &token).await;
    assert_eq!(provider.secrets().len(), 2);
}

#[tokio::test]
async fn ex_05_a_secret_that_was_rotated_while_a_request_was_under_way_fails_none() {
    let provider = Provider::start().await;
    let volume = std::sync::Arc::new(Volume::with("secret", "old"));
    let credential = Credential::secret_file(volume.path());
    let core = provider.core(provider.oidc(), credential).await;
    provider.issues("opaque");
    provider.takes("new");
    let file = std::sync::Arc::clone(&volume);
    provider.said.lock().unwrap().meanwhile = Some(Box::new(move || file.put("new")));
    for user in ["alice", "bob"] {
        let token = provider.token(&json!({"sub": user}));
        let answer = provider.send(&core, policy(), &token).await;
        assert_eq!(answer.status, StatusCode::OK, "{user}: {}", answer.body);
    }
    assert_eq!(provider.secrets(), ["old", "new", "new"]);
}

/// Entra ID takes such a token for the application from whoever was shown it.
#[tokio::test]
async fn a_managed_identity_is_no_credential_at_another_provider() {
    let identity = tower_obo::ManagedIdentity::from_lookup(|_| None);
    let credential = Credential::managed_identity(identity);
    let provider = Provider::start().await;
    let builder = tower_obo::Core::builder(provider.oidc()).client("shop-api", credential);
    let errors = builder.build().unwrap_err().to_string();
    assert!(
        errors.starts_with("credential: a managed identity's tokens are for Entra ID"),
        "{errors}"
    );
}
