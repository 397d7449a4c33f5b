//! Of several things that are wrong with one token, the cheapest to find is the one that counts:
//! whoever sends garbage causes no more work than it takes to see that.

use std::time::Duration;

use entra_emulator::{Endpoint, demo};
use serde_json::{Map, Value, json};
use tower_obo::{Entra, TokenDefect as D};

use crate::{
    fixture::World,
    forge::{base64url, parts},
};

/// A token in its pieces, good until it is spoilt.
struct Pieces {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    after_header: &'static str,
    after_payload: &'static str,
    signature: String,
    before: &'static str,
    after: String,
}

impl Pieces {
    fn of(world: &World) -> Self {
        let claims = world.entra.token().claims();
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": world.entra.current_kid()});
        let Value::Object(header) = header else {
            unreachable!("it is written as an object")
        };
        let payload = Value::Object(claims.clone()).to_string();
        let text = Value::Object(header.clone()).to_string();
        let token = world.entra.sign_raw(text.as_bytes(), payload.as_bytes());
        let [_, _, signature] = parts(&token).map(str::to_owned);
        Self {
            header,
            claims,
            after_header: "",
            after_payload: "",
            signature,
            before: "",
            after: String::new(),
        }
    }

    fn token(&self) -> String {
        let header = base64url(Value::Object(self.header.clone()).to_string());
        let payload = base64url(Value::Object(self.claims.clone()).to_string());
        format!(
            "{}{header}{}.{payload}{}.{}{}",
            self.before, self.after_header, self.after_payload, self.signature, self.after
        )
    }
}

/// What is wrong, how it is made so, and what is said of it.
type Fault = (&'static str, fn(&mut Pieces, &str), D);

/// From the cheapest to the dearest. The text is the id of another tenant's key.
const FAULTS: &[Fault] = &[
    (
        "size",
        |token, _| token.after = "A".repeat(17_000),
        D::TooLarge,
    ),
    ("parts", |token, _| token.before = "e30.", D::Form),
    (
        "encoding of the header",
        |token, _| token.after_header = "=",
        D::Encoding,
    ),
    (
        "algorithm",
        |token, _| token.header["alg"] = "PS256".into(),
        D::Algorithm,
    ),
    (
        "encoding of the payload",
        |token, _| token.after_payload = "=",
        D::Encoding,
    ),
    (
        "cnf",
        |token, _| drop(token.claims.insert("cnf".into(), json!({}))),
        D::SenderConstrained,
    ),
    (
        "audience",
        |token, _| token.claims["aud"] = "other".into(),
        D::Audience,
    ),
    (
        "tenant",
        |token, _| token.claims["tid"] = "common".into(),
        D::Tenant,
    ),
    (
        "issuer",
        |token, _| token.claims["iss"] = "https://evil.example".into(),
        D::Issuer,
    ),
    (
        "lifetime",
        |token, _| token.claims["exp"] = 99_999_999_999_u64.into(),
        D::Lifetime,
    ),
    (
        "not before",
        |token, _| token.claims["nbf"] = 3_999_999_999_u64.into(),
        D::NotYetValid,
    ),
    (
        "key id",
        |token, _| token.header["kid"] = "made-up".into(),
        D::UnknownKey,
    ),
    (
        "issuer of the key",
        |token, other| token.header["kid"] = other.into(),
        D::Issuer,
    ),
    (
        "encoding of the signature",
        |token, _| token.signature.push('='),
        D::Encoding,
    ),
    (
        "signature",
        |token, _| token.signature.insert_str(0, "AAAA"),
        D::Signature,
    ),
];

/// Those before it are found without a key.
const KEY_ID: usize = 11;

/// A core that knows a key of another tenant, long after its last fetch of keys.
async fn world() -> (World, String) {
    let world = World::without_keys(Entra::any_tenant(), |builder| builder).await;
    let other = world.entra.add_key(Some(demo::FABRIKAM)).unwrap();
    world.is_valid("good", &Pieces::of(&world).token()).await;
    world.clock.advance(Duration::from_secs(301));
    (world, other)
}

/// A signature cannot be checked that cannot be decoded: what is refused for anything before it
/// causes no check, whatever order the checks are written in.
#[tokio::test]
async fn of_two_faults_the_cheaper_one_is_the_reason() {
    let (world, other) = world().await;
    for (at, (cheap, spoil, defect)) in FAULTS.iter().enumerate() {
        let mut alone = Pieces::of(&world);
        spoil(&mut alone, &other);
        world.invalid(cheap, *defect, &alone.token()).await;
        for (dear, spoil_too, _) in &FAULTS[at + 1..] {
            let mut token = Pieces::of(&world);
            spoil_too(&mut token, &other);
            spoil(&mut token, &other);
            let case = format!("{cheap} and {dear}");
            world.invalid(&case, *defect, &token.token()).await;
        }
    }
}

#[tokio::test]
async fn ks_03_what_is_refused_without_a_key_causes_no_fetch() {
    let (world, other) = world().await;
    let fetched = world.entra.count(Endpoint::Keys);
    let made_up = |at: usize| {
        let mut token = Pieces::of(&world);
        token.header["kid"] = format!("made-up-{at}").into();
        token
    };
    for (at, (case, spoil, defect)) in FAULTS[..KEY_ID].iter().enumerate() {
        let mut token = made_up(at);
        spoil(&mut token, &other);
        world.invalid(case, *defect, &token.token()).await;
        assert_eq!(world.entra.count(Endpoint::Keys), fetched, "{case}");
    }
    // With nothing else wrong, it would have.
    let token = made_up(KEY_ID).token();
    world.invalid("key id", D::UnknownKey, &token).await;
    assert_eq!(world.entra.count(Endpoint::Keys), fetched + 1);
}
