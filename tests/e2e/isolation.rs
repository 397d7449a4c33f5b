//! No user is ever served with another's token.

use std::{collections::HashMap, sync::Arc};

use entra_emulator::{
    Directory, Endpoint, demo as ids,
    directory::{Subscription, User},
};
use obo_demo::{Demo, Options};
use obo_tests::api::{client, names};
use serde_json::Value;
use tokio::sync::Semaphore;

const USERS: usize = 200;
const REQUESTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_users_at_once_each_get_exactly_their_own_downstream_token() {
    let mut options = Options::free_ports();
    options.directory = (0..USERS).fold(Directory::demo(), |directory, number| {
        let name = format!("user{number}");
        let user = User::new(ids::CONTOSO, format!("{name}@contoso.example"))
            .subscription(Subscription::new(format!("only of {name}")));
        directory.with_user(user)
    });
    let demo = Arc::new(Demo::start(options).await.unwrap());
    let tokens: Vec<_> = (0..USERS)
        .map(|number| {
            demo.emulator()
                .user_token(&format!("user{number}@contoso.example"))
        })
        .collect();

    // Every number below USERS × REQUESTS once, far from in order: 7 and 1,000 share no divisor.
    let order = (0..USERS * REQUESTS).map(|at| (at * 7) % (USERS * REQUESTS));
    // Few connections at a time, so that users follow one another on shared ones.
    let (client, at_once) = (client(), Arc::new(Semaphore::new(64)));
    let mut requests = Vec::new();
    for number in order.map(|at| at % USERS) {
        let permit = Arc::clone(&at_once).acquire_owned().await.unwrap();
        let request = client
            .get(format!("{}/subscriptions", demo.gateway().url()))
            .bearer_auth(&tokens[number])
            .send();
        requests.push(tokio::spawn(async move {
            let answer = request.await.unwrap();
            assert_eq!(answer.status(), 200);
            let list: Value = answer.json().await.unwrap();
            drop(permit);
            (number, names(&list))
        }));
    }
    let mut answered = HashMap::new();
    for request in requests {
        let (number, names) = request.await.unwrap();
        let own = [format!("only of user{number}")].into();
        assert_eq!(names, own, "user {number} sees what is theirs");
        *answered.entry(number).or_insert(0) += 1;
    }
    assert_eq!(answered.len(), USERS);
    assert!(answered.values().all(|count| *count == REQUESTS));
    assert_eq!(
        demo.emulator().count(Endpoint::Token),
        USERS as u64,
        "one exchange each"
    );
}
