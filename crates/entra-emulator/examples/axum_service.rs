//! A small axum service that calls Azure Resource Manager on behalf of its callers, and its tests, in which
//! the emulator runs in process. `cargo test -p entra-emulator --example axum_service` runs them.
//!
//! The service is a bare one, so that there is something to test: it exchanges a token with each
//! request and judges none itself. tower-obo is what to use in its place.

use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use serde_json::Value;

/// Where Entra ID and Resource Manager are, and who the service is.
#[derive(Clone)]
struct Service {
    token_url: String,
    arm_url: String,
    client_id: String,
    client_secret: String,
}

fn router(service: Service) -> Router {
    Router::new()
        .route("/names", get(names))
        .with_state(service)
}

/// The names of the caller's subscriptions, one a line.
async fn names(
    State(service): State<Service>,
    headers: HeaderMap,
) -> Result<String, (StatusCode, String)> {
    let assertion = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or((StatusCode::UNAUTHORIZED, "no token".to_owned()))?;
    let failed = |error: reqwest::Error| (StatusCode::BAD_GATEWAY, error.to_string());
    let client = reqwest::Client::new();
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", &service.client_id),
        ("client_secret", &service.client_secret),
        ("assertion", assertion),
        ("scope", "https://management.azure.com/user_impersonation"),
        ("requested_token_use", "on_behalf_of"),
    ];
    let exchanged = client.post(&service.token_url).form(&form).send().await;
    let exchanged = exchanged.map_err(failed)?;
    if !exchanged.status().is_success() {
        let error: Value = exchanged.json().await.unwrap_or_default();
        let says = error["error"].as_str().unwrap_or("no answer").to_owned();
        return Err((StatusCode::FORBIDDEN, says));
    }
    let exchanged: Value = exchanged.json().await.map_err(failed)?;
    let token = exchanged["access_token"].as_str().unwrap_or_default();
    let url = format!("{}/subscriptions?api-version=2022-12-01", service.arm_url);
    let list = client.get(url).bearer_auth(token).send().await;
    let list: Value = list.map_err(failed)?.json().await.map_err(failed)?;
    let names = list["value"].as_array().into_iter().flatten();
    let names = names.filter_map(|one| one["displayName"].as_str());
    Ok(names.collect::<Vec<_>>().join("\n"))
}

/// `cargo run --example axum_service`: the service at the emulator that runs on the usual ports.
#[tokio::main]
async fn main() -> std::io::Result<()> {
    use entra_emulator::demo;

    let service = Service {
        token_url: format!("http://127.0.0.1:9400/{}/oauth2/v2.0/token", demo::CONTOSO),
        arm_url: "http://127.0.0.1:9401".to_owned(),
        client_id: demo::API_CLIENT_ID.to_owned(),
        client_secret: demo::API_CLIENT_SECRET.to_owned(),
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 3001)).await?;
    axum::serve(listener, router(service)).await
}

#[cfg(test)]
mod tests {
    use entra_emulator::directory::{Mfa, Subscription, User};
    use entra_emulator::{Directory, Emulator, Endpoint, Fault, demo};

    use super::*;

    /// An emulator of the test's own, with a user of the test's own, and the service in front of it.
    async fn world() -> (Emulator, String) {
        let zoe = User::new(demo::CONTOSO, "zoe@contoso.example")
            .subscription(Subscription::new("Zoo").tag("animals", "many"));
        let emulator = Emulator::builder()
            .directory(Directory::demo().with_user(zoe))
            .start()
            .await
            .unwrap();
        let service = Service {
            token_url: emulator.token_url(demo::CONTOSO),
            arm_url: emulator.arm_url().to_owned(),
            client_id: demo::API_CLIENT_ID.to_owned(),
            client_secret: demo::API_CLIENT_SECRET.to_owned(),
        };
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap();
        let url = format!("http://{}/names", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router(service)).await });
        (emulator, url)
    }

    async fn ask(url: &str, token: &str) -> (u16, String) {
        let answer = reqwest::Client::new().get(url).bearer_auth(token).send();
        let answer = answer.await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    #[tokio::test]
    async fn a_user_sees_their_own_subscriptions() {
        let (emulator, url) = world().await;
        let (status, names) = ask(&url, &emulator.user_token("zoe")).await;
        assert_eq!((status, &*names), (200, "Zoo"));
        // What the service asked Entra ID is there to be looked at.
        let asked = emulator.requests(Endpoint::Token);
        let use_of_it = asked[0].parameter("requested_token_use");
        assert_eq!(use_of_it.as_deref(), Some("on_behalf_of"));
    }

    #[tokio::test]
    async fn a_second_factor_and_an_outage_are_errors_and_not_empty_lists() {
        let (emulator, url) = world().await;
        let zoe = emulator.user_token("zoe");
        emulator
            .update_directory(|directory| directory.user_mut("zoe").unwrap().mfa = Mfa::Required);
        assert_eq!(
            ask(&url, &zoe).await,
            (403, "interaction_required".to_owned())
        );
        emulator.fail(Endpoint::Token, Fault::reset(), 1);
        assert_eq!(ask(&url, &zoe).await.0, 502);
    }

    #[tokio::test]
    async fn a_token_for_somebody_else_is_refused_by_entra_id() {
        let (emulator, url) = world().await;
        let foreign = emulator
            .token()
            .user("zoe")
            .claim("aud", "somebody else")
            .sign();
        assert_eq!(ask(&url, &foreign).await, (403, "invalid_grant".to_owned()));
    }
}
