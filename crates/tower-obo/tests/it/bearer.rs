//! BE-01 … BE-12: which token of a request counts.

use http::{HeaderValue, Method, Request, StatusCode, header::AUTHORIZATION};

use crate::fixture::{Body, World, request, with_authorization, with_token};

#[tokio::test]
async fn be_01_a_request_without_authorization_is_asked_for_a_token() {
    let world = World::start().await;
    world
        .refused("no header", request())
        .await
        .asks_for_a_token("no header");
}

#[tokio::test]
async fn be_02_another_scheme_is_no_token() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    for line in [
        "Basic dXNlcjpwYXNzd29yZA==".to_owned(),
        format!("Token {token}"),
        format!("BearerX {token}"),
        format!("XBearer {token}"),
        format!("Bearer-X {token}"),
        token.clone(),
    ] {
        let request = with_authorization(&[line.as_bytes()]);
        world.refused(&line, request).await.asks_for_a_token(&line);
    }
}

#[tokio::test]
async fn be_03_the_scheme_is_read_in_any_letter_case() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    for (calls, scheme) in ["Bearer", "bearer", "BEARER", "bEaReR"].iter().enumerate() {
        let line = format!("{scheme} {token}");
        let answer = world.send(with_authorization(&[line.as_bytes()])).await;
        assert_eq!(answer.status, StatusCode::OK, "{scheme}");
        assert_eq!(world.upstream.calls(), calls + 1, "{scheme}");
    }
    assert_eq!(world.exchanges_asked(), 1, "all of them are one token");
}

#[tokio::test]
async fn be_04_two_authorization_lines_are_ambiguous() {
    let world = World::start().await;
    let alice = format!("Bearer {}", world.entra.user_token("alice"));
    let bob = format!("Bearer {}", world.entra.user_token("bob"));
    let bad = format!("Bearer {}", world.entra.token().expired().sign());
    let basic = "Basic dXNlcjpwYXNzd29yZA==".to_owned();
    // Also when one of the two has been served by itself before.
    assert_eq!(
        world
            .send(with_authorization(&[alice.as_bytes()]))
            .await
            .status,
        StatusCode::OK
    );
    for (case, lines) in [
        ("good, bad", [&alice, &bad]),
        ("bad, good", [&bad, &alice]),
        ("good twice", [&alice, &alice]),
        ("two users", [&alice, &bob]),
        ("two users, the other way", [&bob, &alice]),
        ("good, Basic", [&alice, &basic]),
        ("Basic, good", [&basic, &alice]),
    ] {
        let request = with_authorization(&lines.map(|line| line.as_bytes()));
        world.refused(case, request).await.is_invalid_request(case);
    }
    let three = with_authorization(&[alice.as_bytes(); 3]);
    world
        .refused("three", three)
        .await
        .is_invalid_request("three");
}

#[tokio::test]
async fn be_05_one_line_with_two_credentials_is_ambiguous() {
    let world = World::start().await;
    let (a, b) = (
        world.entra.user_token("alice"),
        world.entra.user_token("bob"),
    );
    world.accepted("by itself", &a).await;
    for line in [
        format!("Bearer {a}, Bearer {b}"),
        format!("Bearer {a},Bearer {b}"),
        format!("Bearer {a} {b}"),
        format!("Bearer {a}, Basic dXNlcjpwYXNzd29yZA=="),
        format!("Bearer {a},"),
    ] {
        let request = with_authorization(&[line.as_bytes()]);
        world
            .refused(&line, request)
            .await
            .is_invalid_request(&line);
    }
}

#[tokio::test]
async fn be_06_a_scheme_or_a_line_without_a_token_is_malformed() {
    let world = World::start().await;
    for line in ["Bearer", "bearer", "Bearer ", "Bearer     ", "", " "] {
        let request = with_authorization(&[line.as_bytes()]);
        let case = format!("{line:?}");
        world
            .refused(&case, request)
            .await
            .is_invalid_request(&case);
    }
}

#[tokio::test]
async fn be_07_spaces_may_stand_before_the_token_and_no_tab() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    for spaces in [" ", "  ", "       "] {
        let line = format!("Bearer{spaces}{token}");
        let answer = world.send(with_authorization(&[line.as_bytes()])).await;
        assert_eq!(answer.status, StatusCode::OK, "{spaces:?}");
    }
    for tab in ["\t", " \t", "\t ", " \t "] {
        let line = format!("Bearer{tab}{token}");
        let request = with_authorization(&[line.as_bytes()]);
        let case = format!("{tab:?}");
        world
            .refused(&case, request)
            .await
            .is_invalid_request(&case);
    }
}

#[tokio::test]
async fn be_08_a_token_outside_of_the_header_is_none() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let form = Body::from(format!("access_token={token}"));
    let requests = [
        Request::get(format!("/?access_token={token}")).body(Body::default()),
        Request::get("/")
            .header("cookie", format!("access_token={token}"))
            .body(Body::default()),
        Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form),
    ];
    for (case, request) in ["query", "cookie", "form"].into_iter().zip(requests) {
        let answer = world.refused(case, request.unwrap()).await;
        answer.asks_for_a_token(case);
        answer.does_not_hold(&token, case);
    }
}

#[tokio::test]
async fn be_09_a_second_token_in_the_query_is_ambiguous() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    world.accepted("by itself", &token).await;
    for query in [
        format!("access_token={token}"),
        "access_token=other-token".to_owned(),
        "a=1&access_token=".to_owned(),
        "access_token".to_owned(),
        "access%5Ftoken=other-token&b=2".to_owned(),
        "%61ccess_toke%6e=other-token".to_owned(),
    ] {
        let mut request = with_token(&token);
        *request.uri_mut() = format!("/path?{query}").parse().unwrap();
        world
            .refused(&query, request)
            .await
            .is_invalid_request(&query);
    }
    let mut request = with_token(&token);
    *request.uri_mut() = "/?no_access_token=1&access_tokens=2".parse().unwrap();
    assert_eq!(world.send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn be_10_what_no_token_consists_of_is_malformed_and_not_repeated() {
    let world = World::start().await;
    let good = world.entra.user_token("alice");
    let tokens: Vec<Vec<u8>> = vec![
        "tökens-are-ascii".into(),
        b"\xff\xfe\x80\x81".into(),
        format!("\"{good}\"").into(),
        format!("'{good}'").into(),
        b"<script>alert(1)</script>".into(),
        format!("{good}<script>").into(),
        format!("{good}\t{good}").into(),
        b"percent%2Eencoded".into(),
        b"{\"json\":\"value\"}".into(),
        b"back\\slash".into(),
        [good.as_bytes(), b"\xc2\xa0"].concat(),
    ];
    for token in tokens {
        let line = [b"Bearer ", &token[..]].concat();
        let case = line.escape_ascii().to_string();
        let answer = world.refused(&case, with_authorization(&[&line])).await;
        answer.is_invalid_request(&case);
        for needle in ["<script", "alert", "ö", "%2E", "slash"] {
            answer.does_not_hold(needle, &case);
        }
    }
    // Other control characters cannot even be in a header: the HTTP stack refuses them.
    for byte in (0..0x20).chain([0x7f]).filter(|byte| *byte != b'\t') {
        assert!(HeaderValue::from_bytes(&[b'a', byte]).is_err());
    }
}

#[tokio::test]
async fn be_11_other_headers_are_no_place_for_a_token_and_never_go_on() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    let others = ["proxy-authorization", "x-forwarded-authorization"];
    for name in others {
        let mut request = request();
        request.headers_mut().insert(name, bearer.clone());
        world.refused(name, request).await.asks_for_a_token(name);
    }
    let mut request = with_token(&token);
    for name in others {
        request.headers_mut().append(name, bearer.clone());
        request.headers_mut().append(name, bearer.clone());
    }
    assert_eq!(world.send(request).await.status, StatusCode::OK);
    let seen = world.upstream.last();
    for name in others {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    assert!(!seen.authorization().contains(&token));
}

#[tokio::test]
async fn be_12_a_token_above_the_limit_is_refused_unseen() {
    let world = World::start().await;
    let padding = |bytes: usize| {
        let builder = world.entra.token().claim("padding", "x".repeat(bytes));
        world.entra.grant_consent("alice");
        builder.sign()
    };
    world.accepted("just below 16 KiB", &padding(10_000)).await;
    let large = padding(13_000);
    assert!(large.len() > 16 * 1024);
    for (case, token) in [
        ("a good token", large),
        ("rubbish of 5 MB", "A".repeat(5 * 1024 * 1024)),
        ("no b64token", "\"".repeat(17 * 1024)),
    ] {
        let request = with_token(&token);
        assert!(request.headers()[AUTHORIZATION].len() > 16 * 1024);
        let answer = world.refused(case, request).await;
        answer.is_invalid_token(case);
        let description = answer.challenge().unwrap();
        assert_eq!(
            description.get("error_description"),
            Some("the token is too large"),
            "{case}: refused for its size, before anything else was looked at"
        );
    }
}
