//! Azure Resource Manager's subscriptions.

use base64::Engine as _;
use entra_emulator::{Emulator, RateLimit, demo};
use serde_json::{Value, json};

use crate::support::{Answer, claims_of, client, exchange, start};

const LIST: &str = "/subscriptions?api-version=2022-12-01";

async fn get(emulator: &Emulator, path: &str, token: Option<&str>) -> Answer {
    let mut request = client().get(format!("{}{path}", emulator.arm_url()));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Answer::of(request.send().await.unwrap()).await
}

fn names(answer: &Answer) -> Vec<&str> {
    answer.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["displayName"].as_str().unwrap())
        .collect()
}

#[track_caller]
fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.body["error"]["code"].as_str()),
        (status, Some(code)),
        "{}",
        answer.body
    );
    assert!(!answer.body["error"]["message"].as_str().unwrap().is_empty());
    assert_eq!(answer.header("x-ms-failure-cause"), "gateway");
    if status == 401 {
        assert!(answer.header("www-authenticate").starts_with("Bearer "));
    }
}

#[tokio::test]
async fn each_user_sees_their_own() {
    let emulator = start().await;
    let exchanged = exchange(&emulator, &emulator.user_token("alice"), &[]).await;
    let alice = get(&emulator, LIST, Some(exchanged.text("access_token"))).await;
    assert_eq!(alice.status, 200, "{}", alice.body);
    assert_eq!(names(&alice), ["Alice Production", "Alice Sandbox"]);
    assert_eq!(alice.body["count"], json!({"type": "Total", "value": 2}));
    assert!(alice.body.get("nextLink").is_none());
    let first = &alice.body["value"][0];
    assert_eq!(first["tenantId"], demo::CONTOSO);
    assert_eq!(first["state"], "Enabled");
    assert_eq!(
        first["id"],
        format!(
            "/subscriptions/{}",
            first["subscriptionId"].as_str().unwrap()
        )
    );
    assert_eq!(first["tags"], json!({"environment": "production"}));

    let bob = get(&emulator, LIST, Some(&emulator.arm_token("bob"))).await;
    assert_eq!(
        names(&bob),
        ["Bob Data Platform", "Bob Experiments", "Bob Legacy"]
    );
    let frank = get(&emulator, LIST, Some(&emulator.arm_token("frank"))).await;
    assert_eq!(frank.body["value"], json!([]));
}

#[tokio::test]
async fn an_answer_has_arms_headers() {
    let emulator = start().await;
    let id = "5d9c2c59-6b6b-4a0c-8d3b-3c0fbd1f5f11";
    let response = client()
        .get(format!("{}{LIST}", emulator.arm_url()))
        .bearer_auth(emulator.arm_token("alice"))
        .header("x-ms-client-request-id", id)
        .header("x-ms-return-client-request-id", "true")
        .send()
        .await
        .unwrap();
    let answer = Answer::of(response).await;
    assert_eq!(answer.header("x-ms-client-request-id"), id);
    for name in [
        "x-ms-request-id",
        "x-ms-correlation-request-id",
        "x-ms-routing-request-id",
        "x-ms-ratelimit-remaining-tenant-reads",
        "strict-transport-security",
    ] {
        assert!(!answer.header(name).is_empty(), "{name}");
    }
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(answer.header("expires"), "-1");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn many_subscriptions_come_in_pages() {
    let emulator = Emulator::builder().page_size(120).start().await.unwrap();
    let token = emulator.arm_token("grace");
    let mut path = LIST.to_owned();
    let mut pages = Vec::new();
    let mut all = Vec::new();
    loop {
        let page = get(&emulator, &path, Some(&token)).await;
        assert_eq!(page.body["count"]["value"], 250);
        pages.push(names(&page).len());
        all.extend(names(&page).iter().map(|&name| name.to_owned()));
        let Some(next) = page.body["nextLink"].as_str() else {
            break;
        };
        path = next.strip_prefix(emulator.arm_url()).unwrap().to_owned();
        assert!(path.contains("api-version=2022-12-01"), "{path}");
        assert!(path.contains("%24skiptoken="), "{path}");
    }
    assert_eq!(pages, [120, 120, 10]);
    all.dedup();
    assert_eq!(all.len(), demo::GRACE_SUBSCRIPTIONS);

    let bad = format!("{LIST}&%24skiptoken=nonsense");
    assert_error(
        &get(&emulator, &bad, Some(&token)).await,
        400,
        "InvalidSkipToken",
    );
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused() {
    let emulator = start().await;
    let missing = get(&emulator, LIST, None).await;
    assert_error(&missing, 401, "AuthenticationFailed");
    assert_eq!(
        missing.header("www-authenticate"),
        format!(
            "Bearer authorization_uri=\"{}/common\", error=\"invalid_token\", error_description=\"The authentication failed because of missing 'Authorization' header.\"",
            emulator.url()
        )
    );

    let token = || emulator.token().user("alice").arm();
    let (rest, _) = emulator
        .arm_token("alice")
        .rsplit_once('.')
        .map(|(rest, signature)| (rest.to_owned(), signature.to_owned()))
        .unwrap();
    let refused = [
        ("nonsense".to_owned(), "InvalidAuthenticationToken"),
        (format!("{rest}.AAAA"), "InvalidAuthenticationToken"),
        (
            token().header("alg", json!("none")).sign(),
            "InvalidAuthenticationToken",
        ),
        (token().expired().sign(), "ExpiredAuthenticationToken"),
        (
            emulator.user_token("alice"),
            "InvalidAuthenticationTokenAudience",
        ),
        (
            token()
                .claim("aud", json!("https://graph.microsoft.com"))
                .sign(),
            "InvalidAuthenticationTokenAudience",
        ),
        (
            token().claim("iss", json!("https://sts.example/")).sign(),
            "InvalidAuthenticationTokenTenant",
        ),
        (
            token()
                .tenant("00000000-0000-4000-8000-00000000dead")
                .sign(),
            "InvalidAuthenticationTokenTenant",
        ),
    ];
    for (token, code) in refused {
        println!("{code}");
        assert_error(&get(&emulator, LIST, Some(&token)).await, 401, code);
    }
    let basic = client()
        .get(format!("{}{LIST}", emulator.arm_url()))
        .basic_auth("a", Some("b"));
    assert_error(
        &Answer::of(basic.send().await.unwrap()).await,
        401,
        "AuthenticationFailed",
    );
}

#[tokio::test]
async fn a_request_that_is_not_right_is_refused() {
    let emulator = start().await;
    let token = emulator.arm_token("alice");
    for (path, status, code) in [
        ("/subscriptions", 400, "MissingApiVersionParameter"),
        (
            "/subscriptions?api-version=1999-01-01",
            400,
            "InvalidApiVersionParameter",
        ),
        ("/providers?api-version=2022-12-01", 404, "NotFound"),
    ] {
        assert_error(&get(&emulator, path, Some(&token)).await, status, code);
        // Whoever isn't known learns nothing else.
        assert_error(
            &get(&emulator, path, None).await,
            401,
            "AuthenticationFailed",
        );
    }
}

#[tokio::test]
async fn another_method_is_refused_as_arm_does_authentication_first() {
    let emulator = start().await;
    let token = emulator.arm_token("alice");
    for path in [
        "/subscriptions",
        "/subscriptions/x/resourceGroups",
        "/tenants",
    ] {
        let url = format!("{}{path}?api-version=2022-12-01", emulator.arm_url());
        let stranger = client().post(&url).send().await.unwrap();
        assert_error(&Answer::of(stranger).await, 401, "AuthenticationFailed");
        let known = client()
            .post(&url)
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        let refused = Answer::of(known).await;
        assert_error(&refused, 404, "NotFound");
        assert!(!refused.header("x-ms-request-id").is_empty());
    }
}

#[tokio::test]
async fn a_revoked_session_is_challenged_when_the_client_can_handle_it() {
    let emulator = start().await;
    let plain = emulator.arm_token("alice");
    let capable = emulator
        .token()
        .arm()
        .claim("xms_cc", json!(["cp1"]))
        .sign();
    assert_eq!(get(&emulator, LIST, Some(&capable)).await.status, 200);
    emulator.revoke_sessions("alice");
    assert_eq!(get(&emulator, LIST, Some(&plain)).await.status, 200);

    let challenged = get(&emulator, LIST, Some(&capable)).await;
    assert_error(&challenged, 401, "AuthenticationFailed");
    let challenge = challenged.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_claims\""),
        "{challenge}"
    );
    let claims = challenge
        .split("claims=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let claims: Value = serde_json::from_slice(
        &base64::engine::general_purpose::STANDARD
            .decode(claims)
            .unwrap(),
    )
    .unwrap();
    assert_eq!(claims["access_token"]["nbf"]["essential"], true);
}

#[tokio::test]
async fn one_subscription_and_its_resource_groups_are_the_users_own() {
    let emulator = start().await;
    let token = emulator.arm_token("alice");
    let list = get(&emulator, LIST, Some(&token)).await;
    let id = list.body["value"][0]["subscriptionId"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = |rest: &str| format!("/subscriptions/{id}{rest}?api-version=2022-12-01");
    let one = get(&emulator, &path(""), Some(&token)).await;
    assert_eq!(one.body, list.body["value"][0]);
    assert_eq!(
        one.header("x-ms-ratelimit-remaining-subscription-reads"),
        "249"
    );

    for spelled in ["/resourcegroups", "/resourceGroups"] {
        let groups = get(&emulator, &path(spelled), Some(&token)).await;
        let groups = groups.body["value"].as_array().unwrap();
        let names: Vec<_> = groups
            .iter()
            .map(|group| group["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["web", "data"]);
        assert_eq!(groups[1]["location"], "northeurope");
        assert_eq!(
            groups[1]["id"],
            format!("/subscriptions/{id}/resourceGroups/data")
        );
        assert_eq!(groups[1]["properties"]["provisioningState"], "Succeeded");
    }
    let group = get(&emulator, &path("/resourcegroups/WEB"), Some(&token)).await;
    assert_eq!(group.body["name"], "web");
    let none = get(&emulator, &path("/resourcegroups/none"), Some(&token)).await;
    assert_error(&none, 404, "ResourceGroupNotFound");

    // Bob does not even learn that it exists.
    for rest in ["", "/resourcegroups", "/resourcegroups/web"] {
        let bob = get(&emulator, &path(rest), Some(&emulator.arm_token("bob"))).await;
        assert_error(&bob, 404, "SubscriptionNotFound");
        assert_error(
            &get(&emulator, &path(rest), None).await,
            401,
            "AuthenticationFailed",
        );
        let unversioned = get(
            &emulator,
            &format!("/subscriptions/{id}{rest}"),
            Some(&token),
        )
        .await;
        assert_error(&unversioned, 400, "MissingApiVersionParameter");
    }
}

#[tokio::test]
async fn a_guest_is_in_two_tenants_and_sees_the_subscriptions_of_one() {
    let emulator = start().await;
    emulator.update_directory(|directory| {
        let erin = directory.user_mut("erin").unwrap();
        erin.guest_in.insert(
            demo::CONTOSO.to_owned(),
            "e2190000-0000-4000-8000-0000000000ff".to_owned(),
        );
    });
    let token = emulator.arm_token("erin");
    let tenants = get(&emulator, "/tenants?api-version=2022-12-01", Some(&token)).await;
    let tenants = tenants.body["value"].as_array().unwrap();
    let seen: Vec<_> = tenants
        .iter()
        .map(|one| {
            (
                one["defaultDomain"].as_str().unwrap(),
                one["tenantCategory"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("fabrikam.example", "Home"),
            ("contoso.example", "ProjectedBy")
        ]
    );
    assert_eq!(tenants[0]["id"], format!("/tenants/{}", demo::FABRIKAM));
    let alice = emulator.arm_token("alice");
    let tenants = get(&emulator, "/tenants?api-version=2022-12-01", Some(&alice)).await;
    assert_eq!(tenants.body["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn where_reads_are_limited_the_headers_count_down_and_then_it_is_429() {
    // A bucket is filled by the second of the emulator's clock: what is counted is what happened within one.
    let second = |emulator: &Emulator| claims_of(&emulator.arm_token("alice"))["iat"].clone();
    for _ in 0..50 {
        let emulator = Emulator::builder()
            .arm_rate_limit(RateLimit::new(2, 1))
            .start()
            .await
            .unwrap();
        let (alice, bob) = (emulator.arm_token("alice"), emulator.arm_token("bob"));
        let begun = second(&emulator);
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(get(&emulator, LIST, Some(&alice)).await);
        }
        if second(&emulator) != begun {
            continue;
        }
        for (answer, left) in answers.iter().zip(["1", "0"]) {
            assert_eq!(answer.header("x-ms-ratelimit-remaining-tenant-reads"), left);
        }
        assert_error(&answers[2], 429, "TooManyRequests");
        assert_eq!(answers[2].header("retry-after"), "1");
        let his = get(&emulator, LIST, Some(&bob)).await;
        assert_eq!(his.status, 200, "his own bucket");
        emulator.advance(std::time::Duration::from_secs(1));
        assert_eq!(get(&emulator, LIST, Some(&alice)).await.status, 200);
        return;
    }
    panic!("no three reads were within one second");
}
