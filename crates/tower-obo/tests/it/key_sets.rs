//! KS-06 … KS-08, KS-10: what stands in key sets and in metadata.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::rsa::KeySize;
use entra_emulator::{Emulator, Endpoint, Fault, Signature, demo};
use serde_json::{Value, json};
use tower_obo::{Entra, Event, KeysError, Observer, TokenDefect};

use crate::{
    fixture::{World, with_token},
    forge::{self, Attacker, Trap, base64url},
};

/// The numbers of keys that fetches ended with.
#[derive(Clone, Debug, Default)]
struct Fetched(Arc<Mutex<Vec<Option<usize>>>>);

impl Observer for Fetched {
    fn on(&self, event: &Event<'_>) {
        if let Event::KeysFetched { keys, .. } = event {
            self.0.lock().unwrap().push(*keys);
        }
    }
}

/// A core that sees this key set from the start.
async fn world_with(keys: impl FnOnce(&Emulator) -> Vec<Value>) -> (World, Fetched) {
    let fetched = Fetched::default();
    let observer = fetched.clone();
    let tenant = Entra::tenant(demo::CONTOSO);
    let world = World::without_keys(tenant, |builder| builder.observer(observer)).await;
    let keys = keys(&world.entra);
    world.entra.set_jwks(json!({ "keys": keys }));
    (world, fetched)
}

fn edited(key: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut key = key.clone();
    key[name] = value.into();
    key
}

#[tokio::test]
async fn ks_06_a_broken_key_spoils_no_others() {
    let (world, fetched) = world_with(|entra| {
        let good = entra.jwks(Some(demo::CONTOSO))["keys"][0].clone();
        // Each has another id, and would be good but for the one thing.
        let mut broken = vec![
            edited(&good, "kty", "OKP"),
            edited(&good, "kty", "AKP"),
            edited(&good, "kty", Value::Null),
            edited(&good, "kty", "rsa"),
            edited(&good, "n", "not base64 !"),
            edited(&good, "n", ""),
            edited(&good, "n", 5),
            edited(&good, "e", "===="),
            edited(&good, "e", Value::Null),
            edited(&good, "n", base64url([0xff; 128])),
            edited(&good, "n", base64url([&[0; 64][..], &[0xff; 192]].concat())),
            edited(&good, "use", "enc"),
            edited(&good, "use", 1),
            edited(&good, "key_ops", json!(["encrypt"])),
            edited(&good, "alg", "HS256"),
            edited(&good, "alg", "none"),
            edited(&good, "alg", "RSA-OAEP"),
            edited(&good, "d", base64url([1; 256])),
            json!({"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"}),
            json!({"kty": "EC", "crv": "P-256", "x": base64url([1; 32]), "y": base64url([1; 32])}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": base64url([1; 32])}),
        ];
        for (at, key) in broken.iter_mut().enumerate() {
            key["kid"] = format!("broken-{at}").into();
        }
        broken.push(edited(&good, "kid", Value::Null));
        broken.push(edited(&good, "kid", ""));
        broken.push(json!(null));
        broken.push(json!("text"));
        broken.push(json!([]));
        broken.insert(10, good);
        broken
    })
    .await;
    world.entra.grant_consent("alice");
    world
        .accepted("the good key", &world.entra.token().sign())
        .await;
    assert_eq!(*fetched.0.lock().unwrap(), [Some(1)]);
    for at in 0..21 {
        let token = world.entra.token().header("kid", format!("broken-{at}"));
        world
            .invalid(
                &format!("broken-{at}"),
                TokenDefect::UnknownKey,
                &token.sign(),
            )
            .await;
    }
}

#[tokio::test]
async fn ks_07_a_symmetric_key_in_the_set_verifies_nothing() {
    let secret = b"a secret that everybody can read".to_vec();
    let (world, _) = world_with(|entra| {
        let mut keys = entra.jwks(Some(demo::CONTOSO))["keys"].clone();
        let keys = keys.as_array_mut().unwrap();
        for (kid, algorithm) in [("oct", Some("HS256")), ("oct-any", None)] {
            let mut key = json!({"kty": "oct", "kid": kid, "k": base64url(&secret)});
            if let Some(algorithm) = algorithm {
                key["alg"] = algorithm.into();
            }
            keys.push(key);
        }
        std::mem::take(keys)
    })
    .await;
    for kid in ["oct", "oct-any"] {
        for (algorithm, defect) in [
            ("HS256", TokenDefect::Algorithm),
            // The key is not taken into the set.
            ("RS256", TokenDefect::UnknownKey),
        ] {
            let token = world
                .entra
                .token()
                .header("kid", kid)
                .header("alg", algorithm)
                .signature(Signature::Hs256(secret.clone()));
            world.invalid(kid, defect, &token.sign()).await;
        }
    }
}

#[tokio::test]
async fn ks_08_metadata_cannot_send_us_anywhere_else() {
    let contoso = Entra::tenant(demo::CONTOSO);
    let world = World::without_keys(contoso, |builder| builder).await;
    let token = world.entra.user_token("alice");
    let (url, trap) = (world.entra.url().to_owned(), Trap::set());
    let base = format!("{url}/{}", demo::CONTOSO);
    let good = json!({
        "issuer": format!("{base}/v2.0"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
    });
    let elsewhere = format!("{}/keys", trap.url());
    let with_user = elsewhere.replace("http://", &format!("{url}@"));
    let redirect = |status| Fault::status(status).header("location", &elsewhere);
    let documents = [
        edited(&good, "issuer", "https://evil.example/v2.0"),
        edited(&good, "issuer", format!("{url}/{}/v2.0", demo::FABRIKAM)),
        edited(&good, "issuer", format!("{base}/v2.0/")),
        edited(&good, "issuer", format!("{url}/{{tenantid}}/v2.0")),
        edited(&good, "issuer", Value::Null),
        edited(&good, "jwks_uri", elsewhere.as_str()),
        edited(&good, "jwks_uri", with_user),
        edited(&good, "jwks_uri", format!("//{}", &elsewhere[7..])),
        edited(&good, "jwks_uri", "file:///etc/passwd"),
        edited(&good, "jwks_uri", ""),
        edited(&good, "token_endpoint", elsewhere.as_str()),
        json!({"issuer": good["issuer"]}),
    ];
    let mut faults: Vec<_> = documents
        .iter()
        .map(|document| (Endpoint::Discovery, Fault::status(200).json(document)))
        .collect();
    for status in [301, 302, 303, 307, 308] {
        faults.push((Endpoint::Discovery, redirect(status)));
        faults.push((Endpoint::Keys, redirect(status)));
    }
    for (endpoint, fault) in &faults {
        let case = format!("{endpoint:?} {fault:?}");
        world.entra.fail(*endpoint, fault.clone(), 1);
        let answer = world.refused(&case, with_token(&token)).await;
        assert_eq!(answer.problem_type(), "keys-not-loaded", "{case}");
        world.clock.advance(Duration::from_secs(10));
    }
    world.accepted("the real metadata", &token).await;
    // Later on, the last good keys stay.
    for (endpoint, fault) in faults {
        let case = format!("later: {endpoint:?} {fault:?}");
        world.entra.fail(endpoint, fault, 1);
        world.clock.advance(Duration::from_secs(300));
        let made_up = world.entra.token().expires_in(100_000);
        world
            .invalid(
                &case,
                TokenDefect::UnknownKey,
                &made_up.header("kid", "made-up").sign(),
            )
            .await;
        let good = world.entra.token().expires_in(100_000).sign();
        world.is_valid(&case, &good).await;
    }
    trap.was_never_called();
}

#[tokio::test]
async fn ks_10_of_two_keys_with_one_id_exactly_one_has_to_verify() {
    let signer = Attacker::new();
    let others: Vec<_> = (0..4).map(|_| Attacker::new()).collect();
    let jwk = |key: &Attacker| key.jwk("shared");
    let own = jwk(&signer);
    // What the token is refused for, where it is.
    let cases: Vec<(&str, Vec<Value>, Option<TokenDefect>)> = vec![
        ("alone", vec![own.clone()], None),
        ("before another", vec![own.clone(), jwk(&others[0])], None),
        ("behind another", vec![jwk(&others[0]), own.clone()], None),
        (
            "the other alone",
            vec![jwk(&others[0])],
            Some(TokenDefect::Signature),
        ),
        (
            "twice the same",
            vec![own.clone(), own.clone()],
            Some(TokenDefect::Signature),
        ),
        (
            "once for another algorithm",
            vec![edited(&own, "alg", "RS512"), own.clone()],
            None,
        ),
        (
            "for another algorithm",
            vec![edited(&own, "alg", "RS512")],
            Some(TokenDefect::Algorithm),
        ),
        (
            "once for another issuer",
            vec![
                edited(&own, "issuer", "https://evil.example/v2.0"),
                own.clone(),
            ],
            None,
        ),
        (
            "for another issuer",
            vec![edited(&own, "issuer", "https://evil.example/v2.0")],
            Some(TokenDefect::Issuer),
        ),
        (
            "once for encryption",
            vec![edited(&own, "use", "enc"), own.clone()],
            None,
        ),
        (
            "the fourth",
            [others[..3].iter().map(jwk).collect(), vec![own.clone()]].concat(),
            None,
        ),
        (
            "the fifth",
            [others.iter().map(jwk).collect(), vec![own.clone()]].concat(),
            Some(TokenDefect::Signature),
        ),
    ];
    for (case, keys, defect) in cases {
        let (world, _) = world_with(|_| keys).await;
        let header = json!({"alg": "RS256", "kid": "shared"});
        let token = signer.sign(&header, &forge::payload(&world.entra));
        match defect {
            None => world.is_valid(case, &token).await,
            Some(defect) => {
                world.invalid(case, defect, &token).await;
            }
        }
    }
}

#[tokio::test]
async fn longer_keys_are_used_too() {
    for size in [KeySize::Rsa3072, KeySize::Rsa4096] {
        let signer = Attacker::with_size(size);
        let jwk = signer.jwk("large");
        let (world, _) = world_with(|_| vec![jwk]).await;
        let header = json!({"alg": "RS256", "kid": "large"});
        let token = signer.sign(&header, &forge::payload(&world.entra));
        world.is_valid("large", &token).await;
    }
}

/// Why fetches failed, if they did.
#[derive(Clone, Debug, Default)]
struct Failures(Arc<Mutex<Vec<KeysError>>>);

impl Observer for Failures {
    fn on(&self, event: &Event<'_>) {
        if let Event::KeysFetched {
            error: Some(error), ..
        } = event
        {
            self.0.lock().unwrap().push((*error).clone());
        }
    }
}

/// What the first fetch of a core for that tenant fails with.
async fn failure(tenant: &str, spoil: impl FnOnce(&Emulator)) -> KeysError {
    let failures = Failures::default();
    let observer = failures.clone();
    let tenant = Entra::tenant(tenant);
    let world = World::without_keys(tenant, |builder| builder.observer(observer)).await;
    spoil(&world.entra);
    world.core.start();
    let failed = async {
        loop {
            if let Some(error) = failures.0.lock().unwrap().first() {
                return error.clone();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), failed)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_observer_learns_why_there_are_no_keys() {
    let unknown = failure("11111111-2222-3333-4444-555555555555", |_| {}).await;
    assert_eq!(unknown.aadsts(), Some(90002));
    assert!(!unknown.is_of_key_set() && !unknown.is_unreachable());
    assert_eq!(
        unknown.to_string(),
        "OpenID configuration (v2.0): the answer has status 400 (AADSTS90002: the tenant is not known)"
    );

    let empty = failure(demo::CONTOSO, |entra| entra.set_jwks(json!({"keys": []}))).await;
    assert!(empty.is_of_key_set() && !empty.is_unreachable());
    assert_eq!(empty.aadsts(), None);
    let text = empty.to_string();
    assert!(text.starts_with("key set: the set has no key"), "{text}");

    let down = failure(demo::CONTOSO, |entra| {
        entra.fail(Endpoint::Keys, Fault::status(500), 1);
    });
    let down = down.await;
    assert!(down.is_of_key_set() && !down.is_unreachable());
    assert_eq!(down.to_string(), "key set: the answer has status 500");

    let away = failure(demo::CONTOSO, |entra| {
        entra.fail(Endpoint::Discovery, Fault::reset(), 1);
    });
    let away = away.await;
    assert!(away.is_unreachable() && !away.is_of_key_set());
}
