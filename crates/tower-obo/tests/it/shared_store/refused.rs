//! Tokens that their downstream refuses.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header::WWW_AUTHENTICATE};
use tokio::time::timeout;
use tower_obo::{Lookup, RedisStore};

use super::{KEY, LONG, NEW_KEY, Process, patient, server::RedisServer};
use crate::fixture::{World, with_token};

#[tokio::test]
async fn ex_13_a_refused_token_goes_under_whatever_key_it_was_sealed() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let store = |key: &str| RedisStore::new(redis.url(), key).with_wait(LONG);
    let old = Process::start(&world, store(KEY));
    let rotated = Process::start(&world, store(NEW_KEY).also_opens(KEY));
    let one = old.get(&token).await;
    redis.one_token().await;
    assert_eq!(rotated.get(&token).await, one);
    assert!(rotated.downstream().challenged(&HeaderMap::new()).is_none());
    redis.until_empty().await;
}

fn claims_challenge() -> HeaderMap {
    let claims = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxIn19fQ==";
    let line = format!(r#"Bearer error="insufficient_claims", claims="{claims}""#);
    let mut headers = HeaderMap::new();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_str(&line).unwrap());
    headers
}

#[tokio::test]
async fn ex_13_a_challenged_token_leaves_the_store_and_never_comes_back() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let first = Process::start(&world, patient(&redis));
    let refused = first.get(&token).await;
    let (name, value) = redis.one_token().await;
    assert!(first.downstream().challenged(&claims_challenge()).is_some());
    redis.until_empty().await;
    // A process that looks now exchanges; that the first one refuses is nothing to it.
    assert_eq!(first.status(&token).await, StatusCode::UNAUTHORIZED);
    let second = Process::start(&world, patient(&redis));
    assert_ne!(second.get(&token).await, refused);
    // Even if it were there once more, the process that knows does not take it.
    redis.one_token().await;
    redis.set(&name, &value);
    world.clock.advance(Duration::from_secs(31));
    assert_ne!(first.get(&token).await, refused);
    assert_eq!(first.lookups.last(), Some(Lookup::Miss));
    assert_eq!(world.exchanges_asked(), 3);
}

#[tokio::test]
async fn a_token_that_is_refused_without_claims_leaves_the_store_too() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let process = Process::start(&world, patient(&redis));
    let refused = process.get(&token).await;
    redis.one_token().await;
    assert!(process.downstream().challenged(&HeaderMap::new()).is_none());
    assert_ne!(process.get(&token).await, refused);
    assert_eq!(world.exchanges_asked(), 2);
}

#[tokio::test]
async fn an_exchange_for_the_claims_of_a_challenge_does_not_take_what_is_there() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let first = Process::start(&world, patient(&redis));
    let second = Process::start(&world, patient(&redis));
    let refused = first.get(&token).await;
    // Another token of the second process stands in the store when the first is challenged.
    let kept = redis.one_token().await;
    let admitted = first.upstream.last().admitted.unwrap();
    let request = with_token(&token);
    assert!(second.get(&token).await == refused);
    assert!(second.downstream().challenged(&HeaderMap::new()).is_none());
    let newer = second.get(&token).await;
    assert_ne!(newer, refused);
    let looked = first.lookups.count();
    let pending = first
        .core
        .exchange_for_claims(
            &tower_obo::Head::from(&request),
            &admitted,
            &[first.downstream()],
            &claims_challenge(),
        )
        .unwrap();
    let again = timeout(LONG, pending).await.unwrap().unwrap();
    let header = again
        .first_downstream()
        .unwrap()
        .header()
        .to_str()
        .unwrap()
        .to_owned();
    assert!(header != refused && header != newer);
    assert_eq!(first.lookups.count(), looked, "it is not even looked for");
    assert_eq!(world.exchanges_asked(), 3);
    assert_ne!(redis.one_token().await, kept);
}

#[tokio::test]
async fn ex_13_a_token_that_is_refused_late_does_not_take_its_successor_along() {
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    // Where the account may not run scripts, the successor goes too.
    for scripts in [true, false] {
        let world = World::start().await;
        if !scripts {
            let mut look = redis.look();
            redis::cmd("FLUSHALL").exec(&mut look).unwrap();
            let mut set = redis::cmd("ACL");
            set.arg("SETUSER").arg("default").arg("-@scripting");
            set.exec(&mut look).unwrap();
        }
        let token = world.entra.user_token("alice");
        let first = Process::start(&world, patient(&redis));
        let second = Process::start(&world, patient(&redis));
        let refused = first.get(&token).await;
        redis.one_token().await;
        assert_eq!(second.get(&token).await, refused);
        assert!(second.downstream().challenged(&HeaderMap::new()).is_none());
        redis.until_empty().await;
        let newer = second.get(&token).await;
        let kept = redis.one_token().await;
        assert!(first.downstream().challenged(&HeaderMap::new()).is_none());
        if scripts {
            assert_eq!(first.get(&token).await, newer, "the successor is there");
            assert_eq!(redis.one_token().await, kept);
        } else {
            redis.until_empty().await;
        }
    }
}
