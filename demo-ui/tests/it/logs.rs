//! What is logged, and what never is.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use tracing_subscriber::EnvFilter;

use crate::entra::SECRET;
use crate::support::World;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// The runtime of the test has one thread: what the app logs comes here, and nothing of other tests.
#[tokio::test]
async fn no_code_state_token_secret_or_cookie_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("demo_ui=trace,tower_sessions=debug,info"))
        .with_writer(move || writer.clone())
        .finish();
    // While there is one subscriber only, a place that logs for the first time in another test's
    // thread, which has none, is switched off for good. With two, all of them are asked.
    let second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);

    let world = World::start().await;
    world.entra.set(|knobs| knobs.expires_in = 0);
    let browser = world.browser();
    let authorize = world.begin(&browser).await;
    let request = world.entra.request(&authorize);
    let before = browser.cookie().1;
    let page = world.finish(&browser, &authorize, "alice").await;
    browser
        .get("/account/callback?code=secret-code&state=secret-state")
        .await;
    browser.get("/account/login?return=secret-return").await;
    world.api.answers(|_| StatusCode::FORBIDDEN.into_response());
    browser.get("/").await;
    let (_, cookie) = browser.cookie();
    browser.sign_out(&page.csrf_token()).await;
    drop(guard);
    drop(second);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("/account/callback") && log.contains("signed in"),
        "{log}"
    );
    for secret in [
        "access-alice",
        "refresh-",
        "code-",
        "secret-",
        SECRET,
        "alice@",
        &request["state"],
        &request["nonce"],
        &page.csrf_token(),
        &before,
        &cookie,
    ] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
