use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;

#[test]
fn a_guid_is_written_in_one_way() {
    assert!(is_guid("72f988bf-86f1-41af-91ab-2d7cd011db47"));
    for other in [
        "common",
        "organizations",
        "{72f988bf-86f1-41af-91ab-2d7cd011db47}",
        "72f988bf86f141af91ab2d7cd011db47",
        "72f988bf-86f1-41af-91ab-2d7cd011db4g",
        "../x",
        "",
    ] {
        assert!(!is_guid(other), "{other}");
    }
}

#[test]
fn validators_with_other_rules_have_other_fingerprints() {
    let base = || Validator::builder().audience("a").tenant("t");
    let same = [base().build().fingerprint(), base().build().fingerprint()];
    assert_eq!(same[0], same[1]);
    for other in [
        base().audience("b"),
        base().tenant("u"),
        base().any_tenant(),
        base().with_leeway(Duration::ZERO),
        base().with_algorithms([Algorithm::Ps256]),
        base().with_max_token_bytes(1),
        base().keep_claim("name"),
        Validator::builder().audience("at").tenant(""),
    ] {
        assert_ne!(other.build().fingerprint(), same[0]);
    }
}

const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const NOW: Timestamp = Timestamp::from_unix(1_000);

/// The payload of a v2.0 token, with these claims in place of its own.
fn payload(changed: &serde_json::Value) -> String {
    let mut claims = serde_json::json!({"iss": "i", "aud": "a", "exp": 2_000, "nbf": 1_000,
        "ver": "2.0", "tid": TENANT});
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.to_string()
}

fn claims(payload: &str) -> RawClaims<'_> {
    RawClaims::parse(payload.as_bytes(), &[]).unwrap()
}

fn keys() -> KeySet {
    let issuers = crate::Issuers::new("https://login.example/{tenantid}/v2.0");
    let keys = br#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;
    KeySet::parse(keys, issuers, NOW, Duration::from_secs(60)).unwrap()
}

#[test]
fn a_token_of_exactly_the_largest_size_is_read() {
    let validator = Validator::builder().with_max_token_bytes(5).build();
    for (token, defect) in [
        ("1234", TokenDefect::Form),
        ("12345", TokenDefect::Form),
        ("123456", TokenDefect::TooLarge),
    ] {
        let refused = validator.validate(token, &keys(), NOW).unwrap_err();
        assert_eq!(refused, defect, "{token}");
    }
}

#[test]
fn only_rs256_is_accepted_unless_others_are_named() {
    let refused = |validator: Validator, algorithm: &str| {
        let header = format!(r#"{{"alg":"{algorithm}","kid":"k"}}"#);
        // With claims that are none: what is refused for its algorithm is refused before.
        let token = [header.as_str(), "[]", "s"].map(|part| URL_SAFE_NO_PAD.encode(part));
        validator
            .validate(&token.join("."), &keys(), NOW)
            .unwrap_err()
    };
    let claims = refused(Validator::builder().build(), "RS256");
    assert_ne!(claims, TokenDefect::Algorithm);
    for algorithm in ["PS256", "ES256", "RS512", "HS256", "none"] {
        let refused = refused(Validator::builder().build(), algorithm);
        assert_eq!(refused, TokenDefect::Algorithm, "{algorithm}");
    }
    let only_ps256 = || {
        Validator::builder()
            .with_algorithms([Algorithm::Ps256])
            .build()
    };
    assert_eq!(refused(only_ps256(), "RS256"), TokenDefect::Algorithm);
    assert_eq!(refused(only_ps256(), "PS256"), claims);
}

#[test]
fn an_application_says_so_or_has_roles_and_no_scope() {
    for (changed, app_only) in [
        (serde_json::json!({"scp": "a"}), false),
        (serde_json::json!({"scp": "a b", "roles": ["r"]}), false),
        (serde_json::json!({"roles": ["r"]}), true),
        (serde_json::json!({"scp": " ", "roles": ["r"]}), true),
        (serde_json::json!({"idtyp": "app"}), true),
        (serde_json::json!({"idtyp": "app", "scp": "a"}), true),
        (serde_json::json!({"idtyp": "user"}), false),
        (serde_json::json!({}), false),
    ] {
        let principal = Validator::builder()
            .build()
            .principal(claims(&payload(&changed)));
        assert_eq!(principal.is_app_only(), app_only, "{changed}");
    }
}

#[test]
fn scopes_and_clients_are_read_from_the_claims_of_the_version() {
    let read = |changed| {
        Validator::builder()
            .build()
            .principal(claims(&payload(&changed)))
    };
    let principal = read(serde_json::json!({"scp": " a  b ", "azp": "two", "appid": "one"}));
    assert!(principal.scopes().eq(["a", "b"]));
    assert_eq!(principal.client_id(), Some("two"));
    let principal = read(serde_json::json!({"ver": "1.0", "azp": "two", "appid": "one"}));
    assert_eq!(principal.client_id(), Some("one"));
}

#[test]
fn the_longest_lifetime_still_counts_and_a_second_more_does_not() {
    let validator = Validator::builder().build();
    let until = |exp: Timestamp| {
        let payload = payload(&serde_json::json!({"exp": exp.as_unix()}));
        let claims = claims(&payload);
        validator.check_lifetime(&claims, NOW)
    };
    let longest = NOW + MAX_LIFETIME;
    assert_eq!(until(longest), Ok(longest + Duration::from_secs(60)));
    let longer = longest + Duration::from_secs(1);
    assert_eq!(until(longer), Err(TokenDefect::Lifetime));
}

#[test]
fn a_list_of_audiences_counts_only_where_lists_are_accepted() {
    let strict = || Validator::builder().audience("ours");
    for (audience, strictly, leniently) in [
        (serde_json::json!("ours"), true, true),
        (serde_json::json!(["other", "ours"]), false, true),
        (serde_json::json!(["ours"]), false, true),
        (serde_json::json!(["other"]), false, false),
        (serde_json::json!([]), false, false),
    ] {
        let payload = payload(&serde_json::json!({"aud": audience}));
        let claims = claims(&payload);
        let fits = |validator: Validator| validator.check_audience(&claims).is_ok();
        assert_eq!(fits(strict().build()), strictly, "{audience}");
        let lenient = strict().accept_audience_lists().build();
        assert_eq!(fits(lenient), leniently, "{audience}");
    }
}

#[test]
fn only_cp1_says_that_a_client_can_answer_claims() {
    for (capabilities, capable) in [
        (serde_json::json!(["cp1"]), true),
        (serde_json::json!(["protapp", "cp1"]), true),
        (serde_json::json!(["CP1"]), true),
        (serde_json::json!(["protapp"]), false),
        (serde_json::json!([]), false),
    ] {
        let payload = payload(&serde_json::json!({"xms_cc": capabilities}));
        let claims = claims(&payload);
        let principal = Validator::builder().build().principal(claims);
        assert_eq!(
            principal.answers_claims_challenges(),
            capable,
            "{capabilities}"
        );
    }
}
