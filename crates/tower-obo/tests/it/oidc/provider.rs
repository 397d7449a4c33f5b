//! A stand-in for a provider that is not Entra ID.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{OriginalUri, State},
    http::HeaderMap,
    routing::{get, post},
};
use entra_emulator::Signer;
use http::{StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_obo::{
    AccessPolicy, Clock as _, Core, CoreBuilder, Credential, Downstream, Oidc, Policy, TestClock,
};

use crate::{
    answer::Answer,
    fixture::{Upstream, with_token},
};

pub(crate) const SECRET: &str = "s3cret/of:the+shop";
pub(crate) const ISSUED: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What the stand-in was asked, and what it says.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) document: Value,
    pub(crate) jwks: Value,
    answer: Option<(u16, Value)>,
    asked: Vec<(Option<String>, Vec<(String, String)>)>,
    /// Where it was asked for tokens.
    pub(crate) asked_at: Vec<String>,
    /// The client's secret; without it, any will do.
    pub(crate) secret: Option<String>,
    /// What happens before a wrong one is refused, once.
    pub(crate) meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

/// A provider of OpenID Connect on loopback.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    pub(crate) signer: Signer,
    pub(crate) said: Arc<Mutex<Said>>,
    pub(crate) clock: TestClock,
    pub(crate) upstream: Upstream,
    server: tokio::task::JoinHandle<()>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/realms/shop", listener.local_addr().unwrap());
        let signer = Signer::generate().unwrap();
        let said = Said {
            document: json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys"),
                "token_endpoint": format!("{issuer}/token")}),
            jwks: signer.jwks(),
            ..Said::default()
        };
        let said = Arc::new(Mutex::new(said));
        let document = |State(said): State<Arc<Mutex<Said>>>| async move {
            Json(said.lock().unwrap().document.clone())
        };
        let keys = |State(said): State<Arc<Mutex<Said>>>| async move {
            Json(said.lock().unwrap().jwks.clone())
        };
        let router = Router::new()
            .route(
                "/realms/shop/.well-known/openid-configuration",
                get(document),
            )
            .route("/realms/shop/keys", get(keys))
            .route("/realms/shop/token", post(token))
            .route("/realms/shop/moved", post(token))
            .with_state(Arc::clone(&said));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            issuer,
            signer,
            said,
            clock: TestClock::starting_now(),
            upstream: Upstream::default(),
            server,
        }
    }

    pub(crate) fn oidc(&self) -> Oidc {
        let oidc = Oidc::issuer(&*self.issuer).allow_http_loopback(true);
        oidc.roles_claim("realm_access.roles")
    }

    pub(crate) async fn core(&self, oidc: Oidc, credential: Credential) -> Core {
        let core = self.cold(oidc, credential, |builder| builder);
        crate::fixture::load_keys(&core).await;
        core
    }

    /// Nothing has been fetched yet.
    pub(crate) fn cold(
        &self,
        oidc: Oidc,
        credential: Credential,
        configure: impl FnOnce(CoreBuilder) -> CoreBuilder,
    ) -> Core {
        let builder = Core::builder(oidc)
            .client("shop-api", credential)
            .with_clock(self.clock.clone());
        configure(builder).build().unwrap()
    }

    /// A user's token, with these claims in place of its own.
    pub(crate) fn token(&self, changes: &Value) -> String {
        let now = self.clock.now().as_unix();
        let mut claims = json!({"iss": self.issuer, "aud": "shop-api", "exp": now + 300, "iat": now,
            "sub": "alice", "azp": "shop-ui", "scope": "openid orders",
            "realm_access": {"roles": ["customer"]}});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({"alg": "RS256", "typ": "at+jwt", "kid": self.signer.kid()});
        self.signer.sign(&header, &claims)
    }

    pub(crate) fn will(&self, status: u16, answer: Value) {
        self.said.lock().unwrap().answer = Some((status, answer));
    }

    pub(crate) fn issues(&self, token: &str) {
        self.will(
            200,
            json!({"access_token": token, "token_type": "Bearer", "expires_in": 300,
                "issued_token_type": ISSUED}),
        );
    }

    pub(crate) fn asked(&self) -> Vec<(Option<String>, Vec<(String, String)>)> {
        self.said.lock().unwrap().asked.clone()
    }

    pub(crate) async fn send(&self, core: &Core, policy: Policy, token: &str) -> Answer {
        let service = core.layer(policy).unwrap().layer(self.upstream.clone());
        Answer::of(service.oneshot(with_token(token)).await.unwrap()).await
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn token(
    State(said): State<Arc<Mutex<Said>>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, Json<Value>) {
    let form = url::form_urlencoded::parse(body.as_bytes());
    let form: Vec<(String, String)> = form.into_owned().collect();
    let authorization = headers.get(AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let mut said = said.lock().unwrap();
    let is_wrong = said.secret.is_some() && field(&form, "client_secret") != said.secret.as_deref();
    said.asked.push((authorization, form));
    said.asked_at.push(uri.path().to_owned());
    if is_wrong {
        if let Some(meanwhile) = said.meanwhile.take() {
            meanwhile();
        }
        // As Keycloak says it.
        let answer = json!({"error": "unauthorized_client",
            "error_description": "Invalid client or Invalid client credentials"});
        return (StatusCode::UNAUTHORIZED, Json(answer));
    }
    let (status, answer) = said.answer.clone().unwrap();
    (StatusCode::from_u16(status).unwrap(), Json(answer))
}

pub(crate) fn secret() -> Credential {
    Credential::secret(SECRET)
}

pub(crate) fn policy() -> Policy {
    let orders = Downstream::token_exchange("orders").audience("orders-api");
    Policy::new(AccessPolicy::any_role(["customer"])).downstream(orders.scope("orders"))
}

pub(crate) fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let (_, value) = form.iter().find(|(field, _)| field == name)?;
    Some(value)
}
