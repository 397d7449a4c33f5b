//! A core that goes on with what another has, by other rules.

use entra_emulator::{Endpoint, demo};
use http::StatusCode;
use tower_obo::{AccessPolicy, Core, CoreBuilder, Credential, Entra, Policy, TokenDefect};

use crate::{
    downstreams::both,
    fixture::{World, policy, with_token},
};

impl World {
    fn builder(&self, tenants: Entra, client: &str) -> CoreBuilder {
        let authority = tenants
            .authority(self.entra.url())
            .allow_http_loopback(true);
        // Never used: the credential is that of the core before.
        Core::builder(authority).client(client, Credential::secret("wrong"))
    }

    /// The same world with a core that succeeds its own.
    fn succeeded(self, tenants: Entra, configure: impl FnOnce(CoreBuilder) -> CoreBuilder) -> Self {
        let builder = self.builder(tenants, demo::API_CLIENT_ID);
        let core = configure(builder).build_succeeding(&self.core).unwrap();
        Self { core, ..self }
    }

    fn asked(&self) -> [u64; 3] {
        [Endpoint::Token, Endpoint::Keys, Endpoint::Discovery].map(|place| self.entra.count(place))
    }
}

const OURS: fn() -> Entra = || Entra::tenant(demo::CONTOSO);

#[tokio::test]
async fn it_has_the_keys_tokens_and_credential_of_the_one_before() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    world.accepted("before", &token).await;
    let (asked, bound) = (world.asked(), world.core.bind(policy()).unwrap());
    let world = world.succeeded(OURS(), |builder| builder.audience("https://api.example"));
    assert!(world.core.is_ready());
    world.accepted("after", &token).await;
    assert_eq!(world.asked(), asked);
    let decided = world
        .core
        .decide(&tower_obo::Head::from(&with_token(&token)), &bound);
    assert!(
        matches!(decided, tower_obo::Decision::Admit(_)),
        "{decided:?}"
    );
    let bob = world.entra.user_token("bob");
    world.accepted("the credential", &bob).await;
}

/// What is judged anew finds its tokens in the store, without an exchange.
#[tokio::test]
async fn ca_07_tokens_that_are_found_again_are_counted_with_their_caller() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let sent = world.send_by(both(), with_token(&token)).await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.body);
    let one = world.core.cache_usage().admissions.bytes;
    let world = world.succeeded(OURS(), |builder| builder.audience("https://api.example"));
    let sent = world.send_by(both(), with_token(&token)).await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.body);
    assert_eq!(world.exchanges_asked(), 2);
    // The earlier rules' admission is there still.
    assert_eq!(world.core.cache_usage().admissions.bytes, 2 * one);
}

#[tokio::test]
async fn cf_05_what_only_the_earlier_rules_let_in_is_refused_however_often_it_was_let_in() {
    let api = "https://api.example";
    let world = World::with(|builder| builder.audience(api)).await;
    let token = world.entra.token().claim("aud", api).sign();
    world.is_valid("before", &token).await;
    let world = world.succeeded(OURS(), |builder| builder);
    world.invalid("after", TokenDefect::Audience, &token).await;
    let world = world.succeeded(OURS(), |builder| builder.audience(api));
    world.is_valid("allowed again", &token).await;
}

#[tokio::test]
async fn cf_05_a_tenant_that_is_left_out_is_refused_and_the_keys_of_the_others_are_fetched() {
    let two = Entra::tenants([demo::CONTOSO, demo::FABRIKAM]);
    let world = World::of(two, |builder| builder).await;
    let ours = world.entra.user_token("alice");
    let theirs = world.entra.token().tenant(demo::FABRIKAM).sign();
    world.accepted("ours", &ours).await;
    world.is_valid("theirs", &theirs).await;
    let exchanges = world.exchanges_asked();
    // The same documents.
    let world = world.succeeded(Entra::tenants([demo::CONTOSO]), |builder| builder);
    assert!(world.core.is_ready());
    world.invalid("theirs", TokenDefect::Tenant, &theirs).await;
    world.accepted("ours", &ours).await;
    // Other ones.
    let world = world.succeeded(OURS(), |builder| builder);
    assert!(!world.core.is_ready());
    world.accepted("ours", &ours).await;
    world.invalid("theirs", TokenDefect::Tenant, &theirs).await;
    assert_eq!(world.exchanges_asked(), exchanges);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_ends_what_the_core_before_has_let_in_by_it() {
    let world = World::with(|builder| {
        builder.with_unknown_key_cool_down(std::time::Duration::from_secs(1))
    })
    .await;
    let token = world.entra.user_token("alice");
    world.accepted("before", &token).await;
    let world = world.succeeded(OURS(), |builder| {
        builder.with_unknown_key_cool_down(std::time::Duration::from_secs(1))
    });
    world.accepted("after", &token).await;
    let old = world.entra.current_kid();
    world.entra.rotate_keys();
    assert!(world.entra.withdraw_key(&old));
    world.clock.advance(std::time::Duration::from_secs(2));
    let newer = world.entra.user_token("alice");
    world.accepted("the new key", &newer).await;
    world.clock.advance(std::time::Duration::from_secs(2));
    world
        .invalid("the old key", TokenDefect::UnknownKey, &token)
        .await;
}

#[tokio::test]
async fn another_client_or_authority_is_refused_and_named() {
    let world = World::start().await;
    let other = "77777777-7777-4777-8777-777777777777";
    let authority = Core::builder(
        OURS()
            .authority("http://127.0.0.1:9")
            .allow_http_loopback(true),
    )
    .client(demo::API_CLIENT_ID, Credential::secret("s"));
    let capable = world
        .builder(OURS(), demo::API_CLIENT_ID)
        .answer_claims_challenges();
    for (name, builder) in [
        ("client_id", world.builder(OURS(), other)),
        ("authority", authority),
        ("claims_challenges", capable),
    ] {
        let errors = builder.build_succeeding(&world.core).unwrap_err();
        let errors = errors.to_string();
        assert!(
            errors.contains(name) && errors.contains("build a new core"),
            "{errors}"
        );
    }
    let policy = Policy::new(AccessPolicy::any_user());
    let token = world.entra.user_token("alice");
    let answer = world.send_by(policy, with_token(&token)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn one_that_gives_way_keeps_in_memory_only_what_the_other_goes_on_with() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    world.accepted("before", &token).await;
    let entries = |core: &Core| {
        let usage = core.cache_usage();
        (usage.admissions.entries, usage.tokens.entries)
    };
    let before = world.core.clone();
    assert_eq!(entries(&before), (1, 1));
    let world = world.succeeded(OURS(), |builder| builder);
    before.give_way_to(&world.core);
    assert_eq!(entries(&before), (1, 1), "it has the same");
    let listed = Entra::tenants([demo::CONTOSO]);
    let world = world.succeeded(listed, |builder| builder);
    before.give_way_to(&world.core);
    assert_eq!(entries(&before), (0, 1), "other keys");
    world.accepted("after", &token).await;
    let other = world.builder(OURS(), "77777777-7777-4777-8777-777777777777");
    before.give_way_to(&other.build().unwrap());
    assert_eq!(entries(&before), (0, 0), "another client");
}
