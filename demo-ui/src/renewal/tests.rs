use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::*;
use crate::clock;
use crate::config::Config;
use crate::people::tests::account;

/// An Entra ID that answers token requests when it is let, with what it is told.
struct Stand {
    asked: AtomicUsize,
    go: Semaphore,
    answer: Mutex<(u16, Value)>,
}

impl Stand {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn answers(&self, status: u16, body: Value) {
        *self.answer.lock().unwrap() = (status, body);
    }

    async fn until_asked(&self) {
        let asked = async {
            while self.asked() == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let asked = timeout(Duration::from_secs(20), asked).await;
        asked.expect("a renewal is begun");
    }

    async fn start() -> (Arc<Self>, Arc<Ui>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let new = json!({"token_type": "Bearer", "expires_in": 3600, "access_token": "new"});
        let stand = Arc::new(Self {
            asked: AtomicUsize::new(0),
            go: Semaphore::new(0),
            answer: Mutex::new((200, new)),
        });
        let document = json!({
            "issuer": format!("{url}/t/v2.0"),
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
        });
        let told = Arc::clone(&stand);
        let token = move || async move {
            told.asked.fetch_add(1, Ordering::SeqCst);
            told.go.acquire().await.unwrap().forget();
            let (status, body) = told.answer.lock().unwrap().clone();
            (StatusCode::from_u16(status).unwrap(), Json(body))
        };
        let router = Router::new()
            .route(
                "/t/v2.0/.well-known/openid-configuration",
                get(move || async move { Json(document) }),
            )
            .route("/token", post(token));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let api = "http://127.0.0.1:9".parse().unwrap();
        let mut config = Config::new("t", "ui", "secret".to_owned().into(), api, "api://x/y");
        config.authority = Some(url.parse().unwrap());
        let settings = config.resolve(([127, 0, 0, 1], 1).into()).unwrap();
        (stand, Ui::new(settings).unwrap())
    }
}

/// An account whose token is to be renewed and is good for so long.
fn good_for(seconds: i64) -> Arc<Account> {
    let now = clock::now();
    let renew = |expires: OffsetDateTime| expires - time::Duration::minutes(5);
    let expires = now + time::Duration::seconds(seconds);
    Arc::new(account(expires, renew(expires)))
}

async fn token(ui: &Arc<Ui>, account: &Arc<Account>) -> Result<String, EntraError> {
    let token = ui.renewed("name".to_owned(), account).await;
    token.map(AccessToken::into_secret)
}

/// The same, and nobody waits for anything.
async fn at_once(ui: &Arc<Ui>, account: &Arc<Account>) -> Result<String, EntraError> {
    let token = timeout(Duration::from_millis(900), token(ui, account)).await;
    token.expect("it is handed out at once")
}

async fn until_it_is(fresh: bool, account: &Arc<Account>) {
    let until = async {
        while (account.age() == Age::Fresh) != fresh || account.renewals().is_under_way() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let until = timeout(Duration::from_secs(20), until).await;
    until.expect("the renewal ends");
}

#[tokio::test]
async fn a_token_that_is_still_good_is_handed_out_while_one_renewal_is_under_way() {
    let (entra, ui) = Stand::start().await;
    let alice = good_for(200);
    for _ in 0..5 {
        assert_eq!(at_once(&ui, &alice).await.unwrap(), "a");
    }
    entra.until_asked().await;
    assert_eq!(at_once(&ui, &alice).await.unwrap(), "a");
    entra.go.add_permits(1);
    until_it_is(true, &alice).await;
    assert_eq!(at_once(&ui, &alice).await.unwrap(), "new");
    assert_eq!(entra.asked(), 1);
}

#[tokio::test]
async fn whatever_fails_the_good_token_serves_and_entra_id_is_left_in_peace_for_a_while() {
    for (status, body) in [
        (401, json!({"error": "invalid_client"})),
        (200, json!("nonsense")),
        (503, json!({})),
    ] {
        let (entra, ui) = Stand::start().await;
        entra.answers(status, body);
        entra.go.add_permits(9);
        let alice = good_for(200);
        assert_eq!(at_once(&ui, &alice).await.unwrap(), "a");
        entra.until_asked().await;
        until_it_is(false, &alice).await;
        for _ in 0..5 {
            assert_eq!(at_once(&ui, &alice).await.unwrap(), "a", "{status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(entra.asked(), 1, "{status}");
        // The pause is over: it is tried again.
        let longer = Duration::from_secs(1);
        if let Some(failed) = &mut alice.renewals().last().failed {
            failed.when = failed.when.checked_sub(PAUSE + longer).unwrap();
        }
        assert_eq!(at_once(&ui, &alice).await.unwrap(), "a", "{status}");
        let again = async {
            while entra.asked() < 2 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(20), again)
            .await
            .expect("again");
    }
}

#[tokio::test]
async fn a_refusal_that_only_the_user_can_help_with_is_told_at_the_next_page() {
    let (entra, ui) = Stand::start().await;
    entra.answers(400, json!({"error": "invalid_grant"}));
    entra.go.add_permits(9);
    let alice = good_for(200);
    assert_eq!(at_once(&ui, &alice).await.unwrap(), "a");
    entra.until_asked().await;
    until_it_is(false, &alice).await;
    for _ in 0..3 {
        let refused = at_once(&ui, &alice).await.unwrap_err();
        assert!(refused.needs_user(), "{refused:?}");
    }
    assert_eq!(entra.asked(), 1);

    // Another machine has got tokens meanwhile: of those nothing was said.
    let later = clock::now() + time::Duration::seconds(150);
    let now = clock::now();
    alice.adopt(crate::entra::Tokens::restored(
        AccessToken::new("b".to_owned()),
        alice.tokens().refresh,
        (later, now),
    ));
    assert_eq!(at_once(&ui, &alice).await.unwrap(), "b");
}

#[tokio::test]
async fn a_token_that_is_about_to_end_is_waited_for_a_little() {
    let (entra, ui) = Stand::start().await;
    let alice = good_for(30);
    // Nobody answers: it serves for what is left of it.
    assert_eq!(token(&ui, &alice).await.unwrap(), "a");
    entra.until_asked().await;
    assert_eq!(entra.asked(), 1);
    let (next, ()) = tokio::join!(token(&ui, &alice), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        entra.go.add_permits(1);
    });
    assert_eq!(next.unwrap(), "new");
    assert_eq!(entra.asked(), 1);
}

#[tokio::test]
async fn where_the_token_is_over_all_who_wait_have_the_failure_of_one_renewal() {
    let (entra, ui) = Stand::start().await;
    entra.answers(503, json!({}));
    let alice = good_for(-1);
    let all = async { tokio::join!(token(&ui, &alice), token(&ui, &alice), token(&ui, &alice)) };
    let (all, ()) = tokio::join!(all, async {
        entra.until_asked().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        entra.go.add_permits(9);
    });
    assert!(all.0.is_err() && all.1.is_err() && all.2.is_err());
    assert_eq!(entra.asked(), 1);
    // Whoever comes later has it tried again: there is no other token.
    assert!(token(&ui, &alice).await.is_err());
    assert_eq!(entra.asked(), 2);
}
