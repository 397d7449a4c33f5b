use serde_json::{Value, json};

use super::*;
use crate::Principal;

const ISSUER: &str = "https://id.example/realms/shop";

fn oidc() -> Oidc {
    Oidc::issuer(ISSUER).roles_claim("realm_access.roles")
}

fn good() -> Value {
    json!({"iss": ISSUER, "aud": ["shop-api", "account"], "exp": 2_000, "sub": "1", "azp": "app",
        "typ": "Bearer"})
}

fn read(oidc: &Oidc, claims: &Value) -> Result<Principal, TokenDefect> {
    let validator = Validator::builder().oidc(oidc).keep_claim("email").build();
    let payload = claims.to_string();
    let claims = validator.parse_oidc(&OidcRules::of(oidc), payload.as_bytes(), false)?;
    Ok(validator.principal(claims))
}

/// The token with these claims in place of its own; `null` takes one away.
fn with(changes: &Value) -> Value {
    let mut claims = good();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

#[test]
fn a_user_is_known_by_issuer_and_sub_and_nothing_of_entra_is_wanted() {
    let claims = with(
        &json!({"scope": "openid  orders.read", "jti": "j", "email": "a@b",
        "realm_access": {"other": 1, "roles": ["customer"]}, "tid": 5, "ver": ["x"], "oid": {}}),
    );
    let user = read(&oidc(), &claims).unwrap();
    assert_eq!((user.issuer(), user.subject()), (ISSUER, Some("1")));
    assert_eq!((user.tenant_id(), user.object_id()), ("", None));
    assert_eq!(
        (user.client_id(), user.token_id()),
        (Some("app"), Some("j"))
    );
    assert!(user.scopes().eq(["openid", "orders.read"]));
    assert!(user.roles().eq(["customer"]));
    assert_eq!(user.claim("email"), Some("a@b"));
    assert!(!user.is_app_only());
}

#[test]
fn scopes_are_one_text_or_a_list_and_the_standards_claim_comes_first() {
    for (changes, scopes) in [
        (json!({"scope": "a b"}), "a b"),
        (json!({"scp": "a b"}), "a b"),
        (json!({"scp": ["a", "b"]}), "a b"),
        (json!({"scope": "a", "scp": ["b"]}), "a"),
        (json!({}), ""),
    ] {
        let user = read(&oidc(), &with(&changes)).unwrap();
        assert_eq!(
            user.scopes().collect::<Vec<_>>().join(" "),
            scopes,
            "{changes}"
        );
    }
}

#[test]
fn roles_stand_where_it_was_said_and_nowhere_else() {
    let claims = with(&json!({"roles": ["a"], "realm_access": {"roles": ["b"]},
        "https://shop/roles": ["c"]}));
    for (claim, expected) in [
        (Some("roles"), vec!["a"]),
        (Some("realm_access.roles"), vec!["b"]),
        (Some("https://shop/roles"), vec!["c"]),
        (Some("resource_access.roles"), vec![]),
        (None, vec![]),
    ] {
        let oidc = Oidc::issuer(ISSUER);
        let oidc = claim.map_or(oidc.clone(), |claim| oidc.roles_claim(claim));
        let user = read(&oidc, &claims).unwrap();
        assert!(user.roles().eq(expected), "{claim:?}");
    }
}

#[test]
fn an_application_has_no_sub_or_its_own_id_there() {
    for (changes, app_only) in [
        (json!({}), false),
        (json!({"sub": "app"}), true),
        (json!({"sub": null}), true),
        (json!({"azp": null, "client_id": "1"}), true),
        (json!({"azp": null}), false),
        // Roles without scopes make an application of Entra ID's tokens only.
        (json!({"realm_access": {"roles": ["r"]}}), false),
        (json!({"idtyp": "app"}), false),
    ] {
        let caller = read(&oidc(), &with(&changes)).unwrap();
        assert_eq!(caller.is_app_only(), app_only, "{changes}");
    }
}

#[test]
fn what_is_missing_or_of_a_wrong_type_is_refused() {
    use TokenDefect as D;
    for (changes, defect) in [
        (json!({"iss": null}), D::Issuer),
        (json!({"iss": [ISSUER]}), D::Issuer),
        (json!({"aud": null}), D::Audience),
        (json!({"aud": 5}), D::Audience),
        (json!({"exp": null}), D::Lifetime),
        (json!({"exp": "2000"}), D::Lifetime),
        (json!({"nbf": "1"}), D::Lifetime),
        (json!({"sub": 1}), D::Claims),
        (json!({"azp": 1}), D::Claims),
        (json!({"scope": 1}), D::Claims),
        (json!({"realm_access": ["r"]}), D::Claims),
        (json!({"realm_access": {"roles": "r"}}), D::Claims),
        (json!({"cnf": {"jkt": "x"}}), D::SenderConstrained),
    ] {
        let refused = read(&oidc(), &with(&changes)).unwrap_err();
        assert_eq!(refused, defect, "{changes}");
    }
    let twice = format!(r#"{{"iss":"{ISSUER}","realm_access":{{"roles":[],"roles":["r"]}}}}"#);
    let validator = Validator::builder().oidc(&oidc()).build();
    let refused = validator.parse_oidc(&OidcRules::of(&oidc()), twice.as_bytes(), true);
    assert_eq!(refused.err(), Some(D::DuplicateMember));
}

#[test]
fn other_kinds_of_tokens_are_no_access_tokens() {
    for changes in [
        json!({"typ": "ID"}),
        json!({"typ": "Refresh"}),
        json!({"typ": "offline"}),
        json!({"at_hash": "x"}),
        json!({"c_hash": "x"}),
    ] {
        let refused = read(&oidc(), &with(&changes)).unwrap_err();
        assert_eq!(refused, TokenDefect::Type, "{changes}");
    }
    assert!(read(&oidc(), &with(&json!({"typ": "Bearer"}))).is_ok());
}

#[test]
fn an_id_token_is_none_whatever_roles_it_has() {
    let id_token = json!({"typ": null, "nonce": "n", "realm_access": {"roles": ["customer"]}});
    assert_eq!(
        read(&oidc(), &with(&id_token)).unwrap_err(),
        TokenDefect::Type
    );
    for claim in ["scope", "scp", "client_id", "cid"] {
        let mut access = id_token.clone();
        access[claim] = json!("x");
        assert!(read(&oidc(), &with(&access)).is_ok(), "{claim}");
    }
    let validator = Validator::builder().oidc(&oidc()).build();
    let payload = with(&id_token).to_string();
    let rules = OidcRules::of(&oidc());
    // RFC 9068 §2.1: the header says it.
    assert!(
        validator
            .parse_oidc(&rules, payload.as_bytes(), true)
            .is_ok()
    );
}

#[test]
fn an_application_that_stands_for_nobody_is_one_in_the_words_of_each_provider() {
    for (claims, is_app) in [
        (json!({"sub": null}), true),
        (json!({"sub": "app"}), true),
        // Okta
        (
            json!({"azp": null, "cid": "0oa8", "sub": "0oa8", "scp": ["read"]}),
            true,
        ),
        (
            json!({"azp": null, "cid": "0oa8", "sub": "user@x", "scp": ["read"]}),
            false,
        ),
        // Auth0
        (json!({"azp": "X", "sub": "X@clients"}), true),
        (
            json!({"azp": "X", "sub": "auth0|7", "gty": "client-credentials"}),
            true,
        ),
        (
            json!({"azp": "X", "sub": "auth0|7", "gty": ["refresh_token", "client-credentials"]}),
            true,
        ),
        (
            json!({"azp": "X", "sub": "auth0|7", "gty": "password"}),
            false,
        ),
        (json!({"azp": "X", "sub": "Y@clients"}), false),
        (json!({"azp": "X", "client_id": "Y", "sub": "Y"}), true),
    ] {
        let principal = read(&oidc(), &with(&claims)).unwrap();
        assert_eq!(principal.is_app_only(), is_app, "{claims}");
    }
    let okta = read(&oidc(), &with(&json!({"azp": null, "cid": "0oa8"}))).unwrap();
    assert_eq!(okta.client_id(), Some("0oa8"));
}

#[test]
fn roles_stand_in_a_claim_in_its_member_or_in_a_claim_that_is_a_url() {
    for (name, parts) in [
        ("roles", ("roles", None)),
        ("realm_access.roles", ("realm_access", Some("roles"))),
        (
            "https://shop.example.com/roles",
            ("https://shop.example.com/roles", None),
        ),
    ] {
        assert_eq!(claim_and_member(name), parts);
        assert!(crate::oidc::is_claim(name), "{name}");
    }
    for name in ["", ".roles", "realm_access.", "a.b.c"] {
        assert!(!crate::oidc::is_claim(name), "{name}");
    }
    let oidc = Oidc::issuer(ISSUER).roles_claim("https://shop.example.com/roles");
    let claims = with(&json!({"https://shop.example.com/roles": ["customer"]}));
    assert!(read(&oidc, &claims).unwrap().roles().eq(["customer"]));
}
