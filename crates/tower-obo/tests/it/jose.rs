//! JW-01 … JW-07: headers and signatures.

use entra_emulator::{Endpoint, Signature};
use serde_json::{Value, json};

use tower_obo::TokenDefect;

use crate::{
    fixture::World,
    forge::{self, Attacker, Trap, base64url, decoded, parts},
};

#[tokio::test]
async fn jw_01_there_is_no_unsigned_token() {
    let world = World::start().await;
    for algorithm in [
        json!("none"),
        json!("None"),
        json!("nOnE"),
        json!("NONE"),
        json!(""),
        json!(256),
        json!(null),
        json!(["RS256"]),
        json!({"RS256": true}),
        // How a JSON library marks text that it has not parsed yet.
        json!({"$serde_json::private::RawValue": "\"RS256\""}),
    ] {
        let case = algorithm.to_string();
        let token = || world.entra.token().header("alg", algorithm.clone());
        let signed = token().sign();
        world.invalid(&case, TokenDefect::Algorithm, &signed).await;
        let unsigned = token().signature(Signature::Empty).sign();
        world
            .invalid(&case, TokenDefect::Algorithm, &unsigned)
            .await;
    }
    let without = world.entra.token().without_header("alg").sign();
    world
        .invalid("missing", TokenDefect::Algorithm, &without)
        .await;
}

#[tokio::test]
async fn jw_02_a_public_key_is_no_secret() {
    let world = World::start().await;
    let jwk = world.entra.jwks(None)["keys"][0].clone();
    let pem = world.entra.public_key_pem();
    let der = pem
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect::<String>();
    let modulus = jwk["n"].as_str().unwrap();
    let secrets: Vec<(&str, Vec<u8>)> = vec![
        ("PEM", pem.clone().into()),
        ("PEM without the last newline", pem.trim_end().into()),
        ("DER", base64_standard(&der)),
        ("modulus", decoded(modulus)),
        ("modulus as text", modulus.into()),
        ("x5c", jwk["x5c"][0].as_str().unwrap().into()),
        ("empty", Vec::new()),
        ("JWK", jwk.to_string().into()),
    ];
    for (case, secret) in secrets {
        for (algorithm, signature) in [
            ("HS256", Signature::Hs256(secret.clone())),
            ("HS384", Signature::Hs384(secret.clone())),
            ("HS512", Signature::Hs512(secret.clone())),
        ] {
            let token = || world.entra.token().signature(signature.clone());
            let case = format!("{algorithm} with {case}");
            let named = token().header("alg", algorithm).sign();
            world.invalid(&case, TokenDefect::Algorithm, &named).await;
            let case = format!("{case}, as RS256");
            let unnamed = token().sign();
            world.invalid(&case, TokenDefect::Signature, &unnamed).await;
        }
    }
}

fn base64_standard(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).unwrap()
}

#[tokio::test]
async fn jw_03_the_algorithm_is_the_configured_one_and_the_signatures() {
    let world = World::start().await;
    for (case, algorithm, signature) in [
        ("RS256 with a PS256 signature", "RS256", Signature::Ps256),
        ("RS512 with an RS256 signature", "RS512", Signature::Rs256),
        ("RS384 with an RS256 signature", "RS384", Signature::Rs256),
        ("RS256 with an RS512 signature", "RS256", Signature::Rs512),
        ("lower case", "rs256", Signature::Rs256),
        ("a space", "RS256 ", Signature::Rs256),
        ("a true RS512", "RS512", Signature::Rs512),
        ("a true PS256", "PS256", Signature::Ps256),
        ("a true RS384", "RS384", Signature::Rs384),
    ] {
        let token = world
            .entra
            .token()
            .header("alg", algorithm)
            .signature(signature)
            .sign();
        // Only RS256 is configured: whatever else the header says is refused unseen.
        let defect = match algorithm {
            "RS256" => TokenDefect::Signature,
            _ => TokenDefect::Algorithm,
        };
        world.invalid(case, defect, &token).await;
    }
}

#[tokio::test]
async fn jw_04_an_rsa_key_verifies_no_other_kind_of_signature() {
    let world = World::start().await;
    let zero = |bytes: usize| Signature::Bytes(vec![0; bytes]);
    // The DER form of r = s = 0.
    let der = || Signature::Bytes(vec![0x30, 6, 2, 1, 0, 2, 1, 0]);
    for (algorithm, signature) in [
        ("ES256", zero(64)),
        ("ES256", der()),
        ("ES384", zero(96)),
        ("ES512", zero(132)),
        ("ES256K", zero(64)),
        ("EdDSA", zero(64)),
        ("Ed25519", zero(64)),
        ("ES256", Signature::Rs256),
        ("EdDSA", Signature::Rs256),
        ("RS256", zero(256)),
        ("RS256", zero(1)),
    ] {
        let token = world
            .entra
            .token()
            .header("alg", algorithm)
            .signature(signature)
            .sign();
        let defect = match algorithm {
            "RS256" => TokenDefect::Signature,
            _ => TokenDefect::Algorithm,
        };
        world.invalid(algorithm, defect, &token).await;
    }
}

#[tokio::test]
async fn jw_05_a_token_cannot_bring_its_own_key() {
    let world = World::start().await;
    let (attacker, trap) = (Attacker::new(), Trap::set());
    let url = format!("{}/keys", trap.url());
    let payload = forge::payload(&world.entra);
    for (kid, defect) in [
        ("attacker-key".to_owned(), TokenDefect::UnknownKey),
        (world.entra.current_kid(), TokenDefect::Signature),
    ] {
        let offers = [
            json!({"jwk": attacker.jwk(&kid)}),
            json!({"jku": url}),
            json!({"x5u": url}),
            json!({"x5c": [attacker.certificate()]}),
            json!({"jwk": attacker.jwk(&kid), "jku": url, "x5u": url}),
        ];
        for offer in offers {
            let mut header = json!({"typ": "JWT", "alg": "RS256", "kid": kid});
            let members = header.as_object_mut().unwrap();
            members.extend(offer.as_object().unwrap().clone());
            let token = attacker.sign(&header, &payload);
            world.invalid(&offer.to_string(), defect, &token).await;
        }
    }
    trap.was_never_called();
}

#[tokio::test]
async fn jw_06_no_critical_extension_is_understood() {
    let world = World::start().await;
    for header in [
        json!({"crit": ["exp"]}),
        json!({"crit": ["urn:example:unknown"], "urn:example:unknown": 1}),
        json!({"crit": []}),
        json!({"crit": "exp"}),
        json!({"crit": null}),
        json!({"crit": {"exp": true}}),
        json!({"crit": ["alg"]}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"crit": ["b64"], "b64": true}),
        json!({"b64": false}),
    ] {
        let mut token = world.entra.token();
        for (name, value) in header.as_object().unwrap() {
            token = token.header(name.as_str(), value.clone());
        }
        let case = header.to_string();
        let token = token.sign();
        world.invalid(&case, TokenDefect::Critical, &token).await;
    }
}

#[tokio::test]
async fn jw_07_a_key_id_is_looked_up_and_nothing_else() {
    let world = World::start().await;
    let (before, trap) = (world.entra.count(Endpoint::Keys), Trap::set());
    let none: Vec<Value> = vec![
        json!(1),
        json!(null),
        json!([world.entra.current_kid()]),
        json!({"kid": world.entra.current_kid()}),
        json!(""),
        json!("k".repeat(6_000)),
    ];
    let unknown: Vec<Value> = vec![
        json!("../../dev/null"),
        json!("/dev/null"),
        json!("' OR '1'='1"),
        json!("1; DROP TABLE keys; --"),
        json!(format!("{}/keys", trap.url())),
        json!("file:///dev/null"),
        json!("a\u{0}b"),
        json!(format!("{}\u{0}", world.entra.current_kid())),
        json!(format!(" {}", world.entra.current_kid())),
        json!(world.entra.current_kid().to_lowercase()),
    ];
    let none = none.into_iter().map(|kid| (kid, TokenDefect::KeyId));
    let unknown = unknown
        .into_iter()
        .map(|kid| (kid, TokenDefect::UnknownKey));
    for (kid, defect) in none.chain(unknown) {
        let token = world.entra.token().header("kid", kid.clone()).sign();
        world.invalid(&kid.to_string(), defect, &token).await;
    }
    let without = world.entra.token().without_header("kid").sign();
    world.invalid("missing", TokenDefect::KeyId, &without).await;
    trap.was_never_called();
    let fetches = world.entra.count(Endpoint::Keys) - before;
    assert!(fetches <= 1, "{fetches} fetches for made-up key ids");
}

#[tokio::test]
async fn a_good_token_passes_where_its_forgeries_do_not() {
    // What the tests of this file build on: unchanged, each of their tokens is accepted.
    let world = World::start().await;
    world.entra.grant_consent("alice");
    world.accepted("built", &world.entra.token().sign()).await;
    let header = forge::header(&world.entra);
    let token = forge::with_header(&world.entra, header.as_bytes());
    world.accepted("raw", &token).await;
    let [header, payload, signature] = parts(&token);
    assert_eq!(base64url(decoded(payload)), payload);
    world
        .accepted("joined", &format!("{header}.{payload}.{signature}"))
        .await;
    let name = forge::with_claim_text(&world.entra, "name", "\"Zoë\"");
    world.accepted("edited", &name).await;
}

#[tokio::test]
async fn jw_03_the_accepted_algorithms_are_a_setting() {
    use tower_obo::Algorithm;
    for (algorithms, accepted) in [
        (vec![Algorithm::Rs256], true),
        (vec![Algorithm::Ps256, Algorithm::Rs256], true),
        (vec![Algorithm::Ps256, Algorithm::Es256], false),
    ] {
        let case = format!("{algorithms:?}");
        let world = World::with(|builder| builder.with_algorithms(algorithms)).await;
        let token = world.entra.user_token("alice");
        if accepted {
            world.accepted(&case, &token).await;
        } else {
            world.invalid(&case, TokenDefect::Algorithm, &token).await;
        }
    }
}
