//! CL-01 … CL-07, CL-14, CL-15: what a token says, and in which types.

use std::time::Duration;

use entra_emulator::demo;
use serde_json::{Value, json};
use tower_obo::{Clock, Timestamp, TokenDefect};

use crate::{
    fixture::{World, with_token},
    forge,
};

/// How a JSON library marks text that it has not parsed yet: an object all the same.
const DISGUISE: &str = "$serde_json::private::RawValue";

#[tokio::test]
async fn cl_01_exp_is_an_integer_of_this_decade() {
    let world = World::start().await;
    world.entra.grant_consent("alice");
    let now = world.clock.now().as_unix();
    let years = |years: u64| (now + years * 365 * 24 * 3600).to_string();
    for text in [
        "null",
        "\"4000000000\"",
        "-1",
        "-4000000000",
        "true",
        "[4000000000]",
        "{}",
        "1e30",
        "1e9",
        "4000000000.0",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "1e400",
        "\"NaN\"",
        "\"Infinity\"",
        "0",
        &years(11),
        "4000000000000",
    ] {
        let token = forge::with_claim_text(&world.entra, "exp", text);
        let defect = match text {
            "0" => TokenDefect::Expired,
            _ => TokenDefect::Lifetime,
        };
        world.invalid(&format!("exp {text}"), defect, &token).await;
    }
    for text in ["NaN", "Infinity", "01", "0x7fffffff", "4_000_000_000"] {
        let token = forge::with_claim_text(&world.entra, "exp", text);
        let case = format!("exp {text}");
        world.invalid(&case, TokenDefect::Json, &token).await;
    }
    let without = world.entra.token().without_claim("exp").sign();
    world
        .invalid("missing", TokenDefect::Lifetime, &without)
        .await;
    let long = forge::with_claim_text(&world.entra, "exp", &years(9));
    world.accepted("nine years", &long).await;
}

#[tokio::test]
async fn cl_02_a_token_ends_at_exp_and_the_skew() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let exp = expiry(&token);
    world.clock.set(exp + Duration::from_secs(59));
    world.accepted("one second before", &token).await;
    world.clock.set(exp + Duration::from_secs(60));
    world
        .invalid("at exp and the skew", TokenDefect::Expired, &token)
        .await;
    world.clock.set(exp + Duration::from_secs(59));
    world.accepted("the clock set back", &token).await;
    let past = world.entra.token().expires_in(-61).sign();
    world.invalid("past", TokenDefect::Expired, &past).await;
}

#[tokio::test]
async fn cl_02_the_skew_can_be_chosen_up_to_five_minutes() {
    for (skew, good) in [(0, true), (300, true), (301, false)] {
        let entra = tower_obo::Entra::tenant(demo::CONTOSO);
        let secret = tower_obo::Credential::secret("s");
        let core = tower_obo::Core::builder(entra)
            .client(demo::API_CLIENT_ID, secret)
            .with_leeway(Duration::from_secs(skew))
            .build();
        assert_eq!(core.is_ok(), good, "{skew}");
    }
    let world = World::with(|builder| builder.with_leeway(Duration::ZERO)).await;
    let token = world.entra.user_token("alice");
    world.clock.set(expiry(&token));
    world
        .invalid("without skew", TokenDefect::Expired, &token)
        .await;
}

fn expiry(token: &str) -> Timestamp {
    let [_, payload, _] = forge::parts(token);
    let claims: Value = serde_json::from_slice(&forge::decoded(payload)).unwrap();
    Timestamp::from_unix(claims["exp"].as_u64().unwrap())
}

#[tokio::test]
async fn cl_03_a_token_begins_at_nbf_less_the_skew() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let [_, payload, _] = forge::parts(&token);
    let claims: Value = serde_json::from_slice(&forge::decoded(payload)).unwrap();
    let nbf = Timestamp::from_unix(claims["nbf"].as_u64().unwrap());
    world.clock.set(nbf.saturating_sub(Duration::from_secs(61)));
    world
        .invalid("before the skew", TokenDefect::NotYetValid, &token)
        .await;
    world.clock.set(nbf.saturating_sub(Duration::from_secs(60)));
    world.accepted("within the skew", &token).await;
    for text in ["null", "\"1\"", "1.5", "1e9", "-1", "{}", "[1]", "true"] {
        let token = forge::with_claim_text(&world.entra, "nbf", text);
        world
            .invalid(&format!("nbf {text}"), TokenDefect::Lifetime, &token)
            .await;
    }
    let without = world.entra.token().without_claim("nbf").sign();
    world
        .invalid("missing", TokenDefect::Lifetime, &without)
        .await;
}

#[tokio::test]
async fn cl_04_there_is_an_audience_and_it_is_a_string() {
    let world = World::start().await;
    let id = demo::API_CLIENT_ID;
    for audience in [
        json!(null),
        json!(1),
        json!({"aud": id}),
        json!({DISGUISE: format!("\"{id}\"")}),
        json!(""),
        json!([]),
        json!([[]]),
        json!(true),
    ] {
        let token = world.entra.token().claim("aud", audience.clone()).sign();
        world
            .invalid(&format!("aud {audience}"), TokenDefect::Audience, &token)
            .await;
    }
    let without = world.entra.token().without_claim("aud").sign();
    world
        .invalid("missing", TokenDefect::Audience, &without)
        .await;
}

#[tokio::test]
async fn cl_05_an_audience_is_compared_byte_by_byte() {
    let world = World::start().await;
    world.entra.grant_consent("alice");
    let (id, uri) = (demo::API_CLIENT_ID, demo::API_APP_ID_URI);
    for audience in [
        id.to_uppercase(),
        uri.to_uppercase(),
        format!("API://{id}"),
        format!("{id}x"),
        format!("x{id}"),
        format!("{id} "),
        format!("{uri}/"),
        format!("{uri}/.default"),
        format!("{uri}.evil.example"),
        format!("api://{}", demo::UI_CLIENT_ID),
        demo::UI_CLIENT_ID.to_owned(),
        demo::ARM_RESOURCE.to_owned(),
        format!("{}/", demo::ARM_RESOURCE),
        "https://graph.microsoft.com".to_owned(),
        "00000003-0000-0000-c000-000000000000".to_owned(),
        id[..35].to_owned(),
        format!("{id}\u{0}"),
        "*".to_owned(),
    ] {
        let token = world.entra.token().claim("aud", audience.as_str()).sign();
        world
            .invalid(&audience, TokenDefect::Audience, &token)
            .await;
    }
    for audience in [id, uri] {
        let token = world.entra.token().claim("aud", audience).sign();
        world.accepted(audience, &token).await;
    }
}

#[tokio::test]
async fn cl_06_a_list_of_audiences_is_refused() {
    let world = World::start().await;
    let id = demo::API_CLIENT_ID;
    for audience in [
        json!([id]),
        json!([id, "other"]),
        json!(["other", id]),
        json!([id, id]),
    ] {
        let token = world.entra.token().claim("aud", audience.clone()).sign();
        world
            .invalid(&audience.to_string(), TokenDefect::Audience, &token)
            .await;
    }
}

#[tokio::test]
async fn cl_06_a_list_with_ours_among_others_is_accepted_where_that_is_configured() {
    let world = World::with(tower_obo::CoreBuilder::accept_audience_lists).await;
    let id = demo::API_CLIENT_ID;
    for audience in [json!([id]), json!(["other", id])] {
        let token = world.entra.token().claim("aud", audience.clone()).sign();
        world.is_valid(&audience.to_string(), &token).await;
    }
    for audience in [json!([]), json!(["other"]), json!([[id]])] {
        let token = world.entra.token().claim("aud", audience.clone()).sign();
        let answer = world.refused("not ours", with_token(&token)).await;
        answer.is_invalid_token(&audience.to_string());
    }
}

#[tokio::test]
async fn cl_07_an_issuer_is_compared_byte_by_byte() {
    let world = World::start().await;
    let claims = world.entra.token().claims();
    let issuer = claims["iss"].as_str().unwrap();
    for other in [
        json!(null),
        json!(1),
        json!([issuer]),
        json!({DISGUISE: format!("\"{issuer}\"")}),
        json!(""),
        json!(format!("{issuer}.evil.example")),
        json!(format!("{issuer}/")),
        json!(format!("{issuer} ")),
        json!(format!("{issuer}#")),
        json!(issuer.replace("http:", "https:")),
        json!(issuer.replace("http:", "HTTP:")),
        json!(issuer.to_uppercase()),
        json!(issuer.replace("/v2.0", "/")),
        json!(issuer.replace("/v2.0", "")),
        json!(issuer.replace("127.0.0.1", "127.0.0.1.evil.example")),
        json!(issuer.replace("127.0.0.1", "localhost")),
        json!(issuer.replace(demo::CONTOSO, "{tenantid}")),
        json!(issuer.replace(demo::CONTOSO, "common")),
        json!(format!(
            "https://login.microsoftonline.com/{}/v2.0",
            demo::CONTOSO
        )),
        json!(format!("https://sts.windows.net/{}/", demo::CONTOSO)),
    ] {
        assert_ne!(other, issuer);
        let token = world.entra.token().claim("iss", other.clone()).sign();
        world
            .invalid(&other.to_string(), TokenDefect::Issuer, &token)
            .await;
    }
    let without = world.entra.token().without_claim("iss").sign();
    world
        .invalid("missing", TokenDefect::Issuer, &without)
        .await;
}

#[tokio::test]
async fn cl_14_nothing_is_made_a_string() {
    let world = World::start().await;
    for name in [
        "oid", "tid", "azp", "scp", "appid", "sub", "idtyp", "uti", "ver", "iss",
    ] {
        let good = world.entra.token().claims().get(name).cloned();
        let good = good.unwrap_or_else(|| "x".into());
        for value in [
            json!([good]),
            json!([]),
            json!(1),
            json!(null),
            json!(true),
            json!({}),
            json!({DISGUISE: good.to_string()}),
        ] {
            let token = world.entra.token().claim(name, value.clone()).sign();
            let defect = match name {
                "tid" => TokenDefect::Tenant,
                "iss" => TokenDefect::Issuer,
                _ => TokenDefect::Claims,
            };
            let case = format!("{name} {value}");
            world.invalid(&case, defect, &token).await;
        }
    }
    for roles in [
        json!("Reader"),
        json!(1),
        json!(null),
        json!([1]),
        json!(["a", null]),
    ] {
        let token = world.entra.token().claim("roles", roles.clone()).sign();
        world
            .invalid(&format!("roles {roles}"), TokenDefect::Claims, &token)
            .await;
    }
}

#[tokio::test]
async fn cl_15_a_token_bound_to_its_sender_is_no_bearer() {
    let world = World::start().await;
    for cnf in [
        json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
        json!({"kid": "some-key-of-the-sender"}),
        json!({}),
        json!(null),
        json!("text"),
    ] {
        let token = world.entra.token().claim("cnf", cnf.clone()).sign();
        world
            .invalid(&cnf.to_string(), TokenDefect::SenderConstrained, &token)
            .await;
    }
}
