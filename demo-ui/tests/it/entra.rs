//! An identity provider for one client, strict where the app has to be right.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use url::Url;

use crate::support::{LOOPBACK, url_of};

pub(crate) const TENANT: &str = "c0a70500-0000-4000-8000-000000000001";
pub(crate) const CLIENT: &str = "ui-client";
pub(crate) const SECRET: &str = "ui-secret";
pub(crate) const SCOPE: &str = "api://api-client/.default";

/// Of access tokens that are signed.
pub(crate) const SIGNATURE: &str = "c2lnbmF0dXJlLW9mLWEtdG9rZW4";

type Form = HashMap<String, String>;

/// What the tests change.
pub(crate) struct Knobs {
    pub(crate) expires_in: u64,
    pub(crate) refresh_tokens: bool,
    /// Answers the token endpoint in place of the provider.
    pub(crate) token_answer: Option<Box<dyn Fn() -> Response + Send>>,
    /// Changes the claims of the next ID tokens.
    pub(crate) claims: Box<dyn Fn(&mut Value) + Send>,
    pub(crate) discovery_fails: bool,
    /// The token endpoint answers so much later.
    pub(crate) slow: Duration,
    /// The next access tokens are signed, with these claims.
    pub(crate) access_claims: Option<Value>,
}

struct Code {
    user: String,
    request: HashMap<String, String>,
}

struct Shared {
    url: Url,
    codes: Mutex<HashMap<String, Code>>,
    refresh_tokens: Mutex<HashMap<String, String>>,
    token_requests: Mutex<Vec<Form>>,
    knobs: Mutex<Knobs>,
    counter: Mutex<u64>,
}

#[derive(Clone)]
pub(crate) struct Entra(Arc<Shared>);

impl Entra {
    pub(crate) async fn start() -> Self {
        Self::start_on(TcpListener::bind(LOOPBACK).await.unwrap())
    }

    pub(crate) fn start_on(listener: TcpListener) -> Self {
        let entra = Self(Arc::new(Shared {
            url: url_of(&listener),
            codes: Mutex::default(),
            refresh_tokens: Mutex::default(),
            token_requests: Mutex::default(),
            knobs: Mutex::new(Knobs {
                expires_in: 3600,
                refresh_tokens: true,
                token_answer: None,
                claims: Box::new(|_| ()),
                discovery_fails: false,
                slow: Duration::ZERO,
                access_claims: None,
            }),
            counter: Mutex::default(),
        }));
        let router = Router::new()
            .route(
                "/{tenant}/v2.0/.well-known/openid-configuration",
                get(discovery),
            )
            .route("/token", post(token))
            .with_state(entra.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        entra
    }

    pub(crate) fn url(&self) -> Url {
        self.0.url.clone()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.0.knobs.lock().unwrap());
    }

    /// The forms that the token endpoint has got.
    pub(crate) fn token_requests(&self) -> Vec<Form> {
        self.0.token_requests.lock().unwrap().clone()
    }

    /// Lets the user sign in and agree: the path and query that the browser is sent back with.
    pub(crate) fn approve(&self, authorize: &str, user: &str) -> String {
        let request = self.request(authorize);
        let code = format!("code-{}", self.next());
        let back = callback(&request, &[("code", &code)]);
        let user = user.to_owned();
        self.0
            .codes
            .lock()
            .unwrap()
            .insert(code, Code { user, request });
        back
    }

    /// Sends the browser back with an error.
    pub(crate) fn refuse(&self, authorize: &str, parameters: &[(&str, &str)]) -> String {
        callback(&self.request(authorize), parameters)
    }

    /// The parameters of an authorization request, which has to be a good one.
    pub(crate) fn request(&self, authorize: &str) -> HashMap<String, String> {
        let url = Url::parse(authorize).unwrap();
        assert_eq!(url.origin(), self.0.url.origin());
        assert_eq!(url.path(), "/authorize");
        let request: HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(request["response_type"], "code");
        assert_eq!(request["client_id"], CLIENT);
        assert_eq!(request["code_challenge_method"], "S256");
        assert_eq!(
            request["scope"],
            format!("{SCOPE} openid profile offline_access")
        );
        assert!(request["state"].len() >= 20 && request["nonce"].len() >= 20);
        request
    }

    fn issuer(&self) -> String {
        format!("{}{TENANT}/v2.0", self.0.url)
    }

    fn next(&self) -> u64 {
        let mut counter = self.0.counter.lock().unwrap();
        *counter += 1;
        *counter
    }

    fn tokens(&self, user: &str, nonce: Option<&str>) -> Response {
        let knobs = self.0.knobs.lock().unwrap();
        let number = self.next();
        let access = match &knobs.access_claims {
            Some(claims) => {
                let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
                format!("e30.{claims}.{SIGNATURE}")
            }
            None => format!("access-{user}-{number}"),
        };
        let mut answer = json!({
            "token_type": "Bearer",
            "expires_in": knobs.expires_in,
            "access_token": access,
        });
        if knobs.refresh_tokens {
            let token = format!("refresh-{number}");
            answer["refresh_token"] = json!(token);
            self.0
                .refresh_tokens
                .lock()
                .unwrap()
                .insert(token, user.to_owned());
        }
        if let Some(nonce) = nonce {
            let mut claims = json!({
                "iss": self.issuer(),
                "aud": CLIENT,
                "exp": OffsetDateTime::now_utc().unix_timestamp() + 3600,
                "nonce": nonce,
                "tid": TENANT,
                "oid": format!("oid-{user}"),
                "sub": format!("sub-{user}"),
                "name": user,
                "preferred_username": format!("{user}@contoso.example"),
            });
            (knobs.claims)(&mut claims);
            let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
            answer["id_token"] = json!(format!("e30.{claims}.c2ln"));
        }
        Json(answer).into_response()
    }
}

fn callback(request: &HashMap<String, String>, parameters: &[(&str, &str)]) -> String {
    let mut url = Url::parse(&request["redirect_uri"]).unwrap();
    assert_eq!(url.path(), "/account/callback");
    url.query_pairs_mut()
        .extend_pairs(parameters)
        .append_pair("state", &request["state"]);
    format!("{}?{}", url.path(), url.query().unwrap())
}

async fn discovery(State(entra): State<Entra>, Path(tenant): Path<String>) -> Response {
    assert_eq!(tenant, TENANT);
    if entra.0.knobs.lock().unwrap().discovery_fails {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "9")],
        )
            .into_response();
    }
    let url = &entra.0.url;
    Json(json!({
        "issuer": entra.issuer(),
        "authorization_endpoint": format!("{url}authorize"),
        "token_endpoint": format!("{url}token"),
        "end_session_endpoint": format!("{url}logout"),
    }))
    .into_response()
}

async fn token(State(entra): State<Entra>, headers: HeaderMap, body: String) -> Response {
    let answer = grant(&entra, &headers, &body);
    let slow = entra.0.knobs.lock().unwrap().slow;
    tokio::time::sleep(slow).await;
    answer
}

fn grant(entra: &Entra, headers: &HeaderMap, body: &str) -> Response {
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    let form: Form = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    entra.0.token_requests.lock().unwrap().push(form.clone());
    if let Some(answer) = &entra.0.knobs.lock().unwrap().token_answer {
        return answer();
    }
    if form["client_id"] != CLIENT || form["client_secret"] != SECRET {
        return (
            StatusCode::UNAUTHORIZED,
            Json(json!({"error": "invalid_client"})),
        )
            .into_response();
    }
    let granted = match form["grant_type"].as_str() {
        "authorization_code" => entra
            .0
            .codes
            .lock()
            .unwrap()
            .remove(&form["code"])
            .filter(|code| {
                let verifier = PkceCodeVerifier::new(form["code_verifier"].clone());
                let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
                challenge.as_str() == code.request["code_challenge"]
                    && form["redirect_uri"] == code.request["redirect_uri"]
            })
            .map(|code| (code.user, Some(code.request["nonce"].clone()))),
        "refresh_token" => entra
            .0
            .refresh_tokens
            .lock()
            .unwrap()
            .remove(&form["refresh_token"])
            .map(|user| (user, None)),
        other => panic!("grant {other}"),
    };
    match granted {
        Some((user, nonce)) => entra.tokens(&user, nonce.as_deref()),
        None => {
            let error = json!({"error": "invalid_grant", "error_codes": [501481]});
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }
    }
}
