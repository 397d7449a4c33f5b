//! Single flight, renewal and limits, with an exchange that the test holds in its hand.

mod kit;
#[cfg(feature = "redis")]
mod looks;
mod purged;
mod refused;

use std::time::Duration;

use self::kit::{Answer, Fixture, error_kind, fixture, want};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;

#[tokio::test]
async fn five_hundred_callers_at_once_cause_one_exchange() {
    let f = fixture(0, 128);
    let callers: Vec<_> = (0..500)
        .map(|_| {
            let store = Arc::clone(&f.store);
            tokio::spawn(async move { store.obtain(want("alice")).await })
        })
        .collect();
    f.exchange.until_begun(1).await;
    f.exchange.open();
    for caller in callers {
        assert!(caller.await.unwrap().is_ok());
    }
    assert_eq!(f.exchange.begun(), 1);
    assert_eq!(f.store.flights.len(), 0);
}

#[tokio::test]
async fn callers_that_give_up_neither_cancel_the_exchange_nor_cause_another() {
    let f = fixture(0, 128);
    for _ in 0..10 {
        let store = Arc::clone(&f.store);
        let caller = tokio::spawn(async move { store.obtain(want("alice")).await });
        f.exchange.until_begun(1).await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
    }
    f.exchange.open();
    assert!(f.store.obtain(want("alice")).await.is_ok());
    assert_eq!(f.exchange.begun(), 1);
}

#[tokio::test]
async fn a_panic_and_an_error_empty_the_place_and_are_not_kept() {
    let f = fixture(3, 128);
    f.exchange.answers(Answer::Panic);
    let lost = f.store.obtain(want("alice")).await;
    assert_eq!(error_kind(lost), Some(ExchangeErrorKind::Unavailable));
    f.exchange
        .answers(Answer::Error(ExchangeErrorKind::Misconfigured));
    let failed = f.store.obtain(want("alice")).await;
    assert_eq!(error_kind(failed), Some(ExchangeErrorKind::Misconfigured));
    f.exchange.answers(Answer::New);
    f.clock.advance(Duration::from_secs(5));
    assert!(f.store.obtain(want("alice")).await.is_ok());
    assert_eq!(f.store.flights.len(), 0);
    assert_eq!(f.store.exchanges.available_permits(), 128);
}

#[tokio::test]
async fn ex_06_a_throttle_holds_back_those_too_who_wait_for_a_place() {
    let f = fixture(0, 1);
    f.exchange
        .answers(Answer::Error(ExchangeErrorKind::Throttled));
    let callers: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|user| {
            let store = Arc::clone(&f.store);
            tokio::spawn(async move { store.obtain(want(user)).await })
        })
        .collect();
    f.exchange.until_begun(1).await;
    for _ in &callers {
        f.exchange.open();
    }
    for caller in callers {
        let result = caller.await.unwrap();
        assert_eq!(error_kind(result), Some(ExchangeErrorKind::Throttled));
    }
    assert_eq!(f.exchange.begun(), 1, "nobody asks after a 429");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_callers_wait_a_bounded_time() {
    let f = fixture(0, 2);
    let mut waiting = Vec::new();
    for user in ["a", "b"] {
        let store = Arc::clone(&f.store);
        waiting.push(tokio::spawn(async move { store.obtain(want(user)).await }));
    }
    f.exchange.until_begun(2).await;
    let refused = f.store.obtain(want("c")).await;
    assert!(matches!(refused, Err(Unavailable::Overloaded)));
    assert_eq!(f.exchange.begun(), 2, "nothing is started beyond the limit");
    f.exchange.open();
    f.exchange.open();
    for caller in waiting {
        assert!(caller.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_token_is_renewed_ahead_by_one_request_and_the_old_one_serves_meanwhile() {
    let f = fixture(1, 128);
    let first = f.store.obtain(want("alice")).await.unwrap();
    f.clock.advance(Duration::from_secs(850));
    assert!(first.is_fresh(f.clock.now()) && first.wants_renewal(f.clock.now()));
    let mut claimed = 0;
    for _ in 0..5 {
        f.store.renew(&first, || {
            claimed += 1;
            want("alice")
        });
        // Else the wait below would be for ever.
        assert!(f.store.flights.join(first.key()).is_some());
    }
    assert_eq!(claimed, 1, "one request renews, the others don't even ask");
    f.exchange.until_begun(2).await;
    assert!(Arc::ptr_eq(
        &f.store.obtain(want("alice")).await.unwrap(),
        &first
    ));
    let flight = f.store.flights.join(first.key()).unwrap();
    f.exchange.open();
    let second = flight.outcome().await.unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(
        &f.store.obtain(want("alice")).await.unwrap(),
        &second
    ));
    assert_eq!(f.exchange.begun(), 2);
}

#[tokio::test]
async fn an_old_token_outlives_a_fault_of_the_server_but_not_its_own_end() {
    let f = fixture(3, 128);
    let first = f.store.obtain(want("alice")).await.unwrap();
    f.exchange
        .answers(Answer::Error(ExchangeErrorKind::Unavailable));
    f.clock.advance(Duration::from_secs(950));
    let again = f.store.obtain(want("alice")).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(f.exchange.begun(), 2, "it was asked for first");
    f.clock.advance(Duration::from_secs(50));
    let expired = f.store.obtain(want("alice")).await;
    assert_eq!(error_kind(expired), Some(ExchangeErrorKind::Unavailable));
}

#[tokio::test]
async fn so_does_one_that_only_its_admission_knows() {
    let f = fixture(3, 128);
    let first = f.store.obtain(want("alice")).await.unwrap();
    f.store.tokens.remove(first.key());
    f.exchange
        .answers(Answer::Error(ExchangeErrorKind::Unavailable));
    f.clock.advance(Duration::from_secs(950));
    let follows = || Want {
        follows: Some(Arc::clone(&first)),
        ..want("alice")
    };
    let again = f.store.obtain(follows()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(f.exchange.begun(), 2, "it was asked for first");
    f.clock.advance(Duration::from_secs(50));
    let expired = f.store.obtain(follows()).await;
    assert_eq!(error_kind(expired), Some(ExchangeErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_costs_a_living_token_two_seconds_and_not_each_request_anew() {
    let f = fixture(1, 128);
    let first = f.store.obtain(want("alice")).await.unwrap();
    f.clock.advance(Duration::from_secs(950));
    let begun = Instant::now();
    for _ in 0..10 {
        let served = f.store.obtain(want("alice")).await.unwrap();
        assert!(Arc::ptr_eq(&first, &served));
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(f.exchange.begun(), 2);
    f.clock.advance(Duration::from_secs(50));
    assert!(!first.is_fresh(f.clock.now()), "not beyond its end");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_revoked_or_expires_during_the_wait_is_not_served() {
    for end in [Duration::ZERO, Duration::from_secs(50)] {
        let f = fixture(1, 128);
        let first = f.store.obtain(want("alice")).await.unwrap();
        f.clock.advance(Duration::from_secs(950));
        let store = Arc::clone(&f.store);
        let waiting = tokio::spawn(async move { store.obtain(want("alice")).await });
        f.exchange.until_begun(2).await;
        match end {
            Duration::ZERO => f.store.revoke(&first),
            end => f.clock.advance(end),
        }
        let refused = waiting.await.unwrap();
        assert_eq!(error_kind(refused), Some(ExchangeErrorKind::Timeout));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_a_place_joins_the_exchange_that_has_begun_meanwhile() {
    let f = fixture(0, 1);
    let obtain = |user: &'static str| {
        let store = Arc::clone(&f.store);
        tokio::spawn(async move { store.obtain(want(user)).await })
    };
    let other = obtain("bob");
    f.exchange.until_begun(1).await;
    let (first, second) = (obtain("alice"), obtain("alice"));
    tokio::task::yield_now().await;
    f.exchange.open();
    f.exchange.until_begun(2).await;
    // Longer than anybody waits for a place.
    tokio::time::sleep(Duration::from_secs(10)).await;
    f.exchange.open();
    for caller in [other, first, second] {
        assert!(caller.await.unwrap().is_ok());
    }
    assert_eq!(f.exchange.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_a_place_in_vain_takes_the_token_that_has_come_meanwhile() {
    let f = fixture(0, 1);
    let obtain = |user: &'static str| {
        let store = Arc::clone(&f.store);
        tokio::spawn(async move { store.obtain(want(user)).await })
    };
    let bob = obtain("bob");
    f.exchange.until_begun(1).await;
    // In this order they wait: Carol's turn comes before the second one's of Alice.
    let mut queue = Vec::new();
    for user in ["alice", "carol", "alice"] {
        queue.push(obtain(user));
        tokio::task::yield_now().await;
    }
    f.exchange.open();
    f.exchange.until_begun(2).await;
    f.exchange.open();
    f.exchange.until_begun(3).await;
    // Longer than anybody waits for a place.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let second = queue.pop().unwrap().await.unwrap();
    let carol = queue.pop().unwrap();
    let first = queue.pop().unwrap().await.unwrap();
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    f.exchange.open();
    for caller in [bob, carol] {
        assert!(caller.await.unwrap().is_ok());
    }
    assert_eq!(f.exchange.begun(), 3);
}

#[tokio::test]
async fn a_refusal_that_is_final_is_not_covered_by_an_old_token() {
    use ExchangeErrorKind as K;
    // The second says nothing against the caller, and the token stays; but trying again is no use.
    for kind in [K::AssertionRefused, K::Misconfigured] {
        let f = fixture(2, 128);
        f.store.obtain(want("alice")).await.unwrap();
        f.exchange.answers(Answer::Error(kind));
        f.clock.advance(Duration::from_secs(950));
        let refused = f.store.obtain(want("alice")).await;
        assert_eq!(error_kind(refused), Some(kind));
    }
}

#[tokio::test]
async fn a_renewal_that_is_refused_ends_the_token_that_it_was_to_follow() {
    use ExchangeErrorKind as K;
    for (kind, ends) in [
        (K::AccountRefused, true),
        (K::AssertionRefused, true),
        (K::ConditionalAccess, true),
        (K::ConsentRequired, true),
        (K::InteractionRequired, true),
        (K::Misconfigured, false),
        (K::Throttled, false),
        (K::Timeout, false),
        (K::Unavailable, false),
        (K::UntrustedServer, false),
        (K::UnusableAnswer, false),
    ] {
        let f = fixture(2, 128);
        let first = f.store.obtain(want("alice")).await.unwrap();
        f.exchange.answers(Answer::Error(kind));
        f.clock.advance(Duration::from_secs(850));
        f.store.renew(&first, || want("alice"));
        let flight = f.store.flights.join(first.key()).unwrap();
        assert!(flight.outcome().await.is_err());
        // Whoever holds the token already, in the slot of an admission, sees it too.
        assert_eq!(first.is_fresh(f.clock.now()), !ends, "{kind:?}");
        assert_eq!(f.store.tokens.get(first.key()).is_none(), ends, "{kind:?}");
    }
}

#[tokio::test]
async fn so_does_one_for_a_token_that_only_its_admission_knows() {
    let f = fixture(2, 128);
    let first = f.store.obtain(want("alice")).await.unwrap();
    f.store.tokens.remove(first.key());
    f.exchange
        .answers(Answer::Error(ExchangeErrorKind::AssertionRefused));
    f.clock.advance(Duration::from_secs(850));
    f.store.renew(&first, || want("alice"));
    let flight = f.store.flights.join(first.key()).unwrap();
    assert!(flight.outcome().await.is_err());
    assert!(!first.is_alive(f.clock.now()));
}

#[tokio::test]
async fn a_refusal_that_needs_the_user_is_asked_for_once_in_a_while() {
    let f = fixture(10, 128);
    f.exchange
        .answers(Answer::Error(ExchangeErrorKind::ConsentRequired));
    for _ in 0..3 {
        let refused = f.store.obtain(want("alice")).await;
        assert_eq!(
            error_kind(refused),
            Some(ExchangeErrorKind::ConsentRequired)
        );
    }
    assert_eq!(f.exchange.begun(), 1);
    f.exchange.answers(Answer::New);
    f.clock.advance(Duration::from_secs(30));
    assert!(f.store.obtain(want("alice")).await.is_ok());
}

#[tokio::test]
async fn the_memory_of_tokens_is_bounded_by_bytes() {
    let f = fixture(usize::MAX >> 4, 128);
    for user in 0..5_000 {
        f.store.obtain(want(&user.to_string())).await.unwrap();
    }
    assert!(f.store.tokens.weight() <= 1024 * 1024);
    // Some had to go, or the bound was never reached.
    assert!((1_000..5_000).contains(&f.store.tokens.len()));
}

#[test]
fn a_token_of_somebody_else_is_foreign() {
    let token = |claims: serde_json::Value| {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
    };
    let own = Want {
        object_id: Some("oid".into()),
        ..want("alice")
    };
    for (claims, foreign) in [
        (
            serde_json::json!({"oid": "oid", "tid": "tenant", "aud": "arm"}),
            false,
        ),
        (serde_json::json!({"aud": "arm"}), false),
        (serde_json::json!({"oid": "other"}), true),
        (serde_json::json!({"oid": "oid", "tid": "other"}), true),
        (serde_json::json!({"oid": 5, "tid": "other"}), true),
        (
            serde_json::json!({"x": {"oid": "other"}, "tid": ["other"], "oid": "oid"}),
            false,
        ),
        (serde_json::json!(["other"]), false),
    ] {
        assert_eq!(
            is_foreign(&own, &token(claims.clone())),
            foreign,
            "{claims}"
        );
    }
    assert!(is_foreign(&own, "alice"), "the caller's own token");
    let of_application = Want {
        tenant: "".into(),
        object_id: None,
        assertion: None,
        ..own.clone()
    };
    let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(r#"{"tid":"t","sub":"2"}"#));
    assert!(!is_foreign(&of_application, &token));
    // Of another provider: `sub` says who, among those of one issuer.
    let other = Want {
        tenant: "".into(),
        object_id: None,
        subject: Some(("https://id.example".into(), "1".into())),
        ..own.clone()
    };
    for (claims, foreign) in [
        (r#"{"iss":"https://id.example","sub":"1","tid":"t"}"#, false),
        (r#"{"iss":"https://id.example","sub":"2"}"#, true),
        (r#"{"iss":"https://other.example","sub":"2"}"#, false),
        (r#"{"iss":"https://id.example"}"#, false),
    ] {
        let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(is_foreign(&other, &token), foreign, "{claims}");
    }
    assert!(!is_foreign(&own, "opaque"));
}
