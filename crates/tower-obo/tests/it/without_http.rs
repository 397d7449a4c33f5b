//! The core and the keys where there is no request.

use std::time::Duration;

use entra_emulator::{Endpoint, demo};
use http::StatusCode;
use tower_obo::{
    Clock, Entra, KeySource, RefreshReason, RejectionKind, RemoteKeys, TokenDefect, Validator,
};

use crate::fixture::{World, policy};

#[tokio::test]
async fn a_token_from_a_queue_gets_its_downstream_token() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let policy = world.core.bind(policy()).unwrap();
    for round in 0..2 {
        let admitted = world.core.admit_token(&token, &policy).await.unwrap();
        let principal = admitted.principal().unwrap();
        assert_eq!(principal.object_id(), Some(demo::ALICE_OID));
        let downstream = admitted.first_downstream().unwrap();
        assert!(downstream.expose().starts_with("ey"), "round {round}");
        assert_ne!(downstream.expose(), token);
    }
    assert_eq!(world.exchanges_asked(), 1);
}

#[tokio::test]
async fn a_token_from_a_queue_is_refused_as_one_in_a_request_is() {
    let world = World::start().await;
    let policy = world.core.bind(policy()).unwrap();
    let expired = world.entra.token().expired().sign();
    let without_consent = world.entra.user_token_without_consent("bob");
    use RejectionKind as K;
    for (token, kind) in [
        (&*expired, K::InvalidToken(TokenDefect::Expired)),
        (&*without_consent, K::ConsentRequired),
        ("no.jwt", K::InvalidToken(TokenDefect::Form)),
        ("", K::InvalidRequest),
        ("a b", K::InvalidRequest),
        ("a\r\nb", K::InvalidRequest),
        ("\u{e4}", K::InvalidRequest),
    ] {
        let rejection = world.core.admit_token(token, &policy).await.unwrap_err();
        assert_eq!(rejection.kind(), kind, "{token}");
    }
}

#[tokio::test]
async fn remote_keys_serve_a_validator_alone_and_a_core_beside_it() {
    let world = World::start().await;
    let fetched = world.entra.count(Endpoint::Keys);
    let contoso = Entra::tenant(demo::CONTOSO)
        .authority(world.entra.url())
        .allow_http_loopback(true);
    let keys = RemoteKeys::builder(contoso.clone())
        .with_clock(world.clock.clone())
        .with_http_timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    assert!(
        keys.current().is_none(),
        "nothing is fetched before it is asked for"
    );
    keys.refresh(RefreshReason::NoKeys).unwrap().await;

    let validator = Validator::builder()
        .audience(demo::API_CLIENT_ID)
        .tenant(demo::CONTOSO)
        .build();
    let judge = |token: &str| {
        let current = keys.current().unwrap();
        validator.validate(token, &current, world.clock.now())
    };
    let token = world.entra.user_token("alice");
    assert_eq!(judge(&token).unwrap().object_id(), Some(demo::ALICE_OID));

    // A new key is learned by the one refresh that is due, and the next is not.
    world.entra.rotate_keys();
    let new = world.entra.user_token("bob");
    assert_eq!(judge(&new).unwrap_err(), TokenDefect::UnknownKey);
    keys.refresh(RefreshReason::UnknownKey).unwrap().await;
    assert!(judge(&new).is_ok());
    assert!(keys.refresh(RefreshReason::UnknownKey).is_none());

    let beside = crate::fixture::core(&world.entra, contoso, &world.clock, |builder| {
        builder.with_keys(keys.clone())
    });
    assert!(beside.is_ready());
    let admitted = beside
        .admit_token(&new, &beside.bind(policy()).unwrap())
        .await;
    assert!(admitted.is_ok());
    assert_eq!(world.entra.count(Endpoint::Keys), fetched + 2);
}

#[tokio::test]
async fn remote_keys_of_an_authority_that_is_none_are_refused_at_once() {
    let wrong = Entra::tenant("common").authority("http://login.example");
    let errors = RemoteKeys::builder(wrong).build().unwrap_err();
    let settings: Vec<_> = errors.iter().map(|error| error.setting).collect();
    assert_eq!(settings, ["tenant", "authority"]);
}

#[tokio::test]
async fn a_policy_of_another_core_admits_no_token() {
    let (world, other) = (World::start().await, World::start().await);
    let token = world.entra.user_token("alice");
    let foreign = other.core.bind(policy()).unwrap();
    let rejection = world.core.admit_token(&token, &foreign).await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::BAD_GATEWAY);
}
