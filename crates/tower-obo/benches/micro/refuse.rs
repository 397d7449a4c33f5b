//! Requests that are refused: what a stranger can make us spend.

use std::hint::black_box;

use criterion::Criterion;
use serde_json::json;
use tower_obo::{Decision, TokenDefect};

use crate::rig::{self, Rig};

pub(crate) fn bench(criterion: &mut Criterion) {
    let rig = Rig::new(64 << 20);
    let policy = rig.core.bind(rig.policy()).unwrap();
    let good = rig.token(1);

    let mut group = criterion.benchmark_group("refuse");
    let validator = rig.validator();
    for (name, token, defect) in garbage(&rig, &good) {
        // Nothing is measured but what the name says.
        assert_eq!(
            validator.validate(&token, &rig.keys, rig.now).err(),
            Some(defect),
            "{name}"
        );
        let headers = rig::headers(&token);
        let refused = || rig::decide(&rig.core, &policy, black_box(&headers));
        assert!(matches!(refused(), Decision::Refuse(_)), "{name}");
        group.bench_function(name, |bencher| bencher.iter(refused));
    }
    group.finish();
}

/// From what is found out first to what is found out last, and what is found out.
fn garbage(rig: &Rig, good: &str) -> Vec<(&'static str, String, TokenDefect)> {
    use TokenDefect as D;
    let with_claim = |name: &str, value| {
        let mut claims = rig.claims(1);
        claims[name] = value;
        rig.signed(&rig::header(rig::KID), &claims)
    };
    let header = rig::base64url(rig::header(rig::KID).to_string());
    let no_json = rig::base64url(" ".repeat(1_000));
    let none = rig::base64url(r#"{"alg":"none","kid":"k"}"#);
    // As large as a token may be, and as many members as claims may have.
    let large = "A".repeat(15_900);
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|n| format!("\"{n:04x}\":0")).collect();
        rig::base64url(format!("{{{}}}", members.join(",")))
    };
    let critical = json!({"alg": "RS256", "kid": "k", "crit": ["x"]});
    let (message, signature) = good.rsplit_once('.').unwrap();
    let mut forged = signature.to_owned();
    forged.replace_range(..1, if signature.starts_with('A') { "B" } else { "A" });
    let an_hour_ago = rig.now.as_unix() - 3_600;
    vec![
        ("16 KiB of dots", ".".repeat(16 * 1024), D::Form),
        ("no JWT", "x".repeat(1_600), D::Form),
        ("no base64", good.replacen('e', "+", 1), D::Encoding),
        ("alg none", format!("{none}.e30."), D::Algorithm),
        ("alg none, 16 KiB", format!("{none}.{large}."), D::Algorithm),
        (
            "a signature of 15 KiB",
            format!("{message}.{}", &large[message.len()..]),
            D::Signature,
        ),
        (
            "claims that are no claims, 16 KiB",
            format!("{header}.{large}.{signature}"),
            D::Json,
        ),
        (
            "a thousand members",
            format!("{header}.{}.{signature}", members(1_000)),
            D::TooLarge,
        ),
        ("crit", rig.signed(&critical, &rig.claims(1)), D::Critical),
        (
            "claims that are no JSON",
            format!("{header}.{no_json}.{signature}"),
            D::Json,
        ),
        (
            "audience",
            with_claim("aud", "api://somebody-else".into()),
            D::Audience,
        ),
        (
            "issuer",
            with_claim("iss", "https://login.evil/v2.0".into()),
            D::Issuer,
        ),
        ("expired", with_claim("exp", an_hour_ago.into()), D::Expired),
        (
            "unknown key",
            rig.signed(&rig::header("made-up"), &rig.claims(1)),
            D::UnknownKey,
        ),
        ("short signature", format!("{message}.AA"), D::Signature),
        (
            "forged signature",
            format!("{message}.{forged}"),
            D::Signature,
        ),
        (
            "forged signature, 16 KiB",
            forged_and_large(rig),
            D::Signature,
        ),
    ]
}

/// As large as a token may be, with claims that are right and a signature of another token.
fn forged_and_large(rig: &Rig) -> String {
    let mut claims = rig.claims(1);
    claims["xms_padding"] = "x".repeat(10_700).into();
    let large = rig.signed(&rig::header(rig::KID), &claims);
    let other = rig.token(2);
    let (message, _) = large.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    format!("{message}.{signature}")
}
