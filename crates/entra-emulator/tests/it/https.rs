//! The https base: the same emulator, another issuer.

use std::time::Duration;

use entra_emulator::{Emulator, Endpoint, demo};
use serde_json::Value;

use crate::support::{Answer, claims_of, client, exchange, obo_form, start, trusting};

async fn secure() -> Emulator {
    Emulator::builder().https().start().await.unwrap()
}

async fn get(emulator: &Emulator, url: String) -> Value {
    let response = trusting(emulator).get(&url).send().await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn the_https_base_advertises_and_mints_its_own_issuer() {
    let emulator = secure().await;
    let (url, contoso) = (emulator.https_url().unwrap(), demo::CONTOSO);
    for (path, issuer) in [
        ("/v2.0", format!("{url}/{contoso}/v2.0")),
        ("", format!("{url}/{contoso}/")),
    ] {
        let document = get(
            &emulator,
            format!("{url}/{contoso}{path}/.well-known/openid-configuration"),
        )
        .await;
        assert_eq!(document["issuer"], issuer);
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "end_session_endpoint",
            "jwks_uri",
        ] {
            let endpoint = document[name].as_str().unwrap();
            assert!(
                endpoint.starts_with(&format!("{url}/{contoso}/")),
                "{endpoint}"
            );
        }
        let keys = get(&emulator, document["jwks_uri"].as_str().unwrap().to_owned()).await;
        assert_eq!(keys["keys"][0]["kid"], emulator.current_kid());
    }
    emulator.grant_consent("alice");
    let assertion = emulator.token().https().sign();
    assert_eq!(
        claims_of(&assertion)["iss"],
        format!("{url}/{contoso}/v2.0")
    );
    let answer = over_https(&emulator, &assertion).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let arm = claims_of(answer.text("access_token"));
    assert_eq!(arm["iss"], format!("{url}/{contoso}/"));
}

async fn over_https(emulator: &Emulator, assertion: &str) -> Answer {
    let url = emulator.https_url().unwrap();
    let request = trusting(emulator)
        .post(format!("{url}/{}/oauth2/v2.0/token", demo::CONTOSO))
        .form(&obo_form(assertion));
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_token_of_one_base_is_foreign_to_the_other() {
    let emulator = secure().await;
    emulator.grant_consent("alice");
    let (http, https) = (emulator.token().sign(), emulator.token().https().sign());
    over_https(&emulator, &http)
        .await
        .assert_refused(400, "invalid_grant", 50_013);
    exchange(&emulator, &https, &[])
        .await
        .assert_refused(400, "invalid_grant", 50_013);
}

#[tokio::test]
async fn resource_manager_is_there_over_https_too() {
    let emulator = secure().await;
    let arm = emulator.arm_https_url().unwrap();
    let list = |token: String| {
        trusting(&emulator)
            .get(format!("{arm}/subscriptions?api-version=2022-12-01"))
            .bearer_auth(token)
            .send()
    };
    let token = emulator.token().user("grace").arm().https().sign();
    let answer = Answer::of(list(token).await.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.text("nextLink").starts_with(&format!("{arm}/")));
    let foreign = Answer::of(list(emulator.arm_token("grace")).await.unwrap()).await;
    assert_eq!(foreign.status, 401);
    assert_eq!(emulator.count(Endpoint::Arm), 2);
}

#[tokio::test]
async fn nobody_is_served_who_does_not_trust_the_authority_or_speaks_plain_http() {
    let (emulator, other) = (secure().await, secure().await);
    let url = emulator.https_url().unwrap();
    for stranger in [client(), trusting(&other)] {
        assert!(stranger.get(url).send().await.is_err());
    }
    assert!(
        client()
            .get(url.replace("https:", "http:"))
            .send()
            .await
            .is_err()
    );
    assert_eq!(
        trusting(&emulator).get(url).send().await.unwrap().status(),
        200
    );
    assert_ne!(emulator.ca_pem(), other.ca_pem());
}

#[tokio::test]
async fn the_certificate_is_good_for_every_name_of_this_machine() {
    let emulator = secure().await;
    let url = url::Url::parse(emulator.https_url().unwrap()).unwrap();
    let port = url.port().unwrap();
    let client = trusting(&emulator);
    // What is listened on is IPv4, which is where the name leads in the end.
    for host in ["127.0.0.1", "localhost"] {
        let response = client.get(format!("https://{host}:{port}/")).send().await;
        assert_eq!(response.unwrap().status(), 200, "{host}");
    }
}

#[tokio::test]
async fn a_client_that_never_finishes_its_handshake_holds_nobody_up() {
    let emulator = secure().await;
    let url = url::Url::parse(emulator.https_url().unwrap()).unwrap();
    let address = (url.host_str().unwrap(), url.port().unwrap());
    let silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = trusting(&emulator).get(url).send();
    let served = tokio::time::timeout(Duration::from_secs(5), request).await;
    assert_eq!(served.unwrap().unwrap().status(), 200);
    drop(silent);
}

#[tokio::test]
async fn a_session_cookie_of_the_https_base_is_secure() {
    let emulator = secure().await;
    let path = format!(
        "/{}/oauth2/v2.0/authorize?client_id={}&response_type=code&scope=openid&redirect_uri={}",
        demo::CONTOSO,
        demo::UI_CLIENT_ID,
        demo::UI_REDIRECT_URI
    );
    for (base, secure) in [
        (emulator.https_url().unwrap(), true),
        (emulator.url(), false),
    ] {
        let page = trusting(&emulator).get(format!("{base}{path}"));
        let page = page.send().await.unwrap();
        let cookie = page.headers()["set-cookie"].to_str().unwrap();
        assert_eq!(cookie.contains("; Secure"), secure, "{cookie}");
    }
}

#[tokio::test]
async fn https_is_there_when_it_was_asked_for() {
    let emulator = start().await;
    assert_eq!(
        (emulator.https_url(), emulator.arm_https_url()),
        (None, None)
    );
    assert_eq!(emulator.ca_pem(), None);
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let refused = Emulator::builder().https_listen(everywhere).start().await;
    assert!(refused.is_err());
    let refused = Emulator::builder()
        .arm_https_listen(everywhere)
        .start()
        .await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn an_advertised_https_base_may_have_another_name() {
    let emulator = Emulator::builder()
        .https_url("https://login.test:9443/")
        .start()
        .await
        .unwrap();
    assert_eq!(emulator.https_url(), Some("https://login.test:9443"));
    let claims = claims_of(&emulator.token().https().sign());
    let issuer = format!("https://login.test:9443/{}/v2.0", demo::CONTOSO);
    assert_eq!(claims["iss"], issuer);
}

#[tokio::test]
async fn a_shutdown_closes_https_too() {
    let emulator = secure().await;
    let client = trusting(&emulator);
    let url = emulator.https_url().unwrap().to_owned();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    emulator.shutdown().await;
    let address = url.strip_prefix("https://").unwrap();
    // The accepting task hears of it a moment later. A connection would wake it in any case, so this
    // looks whether the address can be had.
    let free = async {
        while tokio::net::TcpListener::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), free)
        .await
        .unwrap();
}
