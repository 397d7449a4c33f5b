//! What the system is for: a user's token in, that user's subscriptions out.

use entra_emulator::Endpoint;
use obo_demo::{Demo, Options};
use obo_tests::api::{client, names, subscriptions};
use serde_json::Value;

#[tokio::test]
async fn alice_and_bob_each_get_their_own_list() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let mut lists = Vec::new();
    for user in ["alice", "bob"] {
        let token = demo.emulator().user_token(user);
        let answer = subscriptions(demo.gateway().url(), Some(&token)).await;
        assert_eq!(answer.status(), 200);
        let list: Value = answer.json().await.unwrap();

        let directory = demo.emulator().directory();
        let own = directory.user(user).unwrap().subscriptions.iter();
        let own = own.map(|subscription| subscription.display_name.clone());
        assert_eq!(names(&list), own.collect());
        lists.push(names(&list));
    }
    assert!(!lists[0].is_empty() && lists[0].is_disjoint(&lists[1]));
    demo.shutdown().await;
}

#[tokio::test]
async fn a_second_request_costs_no_second_exchange_and_no_second_key_fetch() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let token = demo.emulator().user_token("alice");
    for _ in 0..20 {
        let answer = subscriptions(demo.gateway().url(), Some(&token)).await;
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(demo.emulator().count(Endpoint::Token), 1);
    assert_eq!(demo.emulator().count(Endpoint::Keys), 1);
    demo.shutdown().await;
}

#[tokio::test]
async fn the_backend_gets_a_token_for_resource_manager_and_never_the_callers() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let token = demo.emulator().user_token("alice");
    subscriptions(demo.gateway().url(), Some(&token)).await;
    let seen = demo.emulator().requests(Endpoint::Arm);
    let [request] = &seen[..] else {
        panic!("one request reaches Resource Manager, not {}", seen.len());
    };
    let authorization = request.header("authorization").unwrap();
    assert!(authorization.starts_with("Bearer ") && !authorization.contains(&token));
    demo.shutdown().await;
}

#[tokio::test]
async fn what_resource_manager_says_reaches_the_caller_as_it_is() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let token = demo.emulator().user_token("alice");
    let answer = client()
        .get(format!(
            "{}/subscriptions?api-version=1999-01-01",
            demo.gateway().url()
        ))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.headers().contains_key("x-ms-request-id"));
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "InvalidApiVersionParameter");
    demo.shutdown().await;
}

#[tokio::test]
async fn all_pages_can_be_followed_through_the_gateway() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let token = demo.emulator().user_token("grace");
    let gateway = demo.gateway().url();
    let (mut seen, mut next) = (0, "/subscriptions".to_owned());
    for _ in 0..10 {
        let answer = client()
            .get(format!("{gateway}{next}"))
            .bearer_auth(&token)
            .send();
        let list: Value = answer.await.unwrap().json().await.unwrap();
        seen += names(&list).len();
        match list["nextLink"].as_str() {
            Some(link) => link.clone_into(&mut next),
            None => break,
        }
        assert!(
            next.starts_with("/subscriptions?"),
            "it comes back through us: {next}"
        );
    }
    assert_eq!(seen, entra_emulator::demo::GRACE_SUBSCRIPTIONS);
    demo.shutdown().await;
}
