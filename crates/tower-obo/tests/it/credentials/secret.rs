//! A client secret in a file, and its rotation.

use std::sync::Arc;

use entra_emulator::demo;
use tower_obo::Credential;

use super::kit::{Load, Volume, register_api};
use crate::fixture::World;

/// The new secret is registered first, and the old one taken away once the new file is there: Entra ID's
/// answer to a secret that is wrong (AADSTS7000215) is no reason to read it again.
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
        load.goes_on().await;
        register_api(&world.entra, |api| {
            api.secrets.drain(..api.secrets.len() - 1);
        });
    }
    load.goes_on().await;
    let requests = load.end().await;
    assert!(requests >= 4 * 8, "{requests}");
    let sent = world.entra.requests(entra_emulator::Endpoint::Token);
    let last = sent.last().unwrap().parameter("client_secret");
    assert_eq!(last.as_deref(), Some("secret-number-4"));
}
