//! Several upstreams behind one gateway: each gets what its routes say, and no token of another's.

use entra_emulator::Emulator;

use crate::{
    client::{Client, in_time},
    rig::Rig,
    upstream::{Upstream, ok},
};

/// The claims of the token that a request carried.
fn claims(authorization: &str) -> serde_json::Value {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let payload = authorization.split('.').nth(1).unwrap();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[tokio::test]
async fn every_route_reaches_its_own_upstream_with_its_own_token() {
    let emulator = Emulator::builder().start().await.unwrap();
    let arm = Upstream::start(|_| ok()).await;
    let graph = Upstream::start(|_| ok()).await;
    let open = Upstream::start(|_| ok()).await;
    let file = format!(
        "[upstreams.graph]\nurl = 'http://{}'\n[upstreams.open]\nurl = 'http://{}'\n\
         [downstream.arm]\nscope = 'https://management.azure.com/user_impersonation'\n\
         [downstream.graph]\nscope = 'https://graph.microsoft.com/User.Read'\n\
         [[route]]\npath = '/subscriptions/*'\ndownstream = 'arm'\n\
         [[route]]\npath = '/me'\ndownstream = 'graph'\nupstream = 'graph'\n\
         [[route]]\npath = '/open/*'\naccess = 'public'\nupstream = 'open'",
        graph.address, open.address,
    );
    let config = Rig::config(&format!("http://{}", arm.address), emulator.url(), &file);
    let gateway = obo_gateway::start(config).await.unwrap();
    in_time(async {
        while !gateway.is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let token = emulator.user_token("alice");
    let mut client = Client::connect(gateway.local_addr()).await;
    for round in 1..=2 {
        for path in ["/subscriptions/x", "/me", "/open/x"] {
            client
                .send(format!(
                    "GET {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n"
                ))
                .await;
            let answer = client.answer().await.unwrap();
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        for (upstream, path) in [
            (&arm, "/subscriptions/x"),
            (&graph, "/me"),
            (&open, "/open/x"),
        ] {
            let seen = upstream.seen();
            assert_eq!(seen.len(), round, "{path}");
            assert!(
                seen.iter()
                    .all(|seen| seen.line() == format!("GET {path} HTTP/1.1"))
            );
        }
    }
    let audience = |upstream: &Upstream| {
        let seen = upstream.seen();
        claims(seen[0].all("authorization")[0])["aud"].clone()
    };
    assert_eq!(audience(&arm), "https://management.azure.com");
    assert_ne!(audience(&graph), audience(&arm));
    assert!(open.seen()[0].all("authorization").is_empty());
}
