//! EX-11: callers that leave, and what an exchange says in their name.

use std::sync::Arc;

use entra_emulator::{Endpoint, Fault, demo};
use http::StatusCode;

use crate::fixture::World;

#[tokio::test]
async fn ex_11_callers_that_leave_neither_cancel_the_exchange_nor_start_another() {
    let world = Arc::new(World::start().await);
    let token = world.entra.user_token("alice");
    let hold = world.entra.hold(Endpoint::Token);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (world, token) = (Arc::clone(&world), token.clone());
            tokio::spawn(async move { world.get(&token).await.status })
        })
        .collect();
    hold.arrived(1).await;
    let (leaving, staying) = calls.split_at(15);
    leaving.iter().for_each(tokio::task::JoinHandle::abort);
    // Among those that left is the one that was first.
    let one_more = tokio::spawn({
        let (world, token) = (Arc::clone(&world), token.clone());
        async move { world.get(&token).await.status }
    });
    hold.release();
    assert_eq!(one_more.await.unwrap(), StatusCode::OK);
    let left = staying.len();
    for call in calls.into_iter().skip(15) {
        assert_eq!(call.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(left, 5);
    assert_eq!(world.exchanges_asked(), 1);

    // Even when all of them leave, the result is there for the next one.
    let token = world.entra.user_token("bob");
    let hold = world.entra.hold(Endpoint::Token);
    let caller = tokio::spawn({
        let (world, token) = (Arc::clone(&world), token.clone());
        async move { world.get(&token).await.status }
    });
    hold.arrived(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    hold.release();
    world.accepted("after all have left", &token).await;
    assert_eq!(world.exchanges_asked(), 2);
}

/// The secret goes into the body of a request to the token endpoint, and the caller's tenant into
/// its address.
#[tokio::test]
async fn an_exchange_says_what_on_behalf_of_needs_and_nothing_more() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    world.accepted("alice", &token).await;
    let asked = world.entra.requests(Endpoint::Token);
    let request = asked.last().unwrap();
    assert_eq!(
        request.path,
        format!("/{}/oauth2/v2.0/token", demo::CONTOSO)
    );
    assert_eq!(request.query, "");
    let mut form = request.form();
    form.sort();
    let scope = "https://management.azure.com/user_impersonation";
    let expected = [
        ("assertion", &*token),
        ("client_id", demo::API_CLIENT_ID),
        ("client_secret", demo::API_CLIENT_SECRET),
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("requested_token_use", "on_behalf_of"),
        ("scope", scope),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form, expected);
    assert!(request.header("authorization").is_none());
    let id = request.header("client-request-id").unwrap();
    assert!(uuid::Uuid::parse_str(id).is_ok());
}

/// One id, which Entra ID's log and ours have, also where its answer has none.
#[tokio::test]
async fn a_refusal_has_the_correlation_id_that_entra_was_sent() {
    for status in [503, 429] {
        let world = World::start().await;
        let token = world.entra.user_token("alice");
        world
            .entra
            .fail(Endpoint::Token, Fault::status(status).body("<html>"), 2);
        let answer = world.get(&token).await;
        let asked = world.entra.requests(Endpoint::Token);
        let ids: Vec<_> = asked
            .iter()
            .map(|request| request.header("client-request-id").unwrap())
            .collect();
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
        assert_eq!(answer.problem()["correlation_id"], ids[0], "{status}");
        let wished = asked[0].header("return-client-request-id");
        assert_eq!(wished, Some("true"), "{status}");
    }
}

#[test]
fn a_runtime_that_ends_in_the_middle_of_an_exchange_ends() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (world, hold) = runtime.block_on(async {
        let world = Arc::new(World::start().await);
        let hold = world.entra.hold(Endpoint::Token);
        for user in ["alice", "bob", "alice"] {
            let (world, token) = (Arc::clone(&world), world.entra.user_token(user));
            tokio::spawn(async move { world.get(&token).await.status });
        }
        hold.arrived(3).await;
        (world, hold)
    });
    runtime.shutdown_background();
    drop((hold, world));
}
