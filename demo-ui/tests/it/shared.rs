//! Sessions in Redis: the app runs on several machines, and Redis reads nothing.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;

use crate::entra::TENANT;
use crate::redis_server::{Redis, free_port, goes_on, spawn, two};
use crate::support::{World, config, list};

#[tokio::test]
async fn ui_01_ui_06_a_sign_in_begun_at_one_machine_is_finished_and_ended_at_another() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, there) = two(&redis).await;
    let authorize = world.begin(&here).await;
    goes_on(&here, &there);
    let back = world.entra.approve(&authorize, "alice");
    assert_eq!(there.get(&back).await.goes_on_to(), "/");
    let old = here.cookie();
    goes_on(&there, &here);
    assert_ne!(here.cookie(), old, "UI-05: a new id at sign-in");
    let page = here.get("/").await;
    assert!(page.shows("access-alice") && there.get("/").await.shows("access-alice"));
    // UI-01: the answer of a sign-in is good once, wherever.
    let asked = world.entra.token_requests().len();
    let again = here.get(&back).await;
    assert_eq!(again.status, 400);
    assert!(again.shows("be finished"), "{}", again.text);
    assert_eq!(
        world.entra.token_requests().len(),
        asked,
        "no token request"
    );
    // UI-06: over at one is over at all.
    there.sign_out(&page.csrf_token()).await;
    assert!(here.get("/").await.shows("Sign in (emulated Entra ID)"));
}

/// The machine that the sign-out comes to has never found out where Entra ID ends sessions.
#[tokio::test]
async fn ui_06_a_sign_out_while_entra_id_is_away_says_that_it_ended_here_alone() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, there) = two(&redis).await;
    let token = world.sign_in(&here, "alice").await.csrf_token();
    goes_on(&here, &there);
    world.entra.set(|knobs| knobs.discovery_fails = true);
    let page = there.sign_out(&token).await;
    assert_eq!(page.status, 503);
    let address = world.entra.url();
    for text in [
        "<h1 id=\"heading\">You are signed out here, but not at the emulated Entra ID</h1>",
        "This app has forgotten you.",
        "The emulated Entra ID is too busy",
        "Sign out there too",
        &format!("href=\"{address}{TENANT}/oauth2/v2.0/logout?post_logout_redirect_uri="),
        "Go to the start page",
    ] {
        assert!(page.shows(text), "{text}: {}", page.text);
    }
    // It is true here, for whoever kept the cookie too, and the start page does not say more than that.
    assert!(here.get("/").await.shows("Sign in (emulated Entra ID)"));
    let landing = there.get("/").await;
    assert!(
        landing.shows("You are signed out of this app."),
        "{}",
        landing.text
    );
    assert!(!there.get("/").await.shows("signed out"), "it is news once");
}

/// The account is gone, and with it whatever a session could open.
#[tokio::test]
async fn ui_06_a_sign_out_is_one_also_where_redis_keeps_the_empty_session() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, there) = two(&redis).await;
    let token = world.sign_in(&here, "alice").await.csrf_token();
    goes_on(&here, &there);
    redis.say(&[
        "ACL",
        "SETUSER",
        "default",
        "resetkeys",
        "~demo-ui:1:account:*",
        "~demo-ui:1:tokens:*",
        "(+get +set ~demo-ui:1:session:*)",
    ]);
    let page = here.sign_out(&token).await;
    assert!(page.location().contains("logout"), "{}", page.text);
    // Whoever kept the cookie has nothing of it.
    assert!(there.get("/").await.shows("Sign in (emulated Entra ID)"));
}

#[tokio::test]
async fn a_second_factor_that_was_turned_down_at_one_machine_is_known_at_the_other() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, there) = two(&redis).await;
    world.sign_in(&here, "carol").await;
    world.api.answers(|_| {
        let challenge = r#"Bearer error="insufficient_claims", claims="e30=""#;
        (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
    });
    let authorize = here.get("/").await.location().to_owned();
    let denied = [("error", "access_denied")];
    let back = world.entra.refuse(&authorize, &denied);
    assert_eq!(here.get(&back).await.status, 403);
    goes_on(&here, &there);
    let page = there.get("/").await;
    assert_eq!(
        page.status, 403,
        "she is not sent there again: {}",
        page.text
    );
    assert!(page.shows("/account/login?step-up"));
}

#[tokio::test]
async fn ui_05_what_is_in_redis_opens_nothing() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, _) = two(&redis).await;
    world.begin(&here).await;
    world.sign_in(&here, "alice").await;
    let (_, cookie) = here.cookie();
    let contents = redis.contents();
    assert!(
        contents.len() >= 3,
        "a session, a sign-in, an account: {contents:?}"
    );
    for (name, value) in contents {
        assert!(name.starts_with("demo-ui:1:"), "{name}");
        let text = String::from_utf8_lossy(&value);
        for secret in [
            "access-", "refresh-", "alice", &cookie, "csrf", "verifier", "account",
        ] {
            assert!(!text.contains(secret), "{secret} in {name}");
        }
        assert!(!name.contains(&cookie));
        let mut connection = redis.connection().unwrap();
        let life: i64 = redis::cmd("PTTL")
            .arg(&name)
            .query(&mut connection)
            .unwrap();
        assert!(life > 0, "{name} ends by itself");
    }
}

#[tokio::test]
async fn without_redis_the_app_says_so_and_recovers() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, _) = two(&redis).await;
    world.sign_in(&here, "alice").await;
    redis.stop();
    for path in ["/", "/account/login"] {
        let page = here.get(path).await;
        assert_eq!(page.status, 503);
        assert_eq!(page.headers["retry-after"], "5");
        assert!(page.shows("does not answer") && page.shows("Try again"));
    }
    assert_eq!(here.get("/assets/style.css").await.status, 200);
    assert_eq!(here.get("/healthz").await.status, 200);
    redis.process = spawn(&redis.folder, &[]);
    redis.until_it_answers().await;
    // This one is empty: she has to sign in again, and can.
    assert!(here.get("/").await.shows("Sign in (emulated Entra ID)"));
    assert!(world.sign_in(&here, "alice").await.shows("access-alice"));
}

/// As after a failover: this one is the other's copy now.
#[tokio::test]
async fn ui_06_where_redis_takes_no_sign_out_the_user_is_told_so() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, _) = two(&redis).await;
    let token = world.sign_in(&here, "alice").await.csrf_token();
    redis.say(&["REPLICAOF", "127.0.0.1", "1"]);
    let page = here.sign_out(&token).await;
    assert_eq!(page.status, 503);
    assert!(page.shows("You are still signed in here"), "{}", page.text);
    assert!(page.shows(r#"href="/""#), "a way on");
    assert_eq!(page.csrf_token(), token, "and the button itself");
    assert!(here.get("/").await.shows("access-alice"), "it is true");
    // Who begins a sign-in there has a page as well, and so has who never had a session.
    for browser in [&here, &world.browser()] {
        let page = browser.get("/account/login?return=%2Fraw").await;
        assert_eq!(page.status, 503);
        assert!(page.shows("could not be kept") && page.shows(r#"href="/raw""#));
    }
    redis.say(&["REPLICAOF", "NO", "ONE"]);
    assert!(here.sign_out(&token).await.location().contains("logout"));
    assert!(here.get("/").await.shows("Sign in (emulated Entra ID)"));
}

/// It answers, but tells nothing.
#[tokio::test]
async fn ui_06_where_redis_can_not_be_read_nobody_is_said_to_be_signed_out() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, _) = two(&redis).await;
    let token = world.sign_in(&here, "alice").await.csrf_token();
    // What is allowed stays so on connections that are open.
    redis.say(&["ACL", "SETUSER", "default", "-get"]);
    for path in ["/", "/raw", "/what-happened"] {
        let page = here.get(path).await;
        assert_eq!(page.status, 503, "{path}: {}", page.text);
        assert!(
            page.shows("Sessions can&#39;t be read right now"),
            "{}",
            page.text
        );
        assert!(page.shows(&format!(r#"href="{path}""#)), "{path} again");
    }
    let page = here.sign_out(&token).await;
    assert_eq!(page.status, 503);
    assert!(page.shows("You are still signed in here"), "{}", page.text);
    redis.say(&["ACL", "SETUSER", "default", "+get"]);
    assert!(here.get("/").await.shows("access-alice"));
}

#[tokio::test]
async fn redis_with_tls_is_believed_by_its_certificate() {
    let port = free_port();
    let mut root = String::new();
    let redis = Redis::with(|folder| {
        let names = ["localhost".to_owned()];
        let certified = rcgen::generate_simple_self_signed(names).unwrap();
        root = certified.cert.pem();
        std::fs::write(folder.join("cert.pem"), &root).unwrap();
        let key = certified.signing_key.serialize_pem();
        std::fs::write(folder.join("key.pem"), key).unwrap();
        let options = format!(
            "--tls-port {port} --tls-cert-file cert.pem --tls-key-file key.pem \
             --tls-ca-cert-file cert.pem --tls-auth-clients no"
        );
        options.split_whitespace().map(str::to_owned).collect()
    });
    let Some(redis) = redis.await else { return };
    redis.say(&["CONFIG", "SET", "requirepass", "hunter2"]);
    let url = format!("rediss://:hunter2@localhost:{port}");
    let world = World::with(|config| {
        config.redis_url = Some(url.clone().into());
        config.redis_ca = Some(root.clone().into());
    });
    let world = world.await;
    assert!(
        world
            .sign_in(&world.browser(), "alice")
            .await
            .shows("access-alice")
    );
    // Nobody has vouched for it, or it is not the password.
    let wrong = format!("rediss://:wrong@localhost:{port}");
    for (url, ca) in [(url, None), (wrong, Some(root.into_bytes()))] {
        let world = World::with(|config| {
            config.redis_url = Some(url.into());
            config.redis_ca = ca;
        });
        let page = world.await.browser().get("/").await;
        assert_eq!(page.status, 503);
    }
}

/// It takes connections and says nothing, as where packets are lost.
#[tokio::test]
async fn a_redis_that_is_silent_keeps_nobody_for_long_however_many_ask() {
    let name = format!("demo-ui-silent-{}", uuid::Uuid::new_v4().simple());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).unwrap();
    let silent = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    let url = format!("redis+unix://{}/socket", folder.display());
    let world = World::with(|config| config.redis_url = Some(url.into())).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let browser = world.browser();
        asking.spawn(async move { browser.get("/").await.status });
    }
    let all = tokio::time::timeout(Duration::from_secs(25), asking.join_all());
    let statuses = all
        .await
        .expect("one after the other they would wait for 40 s");
    assert_eq!(statuses, [StatusCode::SERVICE_UNAVAILABLE; 20]);
    drop(silent);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_call_for_which_entra_id_was_asked_is_known_to_the_process_that_made_it() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, there) = two(&redis).await;
    world
        .api
        .answers(|_| timed("obo-exchange;dur=41.5, obo-total;dur=50"));
    world.sign_in(&here, "alice").await;
    world.api.answers(|_| timed("obo-total;dur=8"));
    let page = here.get("/what-happened").await;
    assert!(
        page.shows("Earlier, with the exchange") && page.shows("41.5 ms"),
        "{}",
        page.text
    );
    goes_on(&here, &there);
    assert!(
        !there
            .get("/what-happened")
            .await
            .shows("Earlier, with the exchange")
    );
}

fn timed(timing: &'static str) -> axum::response::Response {
    ([("server-timing", timing)], list(&["One"])).into_response()
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_the_start_without_being_repeated() {
    let (entra, api) = (
        "http://127.0.0.1:9".parse().unwrap(),
        "http://127.0.0.1:9".parse().unwrap(),
    );
    let mut config = config(&entra, &api);
    config.redis_ca = Some(b"of no store".to_vec());
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("no redis_url"), "{error}");
    config.redis_url = Some("redis://user:pass-word@redis".to_owned().into());
    let error = config.check().unwrap_err().to_string();
    assert!(
        error.contains("rediss://") && !error.contains("pass-word"),
        "{error}"
    );
    config.redis_ca = None;
    // The client would take some of them, and warn of nothing.
    for scheme in ["http", "valkey", "valkeys", "unix"] {
        config.redis_url = Some(format!("{scheme}://user:pass-word@redis").into());
        for error in [
            config.check().unwrap_err(),
            demo_ui::start(config.clone()).await.unwrap_err(),
        ] {
            let error = format!("{error:#}");
            assert!(
                error.contains("redis_url") && !error.contains("pass-word"),
                "{scheme}: {error}"
            );
        }
    }
}
