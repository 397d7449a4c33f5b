//! A user whose token is good and who is to be kept out, or to be asked about anew.

use entra_emulator::{Endpoint, demo};
use http::StatusCode;
use tower_obo::{
    AccessPolicy, Admitted, Core, DenyList, DenyRule, Downstream, Policy, Rejection, RejectionKind,
};

use crate::fixture::{World, policy, with_token};

async fn with_list() -> (World, DenyList) {
    let deny = DenyList::default();
    let world = World::with(|builder| builder.deny_list(deny.clone())).await;
    (world, deny)
}

fn alice() -> DenyRule {
    DenyRule::user(demo::CONTOSO, demo::ALICE_OID)
}

#[tokio::test]
async fn who_is_cut_off_is_refused_from_the_next_request_on_and_nobody_else_is() {
    let (world, deny) = with_list().await;
    let [alices, bobs] = ["alice", "bob"].map(|user| world.entra.user_token(user));
    world.accepted("before", &alices).await;
    world.accepted("bob, before", &bobs).await;

    deny.replace([alice()]);
    // The token is known and its downstream token is there.
    let answer = world.refused("cut off", with_token(&alices)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.problem_type(), "denied");
    assert!(answer.body.contains("operator"), "{}", answer.body);
    assert_eq!(answer.header("www-authenticate"), None);
    // So is one that has never been seen, before anything is exchanged for it.
    let another = world.entra.user_token("alice");
    world.refused("another token", with_token(&another)).await;
    world.accepted("bob, meanwhile", &bobs).await;

    deny.replace([]);
    world.accepted("let in again", &alices).await;
}

#[tokio::test]
async fn an_application_and_a_single_token_are_cut_off_too() {
    let (world, deny) = with_list().await;
    let token = world.entra.user_token("alice");
    world.accepted("before", &token).await;
    let principal = admitted(&world.core, &token).await.unwrap();
    let principal = principal.principal().unwrap();
    for rule in [
        DenyRule::application(principal.client_id().unwrap()),
        DenyRule::token(principal.token_id().unwrap()),
        DenyRule::tenant(demo::CONTOSO),
    ] {
        deny.replace([rule.clone()]);
        let answer = world.refused(&rule.to_string(), with_token(&token)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{rule}");
    }
    deny.replace([DenyRule::token("another")]);
    world.accepted("another token's", &token).await;
}

async fn admitted(core: &Core, token: &str) -> Result<Admitted, Rejection> {
    core.admit_token(token, &core.bind(policy()).unwrap()).await
}

#[tokio::test]
async fn who_is_cut_off_while_an_exchange_is_waited_for_gets_nothing_of_it() {
    let (world, deny) = with_list().await;
    let token = world.entra.user_token("alice");
    let held = world.entra.hold(Endpoint::Token);
    let waiting = tokio::spawn({
        let (core, token) = (world.core.clone(), token.clone());
        async move { admitted(&core, &token).await }
    });
    held.arrived(1).await;
    deny.replace([alice()]);
    held.release();
    let refused = waiting.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::Denied);
}

#[tokio::test]
async fn who_is_cut_off_while_a_handler_runs_gets_no_further_token() {
    let (world, deny) = with_list().await;
    let policy = Policy::new(AccessPolicy::any_scope([demo::API_SCOPE]))
        .downstream_on_demand(Downstream::azure_resource_manager());
    let policy = world.core.bind(policy).unwrap();
    let token = world.entra.user_token("alice");
    let admitted = world.core.admit_token(&token, &policy).await.unwrap();
    admitted.downstreams().get("arm").await.unwrap();
    deny.replace([alice()]);
    let refused = admitted.downstreams().get("arm").await.unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::Denied);
}

#[tokio::test]
async fn a_purge_drops_all_that_is_kept_of_a_user_and_nothing_of_others() {
    let world = World::start().await;
    let alices = [0, 1].map(|_| world.entra.user_token("alice"));
    let bobs = world.entra.user_token("bob");
    for token in alices.iter().chain([&bobs]) {
        world.accepted("before", token).await;
    }
    let held = admitted(&world.core, &alices[0]).await.unwrap();
    let before = world.exchanges_asked();

    let oid = demo::ALICE_OID.to_uppercase();
    let purged = world.core.purge_user(demo::CONTOSO, &oid);
    assert_eq!((purged.admissions, purged.tokens), (2, 2));
    assert_eq!(world.core.cache_usage().tokens.entries, 1);
    assert_eq!(world.core.cache_usage().admissions.entries, 1);
    // A request that has been let in already is not served with the old token either.
    let again = held.downstreams().get("arm").await;
    assert!(again.is_err(), "a dead token was handed out");

    world.accepted("bob", &bobs).await;
    assert_eq!(
        world.exchanges_asked(),
        before,
        "bob's token is still there"
    );
    world.accepted("alice", &alices[0]).await;
    assert_eq!(world.exchanges_asked(), before + 1);

    let nobody = world.core.purge_user(demo::FABRIKAM, demo::ALICE_OID);
    assert_eq!((nobody.admissions, nobody.tokens), (0, 0));
}

#[tokio::test]
async fn an_exchange_that_is_under_way_during_a_purge_is_made_again() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let held = world.entra.hold(Endpoint::Token);
    let waiting = tokio::spawn({
        let (core, token) = (world.core.clone(), token.clone());
        async move { admitted(&core, &token).await }
    });
    held.arrived(1).await;
    world.core.purge_user(demo::CONTOSO, demo::ALICE_OID);
    held.release();
    waiting.await.unwrap().unwrap();
    assert_eq!(world.exchanges_asked(), 2);
}

#[tokio::test]
async fn a_deny_list_is_no_hindrance_where_nobody_has_to_show_a_token() {
    let (world, deny) = with_list().await;
    deny.replace([alice()]);
    let token = world.entra.user_token("alice");
    let answer = world.send_by(Policy::public(), with_token(&token)).await;
    assert_eq!(answer.status, StatusCode::OK);
}
