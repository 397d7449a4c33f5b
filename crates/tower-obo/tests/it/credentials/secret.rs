//! A client secret in a file, and its rotation.

use std::{sync::Arc, time::Duration};

use entra_emulator::{Endpoint, Recorded, demo};
use http::StatusCode;
use tower_obo::Credential;

use super::kit::{Load, Volume, register_api};
use crate::fixture::World;

/// The new secret is registered first, and the old one taken away once the new file is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cf_06_secrets_rotate_while_requests_flow_and_none_fails() {
    let volume = Volume::with("secret", demo::API_CLIENT_SECRET);
    let credential = Credential::secret_file(volume.path());
    let world = World::with(|builder| builder.client(demo::API_CLIENT_ID, credential)).await;
    let world = Arc::new(world);
    let load = Load::on(&world);
    for number in 1..=4 {
        load.goes_on().await;
        let next = format!("secret-number-{number}");
        register_api(&world.entra, |api| api.secrets.push(next.clone()));
        load.goes_on().await;
        volume.put(&next);
        // At once: requests are under way with the old secret.
        register_api(&world.entra, |api| {
            api.secrets.drain(..api.secrets.len() - 1);
        });
    }
    load.goes_on().await;
    let requests = load.end().await;
    assert!(requests >= 4 * 8, "{requests}");
    let sent = world.entra.requests(Endpoint::Token);
    let last = sent.last().unwrap().parameter("client_secret");
    assert_eq!(last.as_deref(), Some("secret-number-4"));
}

/// Entra ID's answer to a secret that is wrong (AADSTS7000215) is no reason to send it again, and one to read its
/// file again.
#[tokio::test]
async fn ex_05_a_refused_secret_is_not_sent_again_but_another_one_that_is_in_the_file_by_then() {
    let volume = Volume::with("secret", demo::API_CLIENT_SECRET);
    let credential = Credential::secret_file(volume.path());
    let world = World::with(|builder| builder.client(demo::API_CLIENT_ID, credential)).await;
    let secrets = || {
        let sent = world.entra.requests(Endpoint::Token);
        let secret = |request: &Recorded| request.parameter("client_secret").unwrap();
        sent.iter().map(secret).collect::<Vec<_>>()
    };
    world
        .accepted("the first", &world.entra.user_token("alice"))
        .await;
    register_api(&world.entra, |api| api.secrets = vec!["next".to_owned()]);

    // The file is as it was.
    let answer = world.get(&world.entra.user_token("alice")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(secrets(), [demo::API_CLIENT_SECRET; 2]);

    // It changes while a request is under way with what was in it.
    world.clock.advance(Duration::from_secs(5));
    let held = world.entra.hold(Endpoint::Token);
    let token = world.entra.user_token("alice");
    let (answer, ()) = tokio::join!(world.get(&token), async {
        while secrets().len() < 3 {
            tokio::task::yield_now().await;
        }
        volume.put("next");
        drop(held);
    });
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let [first, next] = [demo::API_CLIENT_SECRET, "next"];
    assert_eq!(secrets(), [first, first, first, next]);
    // Nobody was held back.
    let token = world.entra.user_token("alice");
    world.accepted("another one at once", &token).await;

    // And one more attempt it is, whatever comes of it.
    register_api(&world.entra, |api| api.secrets.clear());
    let held = world.entra.hold(Endpoint::Token);
    let token = world.entra.user_token("alice");
    let (answer, ()) = tokio::join!(world.get(&token), async {
        while secrets().len() < 6 {
            tokio::task::yield_now().await;
        }
        volume.put("wrong, too");
        drop(held);
    });
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(secrets()[5..], ["next", "wrong, too"]);
}
