//! The admin listener, and starting and stopping.

use entra_emulator::Endpoint;

use crate::{
    client::{Client, in_time},
    rig::Rig,
    upstream::ok,
};

fn with_admin(config: &mut obo_gateway::Config) {
    config.admin = Some(([127, 0, 0, 1], 0).into());
}

async fn admin(rig: &Rig) -> Client {
    let url = rig.gateway.admin_url().unwrap();
    Client::connect(url.trim_start_matches("http://").parse().unwrap()).await
}

#[tokio::test]
async fn livez_and_readyz_answer_on_the_admin_listener() {
    let rig = Rig::new("", |_| ok(), with_admin).await;
    let mut client = admin(&rig).await;
    assert_eq!(client.get("/livez").await.status, 200);
    assert_eq!(client.get("/readyz").await.status, 200);
    assert_eq!(client.get("/").await.status, 404);
    client
        .send("POST /readyz HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 405);
}

#[tokio::test]
async fn ks_01_without_keys_it_runs_refuses_and_recovers_by_itself() {
    let rig = Rig::new("", |_| ok(), with_admin).await;
    let token = rig.token("alice");
    let emulator = rig.emulator.as_ref().unwrap();
    let held = emulator.hold(Endpoint::Keys);
    // A second gateway beside the first, which finds the keys held back.
    let mut config = obo_gateway::Sources::new()
        .file(
            "second.toml",
            format!(
                "listen = '127.0.0.1:0'\nupstream = 'http://{}'\n[entra]\ntenant = '{}'\n\
                 client_id = '{}'\nauthority = '{}'\nallow_http_loopback = true\n\
                 [accept]\nscopes = ['access_as_user']",
                rig.upstream.address,
                entra_emulator::demo::CONTOSO,
                entra_emulator::demo::API_CLIENT_ID,
                emulator.url(),
            ),
        )
        .environment(|name| {
            let secret = entra_emulator::demo::API_CLIENT_SECRET;
            (name == "AZURE_CLIENT_SECRET").then(|| secret.to_owned())
        })
        .load()
        .unwrap();
    with_admin(&mut config);
    let second = obo_gateway::start(config).await.unwrap();
    let probe: std::net::SocketAddr = second
        .admin_url()
        .unwrap()
        .trim_start_matches("http://")
        .parse()
        .unwrap();
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
    let config = obo_gateway::Sources::new()
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
