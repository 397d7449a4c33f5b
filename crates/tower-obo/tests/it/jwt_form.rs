//! JW-08 … JW-13: the form of a token, byte by byte.

use serde_json::{Value, json};

use tower_obo::TokenDefect;

use crate::{
    fixture::{World, with_token},
    forge::{self, base64url, decoded, parts},
};

#[tokio::test]
async fn jw_08_no_member_stands_twice() {
    let world = World::start().await;
    let header = forge::header(&world.entra);
    let kid = world.entra.current_kid();
    for member in [
        "\"alg\":\"RS256\"".to_owned(),
        "\"alg\":\"none\"".to_owned(),
        "\"\\u0061lg\":\"RS256\"".to_owned(),
        "\"al\\u0067\":\"none\"".to_owned(),
        format!("\"kid\":\"{kid}\""),
        "\"typ\":\"JWT\"".to_owned(),
    ] {
        for doubled in [
            format!("{{{member},{}", &header[1..]),
            format!("{},{member}}}", &header[..header.len() - 1]),
        ] {
            let token = forge::with_header(&world.entra, doubled.as_bytes());
            // The first of the two may be bad enough.
            let defect = match doubled.starts_with("{\"alg\":\"none\"")
                || doubled.starts_with("{\"al\\u0067")
            {
                true => TokenDefect::Algorithm,
                false => TokenDefect::DuplicateMember,
            };
            world.invalid(&doubled, defect, &token).await;
        }
    }
    let payload = forge::payload(&world.entra);
    let audience = world.entra.token().claims()["aud"].to_string();
    for member in [
        format!("\"aud\":{audience}"),
        "\"aud\":\"other\"".to_owned(),
        format!("\"\\u0061ud\":{audience}"),
        "\"exp\":4000000000".to_owned(),
        "\"ex\\u0070\":1".to_owned(),
        "\"iss\":\"https://evil.example\"".to_owned(),
        "\"scp\":\"access_as_user\"".to_owned(),
        "\"name\":\"means nothing here\"".to_owned(),
    ] {
        for doubled in [
            format!("{{{member},{}", &payload[1..]),
            format!("{},{member}}}", &payload[..payload.len() - 1]),
        ] {
            let token = forge::with_payload(&world.entra, doubled.as_bytes());
            let defect = TokenDefect::DuplicateMember;
            world.invalid(&doubled, defect, &token).await;
        }
    }
}

#[tokio::test]
async fn jw_09_a_token_has_three_parts() {
    let world = World::start().await;
    let good = world.entra.user_token("alice");
    let [header, payload, signature] = parts(&good);
    for (case, token) in [
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("six parts", format!("{good}.a.b.c")),
        ("a dot too many", format!("{good}.")),
        ("a dot before", format!(".{good}")),
        ("no header", format!(".{payload}.{signature}")),
        ("no signature", format!("{header}.{payload}.")),
        ("dots only", "..".to_owned()),
        ("one dot", ".".to_owned()),
    ] {
        world.invalid(case, TokenDefect::Form, &token).await;
    }
    // Nothing can be signed, and is no object of claims.
    let empty = format!("{header}..{signature}");
    world.invalid("no payload", TokenDefect::Json, &empty).await;
    // Five parts are a JWE, whatever is in them.
    for (case, token) in [
        ("five parts", format!("{good}.{payload}.{signature}")),
        ("four dots", "....".to_owned()),
    ] {
        world.invalid(case, TokenDefect::Encrypted, &token).await;
    }
    let serialised = json!({"payload": payload, "protected": header, "signature": signature});
    let encoded = base64url(serialised.to_string());
    let case = "JSON serialisation, encoded";
    world.invalid(case, TokenDefect::Form, &encoded).await;
    // Braces and quotes are in no token of RFC 6750 at all.
    let request = with_token(&serialised.to_string());
    let answer = world.refused("JSON serialisation", request).await;
    answer.is_invalid_request("JSON serialisation");

    let jwe = json!({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": world.entra.current_kid()});
    let jwe = format!("{}.a2V5.aXY.dGV4dA.dGFn", base64url(jwe.to_string()));
    world.invalid("JWE", TokenDefect::Encrypted, &jwe).await;
}

#[tokio::test]
async fn jw_10_a_token_is_spelt_in_one_way_only() {
    let world = World::start().await;
    let good = loop {
        let token = world.entra.user_token("alice");
        if token.contains('-') && token.contains('_') {
            break token;
        }
    };
    let [header, payload, signature] = parts(&good);
    world.accepted("as it is", &good).await;
    let spelt: Vec<(&str, String)> = vec![
        ("padded signature", format!("{good}==")),
        ("once padded signature", format!("{good}=")),
        ("padded header", format!("{header}=.{payload}.{signature}")),
        ("padded payload", format!("{header}.{payload}=.{signature}")),
        (
            "padded payload",
            format!("{header}.{payload}==.{signature}"),
        ),
        (
            "standard alphabet",
            good.replace('-', "+").replace('_', "/"),
        ),
        ("one +", good.replacen('-', "+", 1)),
        ("one /", good.replacen('_', "/", 1)),
        (
            "trailing bits",
            format!("{header}.{payload}.{}", respelt(signature)),
        ),
    ];
    for (case, token) in spelt {
        assert_ne!(token, good, "{case}");
        world.invalid(case, TokenDefect::Encoding, &token).await;
    }
    // The signature of these is good as they are spelt now, were the bits that nobody reads not looked at.
    let padded = |pad: usize| {
        let pad = "x".repeat(pad);
        let token = world.entra.token().user("alice").header("x", pad.clone());
        token.claim("x", pad).sign()
    };
    let has_bits = |part: &str| !part.len().is_multiple_of(4);
    let with_bits = (0..3).flat_map(|_| 0..8).map(padded).find(|token| {
        let [header, payload, _] = parts(token);
        has_bits(header) && has_bits(payload)
    });
    let with_bits = with_bits.unwrap();
    let [h, p, s] = parts(&with_bits);
    world.accepted("with bits to spare", &with_bits).await;
    for (case, token) in [
        (
            "trailing bits of the header",
            format!("{}.{p}.{s}", respelt(h)),
        ),
        (
            "trailing bits of the payload",
            format!("{h}.{}.{s}", respelt(p)),
        ),
    ] {
        assert_ne!(token, with_bits, "{case}");
        world.invalid(case, TokenDefect::Encoding, &token).await;
    }
    // White space ends a token: what follows would be another one (BE-05).
    for white in [" ", "\t"] {
        let request = with_token(&format!("{header}.{white}{payload}.{signature}"));
        let answer = world.refused("white space", request).await;
        answer.is_invalid_request("white space");
    }
    // And a newline is in no header.
    assert!(http::HeaderValue::from_str(&format!("Bearer {header}.\n{payload}")).is_err());
    world.accepted("still", &good).await;
    assert_eq!(world.exchanges_asked(), 2);
}

/// The same bytes with another last character, which differs in the bits that are left over.
fn respelt(part: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = part.split_at(part.len() - 1);
    let at = ALPHABET.iter().position(|c| *c == last.as_bytes()[0]);
    let other = char::from(ALPHABET[at.unwrap() | 1]);
    format!("{rest}{other}")
}

#[tokio::test]
async fn jw_11_header_and_payload_are_json_objects_and_nothing_more() {
    let world = World::start().await;
    let good: [fn(&entra_emulator::Emulator) -> String; 2] = [forge::header, forge::payload];
    for (at, good) in good.iter().enumerate() {
        let good = good(&world.entra);
        let broken: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"[]".to_vec(),
            format!("[{good}]").into(),
            b"\"text\"".to_vec(),
            b"null".to_vec(),
            b"1".to_vec(),
            b"{".to_vec(),
            format!("\u{feff}{good}").into(),
            format!("{good}{good}").into(),
            format!("{good} x").into(),
            format!("{good}\0").into(),
            [good.as_bytes(), b"\xff"].concat(),
            [b"{\"x\":\"\xff\xfe\",", &good.as_bytes()[1..]].concat(),
            [b"{\"\xc3\":1,", &good.as_bytes()[1..]].concat(),
            format!("{{\"x\":1,,{}", &good[1..]).into(),
            format!("{{'x':1,{}", &good[1..]).into(),
            format!("{{\"x\":NaN,{}", &good[1..]).into(),
        ];
        for part in broken {
            let (case, token) = match at {
                0 => ("header", forge::with_header(&world.entra, &part)),
                _ => ("payload", forge::with_payload(&world.entra, &part)),
            };
            let shown = String::from_utf8_lossy(&part[..part.len().min(80)]).into_owned();
            let case = format!("{case}: {shown}");
            // Without a header there is no JWS.
            let defect = match (at, &part[..]) {
                (0, []) => TokenDefect::Form,
                _ => TokenDefect::Json,
            };
            world.invalid(&case, defect, &token).await;
        }
    }
}

/// Ten thousand levels must neither fill the stack nor take time, whether the member that holds
/// them means anything or not.
#[tokio::test]
async fn jw_11_nesting_is_bounded() {
    // They are more than a token may have bytes by default.
    let world = World::with(|builder| builder.with_max_token_bytes(256 * 1024)).await;
    let good: [fn(&entra_emulator::Emulator) -> String; 2] = [forge::header, forge::payload];
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for (at, good) in good.iter().enumerate() {
            let good = good(&world.entra);
            let with = |depth: usize| {
                let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                let part = format!("{{\"nested\":{value},{}", &good[1..]);
                match at {
                    0 => forge::with_header(&world.entra, part.as_bytes()),
                    _ => forge::with_payload(&world.entra, part.as_bytes()),
                }
            };
            let case = format!("{open} in part {at}");
            world.invalid(&case, TokenDefect::Json, &with(10_000)).await;
            world.is_valid(&case, &with(100)).await;
        }
        for (name, defect) in [
            ("scp", TokenDefect::Claims),
            ("aud", TokenDefect::Audience),
            ("roles", TokenDefect::Claims),
        ] {
            let value = |depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let shallow = forge::with_claim_text(&world.entra, name, &value(10));
            world.invalid(name, defect, &shallow).await;
            let deep = forge::with_claim_text(&world.entra, name, &value(10_000));
            world.invalid(name, TokenDefect::Json, &deep).await;
        }
    }
    // Within the default size, without the other bracket.
    let world = World::start().await;
    let open = forge::with_claim_text(&world.entra, "nested", &"[".repeat(10_000));
    world.invalid("unclosed", TokenDefect::Json, &open).await;
}

#[tokio::test]
async fn jw_12_only_access_tokens_are_accepted() {
    let world = World::start().await;
    world.entra.grant_consent("alice");
    for kind in [
        json!("dpop+jwt"),
        json!("logout+jwt"),
        json!("secevent+jwt"),
        json!("JOSE"),
        json!("JWE"),
        json!(""),
        json!("JWT "),
        json!("application/jwt-other"),
        json!(null),
        json!(1),
        json!(["JWT"]),
    ] {
        let case = kind.to_string();
        let token = world.entra.token().header("typ", kind).sign();
        world.invalid(&case, TokenDefect::Type, &token).await;
    }
    for zip in [json!("DEF"), json!(null), json!("")] {
        let case = format!("zip {zip}");
        let token = world.entra.token().header("zip", zip).sign();
        world.invalid(&case, TokenDefect::Type, &token).await;
    }
    for kind in [
        "JWT",
        "jwt",
        "Jwt",
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/AT+jwt",
    ] {
        let token = world.entra.token().header("typ", kind).sign();
        world.accepted(kind, &token).await;
    }
    let without = world.entra.token().without_header("typ").sign();
    world.accepted("absent", &without).await;
}

#[tokio::test]
async fn jw_13_a_signature_is_for_one_header_and_payload() {
    let world = World::start().await;
    let (alice, bob) = (
        world.entra.user_token("alice"),
        world.entra.user_token("bob"),
    );
    let forgeries = || {
        let [header, payload, signature] = parts(&alice);
        let [_, _, other] = parts(&bob);
        let mut forgeries = vec![("another signature", format!("{header}.{payload}.{other}"))];
        let claims: Value = serde_json::from_slice(&decoded(payload)).unwrap();
        let mut admin = claims.clone();
        admin["oid"] = entra_emulator::demo::BOB_OID.into();
        let admin = base64url(admin.to_string());
        forgeries.push(("another user", format!("{header}.{admin}.{signature}")));
        // One bit of a digit of `exp`, and one of the signature.
        let mut bytes = decoded(payload);
        let exp = format!("\"exp\":{}", claims["exp"]);
        let at = find(&bytes, exp.as_bytes()) + exp.len() - 1;
        bytes[at] ^= 1;
        let later = base64url(bytes);
        forgeries.push((
            "one bit of the payload",
            format!("{header}.{later}.{signature}"),
        ));
        let mut bytes = decoded(signature);
        bytes[255] ^= 1;
        let flipped = base64url(bytes);
        forgeries.push((
            "one bit of the signature",
            format!("{header}.{payload}.{flipped}"),
        ));
        let cut = base64url(&decoded(signature)[..255]);
        forgeries.push(("a shorter signature", format!("{header}.{payload}.{cut}")));
        forgeries
    };
    for (case, token) in forgeries() {
        world.invalid(case, TokenDefect::Signature, &token).await;
    }
    world.accepted("alice", &alice).await;
    world.accepted("bob", &bob).await;
    for (case, token) in forgeries() {
        let case = format!("{case}, afterwards");
        world.invalid(&case, TokenDefect::Signature, &token).await;
    }
}

fn find(text: &[u8], part: &[u8]) -> usize {
    let mut windows = text.windows(part.len());
    windows.position(|window| window == part).unwrap()
}
