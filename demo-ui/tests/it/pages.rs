//! What the pages hold, and what they never do.

use axum::response::IntoResponse as _;
use reqwest::Method;
use serde_json::json;

use crate::support::{Api, World, list};

#[tokio::test]
async fn ui_07_every_page_has_its_headers() {
    let world = World::start().await;
    let browser = world.browser();
    let mut pages = Vec::new();
    for path in [
        "/",
        "/account/login",
        "/account/callback?state=x",
        "/account/logout",
        "/nowhere",
        "/raw",
        "/assets/style.css",
        "/healthz",
    ] {
        pages.push((path, browser.get(path).await));
    }
    let post = browser.request(Method::POST, "/assets/style.css");
    pages.push(("POST of an asset", browser.send(post).await));
    pages.push(("signed in", world.sign_in(&browser, "alice").await));
    let signed_in = browser.get("/").await;
    pages.push(("sign-out", browser.sign_out(&signed_in.csrf_token()).await));
    for (path, page) in pages {
        let header = |name: &str| page.headers[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(policy.contains("base-uri 'none'"), "{path}");
        let authority = world.entra.url().origin().ascii_serialization();
        assert!(
            policy.ends_with(&format!("form-action 'self' {authority}")),
            "{policy}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        if !path.contains("assets/") {
            assert_eq!(header("cache-control"), "no-store", "{path}");
        }
    }
}

#[tokio::test]
async fn pages_need_no_script_and_nothing_from_elsewhere() {
    let world = World::start().await;
    let browser = world.browser();
    let landing = browser.get("/").await;
    let table = world.sign_in(&browser, "alice").await;
    let raw = browser.get("/raw").await;
    let missing = browser.get("/nowhere").await;
    assert_eq!(missing.status, 404);
    for page in [landing, table, raw, missing] {
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        for forbidden in [
            "<script",
            " style=",
            "<style",
            " onclick",
            "src=\"http",
            "href=\"http",
        ] {
            assert!(!page.text.contains(forbidden), "{forbidden}");
        }
        assert!(page.text.starts_with("<!doctype html>\n<html lang=\"en\">"));
        assert_eq!(page.text.matches("<h1").count(), 1);
        assert_eq!(page.text.matches("<main").count(), 1);
    }
    let style = browser.get("/assets/style.css").await;
    assert_eq!(style.headers["content-type"], "text/css; charset=utf-8");
    assert!(!style.text.contains("url(") && !style.text.contains("@import"));
    assert_eq!(
        browser.get("/assets/icon.svg").await.headers["content-type"],
        "image/svg+xml"
    );
}

#[tokio::test]
async fn the_table_has_name_id_state_tags_and_tenant() {
    let world = World::start().await;
    world.api.answers(|_| {
        let mut many = vec![json!({
            "displayName": "One", "subscriptionId": "11111111-2222-4333-8444-555555555555",
            "state": "Enabled", "tenantId": crate::entra::TENANT,
            "tags": {"env": "prod", "bare": "", "<i>": "x"},
        })];
        many.push(json!({"displayName": "Two", "tags": "none of the form"}));
        axum::Json(json!({"value": many})).into_response()
    });
    let page = world.sign_in(&world.browser(), "alice").await;
    for text in [
        "2 subscriptions",
        r#"<th scope="col""#,
        ">One<",
        ">Two<",
        "11111111-2222-4333-8444-555555555555",
        ">Enabled<",
        ">env: prod<",
        ">bare<",
        ">&#60;i&#62;: x<",
        crate::entra::TENANT,
        r#"href="/raw""#,
        "Sign out",
    ] {
        assert!(page.shows(text), "{text}");
    }
}

#[tokio::test]
async fn a_user_without_subscriptions_is_told_so() {
    let world = World::start().await;
    world.api.answers(|_| list(&[]));
    let page = world.sign_in(&world.browser(), "frank").await;
    assert_eq!(page.status, 200);
    for text in [
        "reach any subscription",
        "What to check",
        "frank@contoso.example",
        crate::entra::TENANT,
        r#"href="/account/login?prompt=select_account""#,
    ] {
        assert!(page.shows(text), "{text}");
    }
}

#[tokio::test]
async fn pages_of_the_list_are_followed_at_the_api() {
    let world = World::start().await;
    world.api.answers(|seen| match seen.uri.query() {
        None => next("first", "/subscriptions?%24skiptoken=a%2Fb"),
        Some("%24skiptoken=a%2Fb") => next("second", "?%24skiptoken=c"),
        Some("%24skiptoken=c") => list(&["third"]),
        Some(other) => panic!("{other}"),
    });
    let browser = world.browser();
    let page = world.sign_in(&browser, "grace").await;
    for text in ["3 subscriptions", ">first<", ">second<", ">third<"] {
        assert!(page.shows(text), "{text}");
    }
    assert!(!page.shows("longer than"));
    assert!(browser.get("/raw").await.shows("in 3 pages"));
}

#[tokio::test]
async fn ui_08_markup_in_the_data_is_text() {
    let world = World::start().await;
    let nasty = r#"<img src=x onerror=alert(1)>"'&"#;
    world.api.answers(move |_| list(&[nasty]));
    world.entra.set(|knobs| {
        knobs.claims = Box::new(move |claims| claims["name"] = json!(nasty));
    });
    let browser = world.browser();
    for page in [
        world.sign_in(&browser, "alice").await,
        browser.get("/raw").await,
    ] {
        assert!(!page.text.contains("<img src=x"));
        assert!(page.shows("&#60;img src=x onerror=alert(1)&#62;"));
    }
    // The name in the heading is escaped where it stands in an attribute's neighbourhood too.
    world.api.answers(|_| {
        axum::Json(json!({"value": [{"state": "\"><script>", "displayName": 7}, null, []]}))
            .into_response()
    });
    let page = browser.get("/").await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("<script"));
}

#[tokio::test]
async fn ui_08_a_next_page_on_another_host_never_gets_the_token() {
    let world = World::start().await;
    let elsewhere = Api::start().await;
    for link in [
        format!("{}subscriptions?page=2", elsewhere.url),
        format!("//{}/x", elsewhere.url.authority()),
    ] {
        world.api.answers(move |_| next("mine", &link));
        let page = world.sign_in(&world.browser(), "alice").await;
        assert_eq!(page.status, 200);
        assert!(page.shows(">mine<") && page.shows("another host"));
    }
    assert!(elsewhere.seen().is_empty());
}

/// Any address that lists subscriptions: with a path and a query of its own, and the list alone.
#[tokio::test]
async fn an_api_of_another_kind_is_shown_as_well() {
    let api = Api::start().await;
    api.answers(|_| {
        let list = r#" [{"displayName": "One", "subscriptionId": "1", "state": "Enabled"}]"#;
        ([("content-type", "application/json")], list).into_response()
    });
    let mut url = api.url.clone();
    url.set_path("/api/mine");
    url.set_query(Some("api-version=2022-12-01"));
    let world = World::with(|config| config.api_url = url).await;
    let browser = world.browser();
    let page = world.sign_in(&browser, "alice").await;
    assert!(
        page.shows(">One<") && page.shows("1 subscription that"),
        "{}",
        page.text
    );
    let asked = api.seen()[0].uri.to_string();
    assert_eq!(asked, "/api/mine?api-version=2022-12-01");
    assert!(browser.get("/raw").await.shows("One"));
    assert!(browser.get("/what-happened").await.shows("did not say"));
}

#[tokio::test]
async fn ui_08_a_redirect_of_the_api_is_not_followed() {
    let world = World::start().await;
    let elsewhere = Api::start().await;
    let target = elsewhere.url.to_string();
    world.api.answers(move |_| {
        (
            axum::http::StatusCode::TEMPORARY_REDIRECT,
            [("location", target.clone())],
        )
            .into_response()
    });
    let page = world.sign_in(&world.browser(), "alice").await;
    assert_eq!(page.status, 502);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn ui_08_a_list_without_end_is_cut_off() {
    let world = World::start().await;
    world.api.answers(|seen| {
        let number: u32 = seen.uri.query().map_or(0, |query| query.parse().unwrap());
        next("again", &format!("/subscriptions?{}", number + 1))
    });
    let browser = world.browser();
    let page = world.sign_in(&browser, "alice").await;
    assert!(page.shows("20 subscriptions") && page.shows("longer than"));
    assert_eq!(world.api.seen().len(), 20);

    // A page that names itself.
    world.api.answers(|_| next("same", "/subscriptions"));
    assert!(browser.get("/").await.shows("1 subscription"));
    assert_eq!(world.api.seen().len(), 21);
}

#[tokio::test]
async fn ui_08_an_answer_too_long_to_read_is_a_page_of_its_own() {
    let world = World::start().await;
    world
        .api
        .answers(|_| " ".repeat(9 * 1024 * 1024).into_response());
    let page = world.sign_in(&world.browser(), "alice").await;
    assert_eq!(page.status, 502);
    assert!(page.shows("too long an answer") && page.shows("Try again"));
}

fn next(name: &str, link: &str) -> axum::response::Response {
    axum::Json(json!({"value": [{"displayName": name}], "nextLink": link})).into_response()
}
