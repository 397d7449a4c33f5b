//! The admin listener, and starting and stopping.

use std::{net::SocketAddr, time::Duration};

use entra_emulator::{Endpoint, demo as ids};
use obo_gateway::{Config, Running, Sources};
use tokio::time;

use crate::{
    client::{Client, in_time},
    rig::{PUBLIC, Rig},
    upstream::ok,
};

pub(crate) fn with_admin(config: &mut Config) {
    config.admin = Some(([127, 0, 0, 1], 0).into());
}

pub(crate) async fn admin(rig: &Rig) -> Client {
    let url = rig.gateway.admin_url().unwrap();
    Client::connect(url.trim_start_matches("http://").parse().unwrap()).await
}

#[tokio::test]
async fn livez_and_readyz_answer_on_the_admin_listener() {
    let rig = Rig::new("", |_| ok(), with_admin).await;
    let mut client = admin(&rig).await;
    assert_eq!(client.get("/livez").await.status, 200);
    assert_eq!(client.get("/readyz").await.status, 200);
    client
        .send("GET /debug HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 404);
    client
        .send("POST /readyz HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 405);
}

#[tokio::test]
async fn connections_that_are_held_keep_no_probe_away() {
    let rig = Rig::new(PUBLIC, |_| ok(), with_admin).await;
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut client = admin(&rig).await;
        client.send("GET /metrics HTTP/1.1\r\n").await;
        held.push(client);
    }
    // Less than any of them may take.
    let probe = async { admin(&rig).await.get("/livez").await.status };
    let answered = time::timeout(Duration::from_secs(5), probe).await;
    assert_eq!(answered.unwrap(), 200);
    let oldest = time::timeout(Duration::from_secs(5), held[0].rest()).await;
    assert_eq!(oldest.unwrap(), "", "the oldest made room");
}

#[tokio::test]
async fn ad_01_the_public_listener_has_no_admin_paths() {
    let routes = "[[route]]\npath = '/api/*'\naccess = 'public'";
    let rig = Rig::new(routes, |_| ok(), with_admin).await;
    let mut client = rig.client().await;
    for path in [
        "/", "/livez", "/readyz", "/metrics", "/config", "/purge", "/deny", "/debug",
    ] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    rig.assert_nothing_reached_the_upstream();
    // Where a route has them they are the upstream's, like any others.
    assert_eq!(client.get("/api/livez").await.body, "ok");
}

/// A second gateway beside the first, with its credential given as this variable; and where it is
/// probed.
pub(crate) async fn second(rig: &Rig, variable: &str, value: &str) -> (Running, SocketAddr) {
    let second = obo_gateway::start(config_of_second(rig, variable, value));
    let second = second.await.unwrap();
    let url = second.admin_url().unwrap();
    let probe = url.trim_start_matches("http://").parse().unwrap();
    (second, probe)
}

pub(crate) fn config_of_second(rig: &Rig, variable: &str, value: &str) -> Config {
    let text = format!(
        "listen = '127.0.0.1:0'\nupstream = 'http://{}'\n[entra]\ntenant = '{}'\n\
         client_id = '{}'\nauthority = '{}'\nallow_http_loopback = true\n\
         [accept]\nscopes = ['access_as_user']",
        rig.upstream.address,
        ids::CONTOSO,
        ids::API_CLIENT_ID,
        rig.emulator.as_ref().unwrap().url(),
    );
    let mut config = Sources::new()
        .file("second.toml", text)
        .environment(|name| (name == variable).then(|| value.to_owned()))
        .load()
        .unwrap();
    with_admin(&mut config);
    config
}

#[tokio::test]
async fn without_the_secret_s_file_it_runs_and_is_ready_once_the_file_has_come() {
    let rig = Rig::protected().await;
    let path = std::env::temp_dir().join(format!("obo-gateway-late-{}", std::process::id()));
    let named = path.display().to_string();
    let (second, probe) = second(&rig, "OBO_CLIENT_SECRET_FILE", &named).await;
    for content in [None, Some("\n")] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let answer = Client::connect(probe).await.get("/readyz").await;
        assert_eq!(answer.status, 503);
        assert!(answer.body.contains("credential"), "{answer:?}");
    }
    assert_eq!(Client::connect(probe).await.get("/livez").await.status, 200);

    std::fs::write(&path, ids::API_CLIENT_SECRET).unwrap();
    in_time(async {
        while Client::connect(probe).await.get("/readyz").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let token = rig.token("alice");
    let mut client = Client::connect(second.local_addr()).await;
    client
        .send(format!(
            "GET /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    std::fs::remove_file(&path).unwrap();
    assert!(second.is_ready(), "the last good secret stays in use");
}

#[tokio::test]
async fn readyz_names_every_part_that_is_not() {
    let rig = Rig::new("", |_| ok(), with_admin).await;
    let held = rig.emulator.as_ref().unwrap().hold(Endpoint::Keys);
    let (second, probe) = second(&rig, "OBO_CLIENT_SECRET_FILE", "/nowhere/secret").await;
    let answer = Client::connect(probe).await.get("/readyz").await;
    assert_eq!(answer.status, 503);
    for part in ["credential: ", "signing keys"] {
        assert!(answer.body.contains(part), "{answer:?}");
    }
    drop((held, second));
}

#[tokio::test]
async fn ks_01_without_keys_it_runs_refuses_and_recovers_by_itself() {
    let rig = Rig::new("", |_| ok(), with_admin).await;
    let token = rig.token("alice");
    let emulator = rig.emulator.as_ref().unwrap();
    let held = emulator.hold(Endpoint::Keys);
    // It finds the keys held back.
    let (second, probe) = second(&rig, "AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET).await;
    assert!(!second.is_ready());
    assert_eq!(
        Client::connect(probe).await.get("/readyz").await.status,
        503
    );
    assert_eq!(Client::connect(probe).await.get("/livez").await.status, 200);
    let request = format!("GET /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut client = Client::connect(second.local_addr()).await;
    client.send(&request).await;
    let refused = client.answer().await.unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.all("retry-after").len(), 1);
    rig.assert_nothing_reached_the_upstream();

    drop(held);
    in_time(async {
        while !second.is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.send(&request).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    in_time(second.shutdown()).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_even_if_it_could_be_shared() {
    let rig = Rig::public().await;
    let taken = rig.gateway.local_addr();
    let config = Sources::new()
        .file(
            "x.toml",
            format!(
                "listen = '{taken}'\nupstream = 'http://127.0.0.1:9'\n[entra]\n\
                 tenant = '11111111-2222-3333-4444-555555555555'\n\
                 client_id = '11111111-2222-3333-4444-555555555555'\n\
                 [[route]]\npath = '/*'\naccess = 'public'"
            ),
        )
        .environment(|name| (name == "AZURE_CLIENT_SECRET").then(|| "x".to_owned()))
        .load()
        .unwrap();
    let error = obo_gateway::start(config).await.unwrap_err();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}

#[tokio::test]
async fn people_get_a_page_and_the_configuration_that_is_in_force() {
    let rig = Rig::new("", |_| ok(), with_admin).await;
    let token = rig.token("alice");
    let request = format!("GET /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(rig.exchange(request).await.status, 200);
    let mut client = admin(&rig).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");

    client.send(get("/")).await;
    let page = client.answer().await.unwrap();
    assert_eq!(page.status, 200);
    assert_eq!(page.all("content-type"), ["text/html; charset=utf-8"]);
    assert!(page.all("content-security-policy")[0].contains("default-src 'none'"));
    let upstream = format!("http://{}", rig.upstream.address);
    for text in ["ready", ids::CONTOSO, &upstream, "/*", "client secret"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    client.send(get("/config")).await;
    let config = client.answer().await.unwrap();
    assert_eq!(config.all("content-type"), ["application/json"]);
    let shown: serde_json::Value = serde_json::from_str(&config.body).unwrap();
    assert_eq!(shown["upstreams"]["default"]["url"], upstream);
    assert_eq!(shown["limits"]["requests"], 1024);
    for page in [&page.body, &config.body] {
        assert!(!page.contains(ids::API_CLIENT_SECRET), "{page}");
        assert!(!page.contains(&token), "{page}");
    }
    // Of another name they are not to be had (DNS rebinding).
    for path in ["/", "/config", "/metrics"] {
        assert_eq!(client.get(path).await.status, 421, "{path}");
    }
}
