//! Tokens that the downstream refuses, and what is asked for in their place.

use super::*;
use crate::{Rejection, TokenDefect};

#[tokio::test]
async fn a_revoked_token_is_gone_and_its_successor_is_not() {
    let f = fixture(2, 128);
    let first = f.store.obtain(want("alice")).await.unwrap();
    f.store.revoke(&first);
    assert!(!first.is_alive(f.clock.now()));
    let second = f.store.obtain(want("alice")).await.unwrap();
    f.store.revoke(&first);
    assert!(second.is_fresh(f.clock.now()));
    assert!(Arc::ptr_eq(
        &f.store.obtain(want("alice")).await.unwrap(),
        &second
    ));
}

#[tokio::test]
async fn ex_12_an_api_that_always_wants_claims_causes_no_exchange_for_a_while() {
    let f = fixture(10, 128);
    let token = f.store.obtain(want("alice")).await.unwrap();
    f.store
        .challenge(&token, &ExchangeError::challenge("{}".to_owned()));
    for _ in 0..20 {
        let Err(Unavailable::Exchange(error)) = f.store.obtain(want("alice")).await else {
            panic!("the challenge stands");
        };
        assert_eq!(error.claims(), Some("{}"));
    }
    assert_eq!(f.exchange.begun(), 1);
    assert!(f.store.obtain(want("alice's new token")).await.is_ok());
    f.clock.advance(Duration::from_secs(30));
    assert!(f.store.obtain(want("alice")).await.is_ok());
}

/// An exchange that keeps tokens itself (a wrapped MSAL does) does not know of the challenge.
#[tokio::test]
async fn ex_12_a_challenged_token_is_never_served_again_whatever_brings_it() {
    let f = fixture(10, 128);
    f.exchange.answers(Answer::Token("the same"));
    let token = f.store.obtain(want("alice")).await.unwrap();
    f.store.challenge(&token, &challenge());
    for asked in 2..5 {
        f.clock.advance(Duration::from_secs(30));
        let Err(Unavailable::Exchange(error)) = f.store.obtain(want("alice")).await else {
            panic!("served with a token that was challenged");
        };
        assert_eq!(error.claims(), Some("{}"));
        assert_eq!(f.exchange.begun(), asked);
    }
    f.clock.advance(Duration::from_secs(60));
    assert_eq!(for_claims(&f, &token).await.unwrap_err(), "{}");
    f.clock.advance(Duration::from_secs(60));
    f.exchange.answers(Answer::New);
    assert!(f.store.obtain(want("alice")).await.is_ok());
}

/// It came from a store that is shared while a handler still had it from an exchange.
#[tokio::test]
async fn ex_12_a_token_that_has_come_twice_is_challenged_once_for_both() {
    let f = fixture(10, 128);
    f.exchange.answers(Answer::Token("the same"));
    for for_claims_too in [false, true] {
        let user = if for_claims_too { "alice" } else { "bob" };
        let first = f.store.obtain(want(user)).await.unwrap();
        f.store.tokens.remove(first.key());
        let second = f.store.obtain(want(user)).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        match for_claims_too {
            true => drop(for_claims(&f, &first).await),
            false => f.store.challenge(&first, &challenge()),
        }
        assert!(!second.is_alive(f.clock.now()));
        assert!(f.store.fresh(first.key(), f.clock.now()).is_none());
        f.exchange.answers(Answer::Token("another"));
    }
}

/// The store has let both go; an admission has the one, and a handler the other.
#[tokio::test]
async fn ex_12_a_token_that_an_admission_alone_still_has_is_challenged_with_its_twin() {
    let f = fixture(10, 128);
    f.exchange.answers(Answer::Token("the same"));
    let first = f.store.obtain(want("alice")).await.unwrap();
    f.store.tokens.remove(first.key());
    let second = f.store.obtain(want("alice")).await.unwrap();
    f.store.tokens.remove(first.key());
    let of_another_token = f.store.obtain(want("alice's other token")).await.unwrap();
    f.exchange.answers(Answer::New);
    let other = f.store.obtain(want("bob")).await.unwrap();
    let now = f.clock.now();
    for token in [&first, &second, &of_another_token, &other] {
        assert!(f.store.is_good(token, now) && f.store.is_alive(token));
    }
    f.store.challenge(&first, &challenge());
    assert!(!f.store.is_good(&second, now));
    assert!(!f.store.is_alive(&of_another_token));
    assert!(f.store.fresh(of_another_token.key(), now).is_none());
    // It is dead for whoever has it, and nobody else's is.
    assert!(!second.is_alive(now));
    assert!(f.store.is_good(&other, now) && f.store.is_alive(&other));
}

/// A caller whose turn comes late: the token has been used by another and challenged meanwhile.
#[tokio::test]
async fn ex_12_who_waited_for_a_token_is_not_served_with_it_once_it_is_challenged() {
    for challenged in [true, false] {
        let f = fixture(1, 128);
        let mut late = Box::pin(f.store.obtain(want("alice")));
        std::future::poll_fn(|context| {
            assert!(late.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        let token = f.store.obtain(want("alice")).await.unwrap();
        match challenged {
            true => f.store.challenge(&token, &challenge()),
            false => f.store.revoke(&token),
        }
        let Err(Unavailable::Exchange(error)) = late.await else {
            panic!("served with a token that was refused");
        };
        assert_eq!(error.claims(), challenged.then_some("{}"));
        assert_eq!(f.exchange.begun(), 1);
    }
}

/// The downstream refuses the token before the exchange that brought it has left the list.
#[tokio::test]
async fn ex_12_what_is_exchanged_for_claims_is_never_the_token_that_was_refused() {
    let f = fixture(1, 128);
    let mut late = Box::pin(f.store.obtain(want("alice")));
    std::future::poll_fn(|context| {
        assert!(late.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    let flight = f.store.flights.join(&want("alice").key).unwrap();
    let refused = f.store.obtain(want("alice")).await.unwrap();
    f.store.flights.put_back(want("alice").key, flight);
    assert_eq!(for_claims(&f, &refused).await.unwrap_err(), "{}");
    drop(late);
}

/// What Entra ID asks for in place of what the downstream asked for.
const ITS_OWN: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;

fn challenge() -> ExchangeError {
    ExchangeError::challenge("{}".to_owned())
}

async fn for_claims(f: &Fixture, refused: &Arc<CachedToken>) -> Result<Arc<CachedToken>, String> {
    let mut want = want("alice");
    want.claims = Some("{}".into());
    let challenge = challenge();
    let exchange = f.store.exchange_for_claims(refused, &challenge, want).await;
    exchange.map_err(|error| error.claims().unwrap().to_owned())
}

#[tokio::test]
async fn ex_12_one_exchange_with_the_claims_replaces_the_token_for_everybody() {
    let f = fixture(1, 128);
    let first = f.store.obtain(want("alice")).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let (store, first) = (Arc::clone(&f.store), Arc::clone(&first));
        let mut want = want("alice");
        want.claims = Some("{}".into());
        waiting.push(tokio::spawn(async move {
            store.exchange_for_claims(&first, &challenge(), want).await
        }));
    }
    f.exchange.until_begun(2).await;
    assert!(!first.is_alive(f.clock.now()), "it is dropped at once");
    f.exchange.open();
    let second = f.store.obtain(want("alice")).await.unwrap();
    for waiting in waiting {
        assert!(Arc::ptr_eq(&waiting.await.unwrap().unwrap(), &second));
    }
    // A 401 that comes late concerns the old token only.
    assert!(Arc::ptr_eq(&for_claims(&f, &first).await.unwrap(), &second));
    assert_eq!(f.exchange.begun(), 2);
    let asked: Vec<_> = f.exchange.0.claims.lock().unwrap().clone();
    assert_eq!(asked, [None, Some("{}".into())]);
}

#[tokio::test]
async fn ex_12_what_the_exchange_for_claims_is_refused_with_is_the_users_to_answer() {
    for (answer, claims) in [
        (Answer::Challenge(ITS_OWN), ITS_OWN),
        (Answer::Error(ExchangeErrorKind::InteractionRequired), "{}"),
        (Answer::Error(ExchangeErrorKind::AccountRefused), "{}"),
        (Answer::Error(ExchangeErrorKind::Unavailable), "{}"),
        (Answer::Error(ExchangeErrorKind::Throttled), "{}"),
        (Answer::Panic, "{}"),
    ] {
        let f = fixture(2, 128);
        let first = f.store.obtain(want("alice")).await.unwrap();
        f.exchange.answers(answer.clone());
        assert_eq!(for_claims(&f, &first).await.unwrap_err(), claims);
        // It stands, for those who come later too.
        for _ in 0..3 {
            assert_eq!(for_claims(&f, &first).await.unwrap_err(), claims);
            let Err(Unavailable::Exchange(error)) = f.store.obtain(want("alice")).await else {
                panic!("{answer:?}: the challenge stands");
            };
            assert_eq!(error.claims(), Some(claims), "{answer:?}");
        }
        assert_eq!(f.exchange.begun(), 2, "{answer:?}");
    }
}

#[tokio::test]
async fn ex_12_an_api_that_challenges_every_new_token_causes_one_exchange_a_minute() {
    let f = fixture(100, 128);
    let mut token = f.store.obtain(want("alice")).await.unwrap();
    token = for_claims(&f, &token).await.unwrap();
    for _ in 0..20 {
        assert_eq!(for_claims(&f, &token).await.unwrap_err(), "{}");
    }
    assert_eq!(f.exchange.begun(), 2);
    f.clock.advance(Duration::from_secs(30));
    token = f.store.obtain(want("alice")).await.unwrap();
    assert_eq!(for_claims(&f, &token).await.unwrap_err(), "{}");
    assert_eq!(f.exchange.begun(), 3);
    f.clock.advance(Duration::from_secs(30));
    assert!(for_claims(&f, &token).await.is_ok());
    assert_eq!(f.exchange.begun(), 4);
}

#[tokio::test]
async fn ex_12_first_tokens_come_before_tries_to_spare_a_sign_in() {
    let f = fixture(1, 1);
    let first = f.store.obtain(want("alice")).await.unwrap();
    let store = Arc::clone(&f.store);
    let other = tokio::spawn(async move { store.obtain(want("bob")).await });
    f.exchange.until_begun(2).await;
    assert_eq!(for_claims(&f, &first).await.unwrap_err(), "{}");
    f.exchange.open();
    assert!(other.await.unwrap().is_ok());
    assert_eq!(f.exchange.begun(), 2);
}

#[tokio::test]
async fn ex_13_an_api_that_always_says_401_causes_one_exchange_a_minute() {
    let f = fixture(100, 128);
    for _ in 0..20 {
        let token = f.store.obtain(want("alice")).await.unwrap();
        f.store.revoke_once_a_minute(&token);
    }
    assert_eq!(f.exchange.begun(), 2);
    f.clock.advance(Duration::from_secs(60));
    let token = f.store.obtain(want("alice")).await.unwrap();
    f.store.revoke_once_a_minute(&token);
    f.store.obtain(want("alice")).await.unwrap();
    assert_eq!(f.exchange.begun(), 3);
}

/// A 401 that comes late is about a token that has been replaced.
#[tokio::test]
async fn ex_13_a_401_of_a_token_that_is_gone_says_nothing_about_its_successor() {
    for (case, renewed) in [("dropped", false), ("renewed", true)] {
        let f = fixture(100, 128);
        let first = f.store.obtain(want("alice")).await.unwrap();
        match renewed {
            true => drop(f.store.tokens.remove(first.key())),
            false => f.store.revoke(&first),
        }
        let second = f.store.obtain(want("alice")).await.unwrap();
        f.store.revoke_once_a_minute(&first);
        assert!(!first.is_alive(f.clock.now()), "{case}");
        assert!(second.is_fresh(f.clock.now()), "{case}");
        // The successor's own 401 still has its turn.
        f.store.revoke_once_a_minute(&second);
        assert!(!second.is_alive(f.clock.now()), "{case}");
    }
}

/// To the caller it is a token that is no good here, like any other; whoever runs the service has to know
/// that tokens come encrypted.
#[tokio::test]
async fn jw_09_for_an_encrypted_token_the_log_names_the_reason() {
    let lines = crate::lines::Lines::of_all_levels();
    let _subscribed = tracing::subscriber::set_default(lines.clone());
    let f = fixture(0, 128);
    let context = Arc::new(crate::challenge::ChallengeContext {
        realm: "".into(),
        authorization_uri: None,
        resource_metadata: None,
    });
    for (defect, reason) in [
        (TokenDefect::Encrypted, "encrypted"),
        (TokenDefect::Form, "form"),
    ] {
        f.store.report(Rejection::token(defect, &context));
        let said = lines.take();
        let [line] = &said[..] else {
            panic!("{said:?}");
        };
        let defect = format!("defect=\"{reason}\"");
        assert!(
            line.contains("request refused") && line.contains(&defect),
            "{line}"
        );
    }
}

/// Its users cannot mend it, so that whoever runs the service must hear of it.
#[tokio::test]
async fn ex_04_an_audience_that_is_anothers_is_told_to_whoever_accepts_it() {
    let lines = crate::lines::Lines::default();
    let _subscribed = tracing::subscriber::set_default(lines.clone());
    let f = fixture(2, 128);
    for (code, warnings) in [(50_013, 0), (500_131, 1)] {
        f.exchange.answers(Answer::Code(code));
        assert!(f.store.obtain(want(&code.to_string())).await.is_err());
        let said = lines.take();
        let warned = said.iter().filter(|line| line.starts_with("WARN"));
        assert_eq!(warned.count(), warnings, "{code}: {said:?}");
    }
}
