//! The keys of an application's own: tokens whose claims are mapped are signed by such a key,
//! which only the documents with `?appid=` lead to.

use entra_emulator::{Endpoint, demo};
use http::StatusCode;
use tower_obo::{Core, Credential, Entra, TokenDefect};

use crate::fixture::{World, load_keys};

/// Entra ID signs the API's tokens with a key of the API's own.
async fn world(tenants: Entra) -> World {
    let world = World::without_keys(tenants, |builder| builder).await;
    world.entra.update_directory(|directory| {
        let mut applications = directory.applications.iter_mut();
        let api = applications.find(|app| app.client_id == demo::API_CLIENT_ID);
        api.unwrap().own_signing_key = true;
    });
    load_keys(&world.core).await;
    world
}

#[tokio::test]
async fn a_key_of_the_application_s_own_is_unknown_unless_it_is_asked_for() {
    let world = world(Entra::tenant(demo::CONTOSO)).await;
    for token in [world.entra.token(), world.entra.token().v1()] {
        world
            .invalid("off", TokenDefect::UnknownKey, &token.sign())
            .await;
    }
    assert_eq!(world.upstream.calls(), 0);
}

#[tokio::test]
async fn keys_of_the_application_s_own_vouch_for_v1_and_v2_tokens_and_for_the_exchange() {
    // In capitals, as a portal may show it.
    let own = demo::API_CLIENT_ID.to_uppercase();
    let world = world(Entra::tenant(demo::CONTOSO).own_signing_keys_of(&own)).await;
    world.entra.grant_consent("alice");
    for token in [world.entra.token(), world.entra.token().v1()] {
        world.accepted("on", &token.sign()).await;
    }
    let asked = world.entra.requests(Endpoint::Keys);
    let query = format!("appid={}", demo::API_CLIENT_ID);
    assert!(asked.iter().all(|one| one.query == query), "{asked:?}");
    // The tenant's own keys vouch for nobody then.
    let usual = world.entra.token().key(world.entra.current_kid()).sign();
    let answer = world.get(&usual).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

/// Whoever administers the one tenant may have the key, and could sign for users of the others.
#[test]
fn keys_of_the_application_s_own_are_not_for_users_of_several_tenants() {
    for entra in [
        Entra::tenants([demo::CONTOSO, demo::FABRIKAM]),
        Entra::tenants([demo::CONTOSO]),
        Entra::any_tenant(),
    ] {
        let entra = entra.own_signing_keys_of(demo::API_CLIENT_ID);
        let builder = Core::builder(entra).client(demo::API_CLIENT_ID, Credential::secret("s"));
        let errors = builder.build().unwrap_err().to_string();
        assert!(errors.contains("own keys are of one tenant"), "{errors}");
    }
}

#[test]
fn what_is_no_client_id_is_refused_when_the_core_is_built() {
    let entra = Entra::tenant(demo::CONTOSO).own_signing_keys_of("me&tenant=other");
    let builder = Core::builder(entra).client(demo::API_CLIENT_ID, Credential::secret("s"));
    let errors = builder.build().unwrap_err();
    let wrong: Vec<_> = errors.iter().map(|error| error.setting).collect();
    assert_eq!(wrong, ["own_signing_keys_of"]);
}
