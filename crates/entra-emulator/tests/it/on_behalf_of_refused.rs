//! The On-Behalf-Of exchange: what it refuses.

use entra_emulator::{Directory, demo};
use serde_json::{Value, json};

use crate::support::{Answer, claims_of, client, exchange, exchange_at, start, start_with, token};

#[tokio::test]
async fn a_client_that_is_not_who_it_says_is_refused() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    let refused: &[(&[(&str, &str)], u16, &str, u32)] = &[
        (
            &[("client_secret", "wrong")],
            401,
            "invalid_client",
            7_000_215,
        ),
        (&[("client_secret", "")], 401, "invalid_client", 7_000_218),
        (
            &[("client_secret", ""), ("client_assertion", "a.b.c")],
            400,
            "invalid_request",
            900_144,
        ),
        (&[("client_id", "")], 400, "invalid_request", 900_144),
        (
            &[("client_id", "00000000-0000-4000-8000-000000000000")],
            400,
            "unauthorized_client",
            700_016,
        ),
        (
            // Microsoft's own resources don't ask for tokens here.
            &[("client_id", demo::ARM_CLIENT_ID)],
            400,
            "unauthorized_client",
            700_016,
        ),
    ];
    for (changes, status, error, code) in refused {
        exchange(&emulator, &assertion, changes)
            .await
            .assert_refused(*status, error, *code);
    }
    assert_eq!(emulator.exchanges(), 0);
}

#[tokio::test]
async fn an_assertion_that_does_not_hold_is_refused() {
    let emulator = start().await;
    let good = emulator.user_token("alice");
    let token = || emulator.token().user("alice");
    let withdrawn = emulator.add_key(None).unwrap();
    emulator.withdraw_key(&withdrawn);
    let fabrikams = emulator.add_key(Some(demo::FABRIKAM)).unwrap();
    let (rest, _) = good.rsplit_once('.').unwrap();
    let (_, other_signature) = emulator
        .user_token("bob")
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();

    let refused = [
        (
            "another token's signature",
            format!("{rest}.{other_signature}"),
            "invalid_grant",
            50_013,
        ),
        (
            "alg none",
            token().header("alg", json!("none")).sign(),
            "invalid_grant",
            50_013,
        ),
        (
            "an unknown key",
            token().header("kid", json!("nobody")).sign(),
            "invalid_grant",
            50_013,
        ),
        (
            "a withdrawn key",
            token().key(withdrawn).sign(),
            "invalid_grant",
            50_013,
        ),
        (
            "another tenant's key",
            token().key(fabrikams).sign(),
            "invalid_grant",
            50_013,
        ),
        (
            "a foreign issuer",
            token().claim("iss", json!("https://sts.example/")).sign(),
            "invalid_grant",
            50_013,
        ),
        (
            "an issuer of another tenant",
            token().claim("tid", json!(demo::FABRIKAM)).sign(),
            "invalid_grant",
            50_013,
        ),
        (
            "a tenant that isn't there",
            token()
                .tenant("00000000-0000-4000-8000-00000000dead")
                .sign(),
            "invalid_grant",
            50_013,
        ),
        (
            "a v1 version with a v2 issuer",
            token().claim("ver", json!("1.0")).sign(),
            "invalid_grant",
            50_013,
        ),
        (
            "expired",
            token().expired().sign(),
            "invalid_grant",
            500_133,
        ),
        (
            "not yet valid",
            token().claim("nbf", json!(4_000_000_000_i64)).sign(),
            "invalid_grant",
            500_133,
        ),
        (
            "no exp",
            token().without_claim("exp").sign(),
            "invalid_request",
            50_027,
        ),
        ("no JWT", "nonsense".to_owned(), "invalid_request", 50_027),
        (
            "no JSON",
            emulator.sign_raw(b"{", b"{"),
            "invalid_request",
            50_027,
        ),
        (
            "for ARM",
            emulator.arm_token("alice"),
            "invalid_grant",
            500_131,
        ),
        (
            "for the web app",
            token().claim("aud", json!(demo::UI_CLIENT_ID)).sign(),
            "invalid_grant",
            500_131,
        ),
        (
            "no audience",
            token().without_claim("aud").sign(),
            "invalid_grant",
            500_131,
        ),
        (
            "an application's own",
            token().app_only().sign(),
            "unauthorized_client",
            7_000_114,
        ),
        (
            "an ID token",
            token().id_token().sign(),
            "unauthorized_client",
            7_000_114,
        ),
        (
            "of a stranger",
            token()
                .claim("oid", json!("00000000-0000-4000-8000-000000000000"))
                .sign(),
            "invalid_grant",
            50_034,
        ),
    ];
    for (what, assertion, error, code) in refused {
        let answer = exchange(&emulator, &assertion, &[]).await;
        println!("{what}");
        answer.assert_refused(400, error, code);
    }
    assert_eq!(exchange(&emulator, &good, &[]).await.status, 200);
    assert_eq!(emulator.exchanges(), 1);
}

#[tokio::test]
async fn a_request_that_is_not_right_is_refused() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    let both = format!(
        "https://management.azure.com/.default {}/.default",
        demo::API_APP_ID_URI
    );
    let refused: &[(&[(&str, &str)], &str, u32)] = &[
        (&[("grant_type", "")], "invalid_request", 900_144),
        (
            &[("grant_type", "password")],
            "unsupported_grant_type",
            70_003,
        ),
        (
            &[("grant_type", "password")],
            "unsupported_grant_type",
            70_003,
        ),
        (&[("assertion", "")], "invalid_request", 900_144),
        (&[("scope", "")], "invalid_request", 900_144),
        (&[("requested_token_use", "")], "invalid_request", 900_144),
        (
            &[("requested_token_use", "impersonation")],
            "invalid_request",
            90_023,
        ),
        (
            &[("scope", "https://vault.azure.net/.default")],
            "invalid_resource",
            500_011,
        ),
        (&[("scope", "Mail.Read")], "invalid_scope", 70_011),
        (&[("scope", &both)], "invalid_scope", 70_011),
        (&[("scope", "openid profile")], "invalid_scope", 70_011),
        (
            &[("scope", "https://management.azure.com/everything")],
            "invalid_scope",
            70_011,
        ),
        (&[("claims", "{")], "invalid_request", 90_023),
    ];
    for (changes, error, code) in refused {
        println!("{changes:?}");
        exchange(&emulator, &assertion, changes)
            .await
            .assert_refused(400, error, *code);
    }
}

#[tokio::test]
async fn a_parameter_given_twice_is_refused() {
    let emulator = start().await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", demo::API_CLIENT_ID),
        ("client_id", demo::UI_CLIENT_ID),
    ];
    token(&emulator, &form)
        .await
        .assert_refused(400, "invalid_request", 9_000_411);
}

#[tokio::test]
async fn only_a_posted_form_is_read() {
    let emulator = start().await;
    let url = emulator.token_url(demo::CONTOSO);
    let answer = Answer::of(client().get(&url).send().await.unwrap()).await;
    answer.assert_refused(400, "invalid_request", 900_561);

    let posted = client()
        .post(&url)
        .json(&json!({"grant_type": "authorization_code"}));
    Answer::of(posted.send().await.unwrap())
        .await
        .assert_refused(400, "invalid_request", 900_144);
}

#[tokio::test]
async fn an_exchange_needs_the_tenant_of_the_user() {
    let emulator = start().await;
    let alice = emulator.user_token("alice");
    for path in ["common", "organizations"] {
        exchange_at(&emulator, path, &alice, &[])
            .await
            .assert_refused(400, "invalid_request", 9_001_023);
    }
    exchange_at(&emulator, "nowhere.example", &alice, &[])
        .await
        .assert_refused(400, "invalid_request", 90_002);
    exchange_at(&emulator, demo::FABRIKAM, &alice, &[])
        .await
        .assert_refused(400, "invalid_grant", 50_034);
    // The tenant may be named by its domain.
    let by_domain = exchange_at(&emulator, "contoso.example", &alice, &[]).await;
    assert_eq!(by_domain.status, 200, "{}", by_domain.body);
}

#[tokio::test]
async fn without_consent_there_is_no_exchange() {
    let emulator = start().await;
    let assertion = emulator.user_token_without_consent("alice");
    // Another user's consent is no help.
    emulator.grant_consent("bob");
    for scope in ["user_impersonation", ".default"] {
        let scope = format!("https://management.azure.com/{scope}");
        let answer = exchange(&emulator, &assertion, &[("scope", &scope)]).await;
        answer.assert_refused(400, "invalid_grant", 65_001);
        assert_eq!(answer.text("suberror"), "consent_required");
        assert!(answer.body.get("claims").is_none());
    }
    emulator.grant_consent("alice");
    assert_eq!(exchange(&emulator, &assertion, &[]).await.status, 200);
}

#[tokio::test]
async fn who_must_use_a_second_factor_is_sent_back_with_claims() {
    let emulator = start().await;
    for (user, code) in [("carol", 50_076), ("heidi", 50_079)] {
        let answer = exchange(&emulator, &emulator.user_token(user), &[]).await;
        answer.assert_refused(400, "interaction_required", code);
        assert_eq!(answer.text("suberror"), "basic_action");
        let claims: Value = serde_json::from_str(answer.text("claims")).unwrap();
        assert_eq!(
            claims,
            json!({"access_token": {"polids": {"essential": true, "values": [demo::MFA_POLICY]}}})
        );
    }
    // Having used one, Carol is let through, and the token says so.
    let stepped_up = emulator.token().user("carol").mfa().sign();
    let answer = exchange(&emulator, &stepped_up, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let claims = claims_of(answer.text("access_token"));
    assert_eq!(claims["amr"], json!(["pwd", "mfa"]));
}

#[tokio::test]
async fn an_account_that_was_cut_off_is_refused() {
    let emulator = start().await;
    let dave = emulator.user_token("dave");
    exchange(&emulator, &dave, &[])
        .await
        .assert_refused(400, "invalid_grant", 50_057);

    let before = emulator.user_token("alice");
    emulator.revoke_sessions("alice");
    let answer = exchange(&emulator, &before, &[]).await;
    answer.assert_refused(400, "invalid_grant", 50_173);
    let after = emulator.user_token("alice");
    assert_eq!(exchange(&emulator, &after, &[]).await.status, 200);
}

#[tokio::test]
async fn an_assertion_expires_with_the_emulators_clock() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    emulator.advance(std::time::Duration::from_secs(90 * 60));
    exchange(&emulator, &assertion, &[])
        .await
        .assert_refused(400, "invalid_grant", 500_133);
}

#[tokio::test]
async fn an_application_of_one_tenant_is_unknown_in_another() {
    let mut directory = Directory::demo();
    directory
        .application_mut(demo::API_CLIENT_ID)
        .unwrap()
        .multi_tenant = false;
    let emulator = start_with(directory).await;
    let erin = emulator.user_token("erin");
    exchange_at(&emulator, demo::FABRIKAM, &erin, &[])
        .await
        .assert_refused(400, "unauthorized_client", 700_016);
}
