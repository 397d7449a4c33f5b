//! KS-02, KS-09: keys from somewhere else than the authority's documents.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use entra_emulator::{Emulator, Endpoint, Fault, demo};
use http::StatusCode;
use serde_json::json;
use tower_obo::{
    Clock, Entra, Issuers, KeySet, KeySource, RefreshReason, Refreshed, TestClock, TokenDefect,
};

use crate::{
    fixture::{Upstream, World, core, with_token},
    forge::Attacker,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Keys that a test replaces. They know nothing of each other.
#[derive(Clone, Debug)]
struct Switch(Arc<Mutex<Arc<KeySet>>>);

impl KeySource for Switch {
    fn current(&self) -> Option<Arc<KeySet>> {
        Some(Arc::clone(&self.0.lock().unwrap()))
    }

    fn refresh(&self, _: RefreshReason) -> Option<Refreshed> {
        None
    }
}

/// A set of keys as it is read now, and good for a day.
fn read(entra: &Emulator, clock: &TestClock, keys: &serde_json::Value) -> Arc<KeySet> {
    let issuers = Issuers::new(&format!("{}/{{tenantid}}/v2.0", entra.url()));
    let keys = KeySet::parse(keys.to_string().as_bytes(), issuers, clock.now(), DAY);
    Arc::new(keys.unwrap())
}

async fn world() -> (World, Switch) {
    let entra = Emulator::builder().start().await.unwrap();
    let clock = TestClock::starting_now();
    let keys = read(&entra, &clock, &entra.jwks(None));
    let switch = Switch(Arc::new(Mutex::new(keys)));
    let core = core(&entra, Entra::tenant(demo::CONTOSO), &clock, |builder| {
        builder.with_keys(switch.clone())
    });
    let world = World {
        entra,
        clock,
        core,
        upstream: Upstream::default(),
    };
    (world, switch)
}

#[tokio::test]
async fn ks_09_a_key_that_leaves_any_source_takes_its_admissions_with_it() {
    let (world, switch) = world().await;
    let token = world.entra.user_token("alice");
    world.accepted("before", &token).await;
    let stranger = json!({ "keys": [Attacker::new().jwk("another")] });
    // In between it comes as another object of the same key.
    for (case, known) in [("the same", true), ("others", false), ("back again", true)] {
        let keys = match known {
            true => world.entra.jwks(None),
            false => stranger.clone(),
        };
        *switch.0.lock().unwrap() = read(&world.entra, &world.clock, &keys);
        world.clock.advance(Duration::from_secs(1));
        match known {
            true => world.accepted(case, &token).await,
            false => {
                world.invalid(case, TokenDefect::UnknownKey, &token).await;
            }
        }
    }
    assert_eq!(world.exchanges_asked(), 1);
}

#[tokio::test]
async fn ks_09_a_key_that_stays_lives_as_long_as_the_newest_set() {
    let (world, switch) = world().await;
    let token = world.entra.token().expires_in(5 * 24 * 3600).sign();
    world.is_valid("before", &token).await;
    world.clock.advance(DAY - Duration::from_secs(1));
    let keys = world.entra.jwks(None);
    *switch.0.lock().unwrap() = read(&world.entra, &world.clock, &keys);
    world.is_valid("replaced", &token).await;
    world.clock.advance(Duration::from_secs(2));
    world.is_valid("after the old one's day", &token).await;
}

#[tokio::test]
async fn ks_02_a_set_that_is_too_old_is_none_wherever_it_comes_from() {
    let (world, _) = world().await;
    assert!(world.core.is_ready());
    let token = |number: usize| {
        let token = world.entra.token().expires_in(5 * 24 * 3600);
        token.claim("number", number).sign()
    };
    let known = token(0);
    world.is_valid("in time", &known).await;
    world.clock.advance(DAY);
    assert!(!world.core.is_ready());
    for (case, token) in [("known", known), ("new", token(1))] {
        let answer = world.refused(case, with_token(&token)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{case}");
        assert_eq!(answer.problem_type(), "keys-not-loaded", "{case}");
    }
}

/// A source whose fetch ends on another thread just after a token has been judged by the old keys.
#[derive(Clone, Debug)]
struct Meanwhile {
    keys: Switch,
    fetched: Arc<KeySet>,
}

impl KeySource for Meanwhile {
    fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.current()
    }

    fn refresh(&self, _: RefreshReason) -> Option<Refreshed> {
        *self.keys.0.lock().unwrap() = Arc::clone(&self.fetched);
        None
    }
}

#[tokio::test]
async fn ks_05_keys_that_came_between_the_look_and_the_question_count() {
    let entra = Emulator::builder().start().await.unwrap();
    let clock = TestClock::starting_now();
    let stranger = json!({ "keys": [Attacker::new().jwk("another")] });
    let source = Meanwhile {
        keys: Switch(Arc::new(Mutex::new(read(&entra, &clock, &stranger)))),
        fetched: read(&entra, &clock, &entra.jwks(None)),
    };
    let core = core(&entra, Entra::tenant(demo::CONTOSO), &clock, |builder| {
        builder.with_keys(source)
    });
    let world = World {
        entra,
        clock,
        core,
        upstream: Upstream::default(),
    };
    let token = world.entra.user_token("alice");
    world.accepted("its key has just come", &token).await;
    let made_up = world.entra.token().header("kid", "made-up").sign();
    world
        .invalid("no such key has come", TokenDefect::UnknownKey, &made_up)
        .await;
}

/// As doubles of Entra ID do that know one document.
#[tokio::test]
async fn an_authority_that_shows_its_v2_document_in_both_places_has_no_v1_tokens() {
    let entra = Emulator::builder().start().await.unwrap();
    let tenant = format!("{}/{}", entra.url(), demo::CONTOSO);
    let document = Fault::status(200).json(&json!({
        "issuer": format!("{tenant}/v2.0"),
        "jwks_uri": format!("{tenant}/discovery/v2.0/keys"),
        "token_endpoint": format!("{tenant}/oauth2/v2.0/token"),
    }));
    entra.fail(Endpoint::Discovery, document, 2);
    let clock = TestClock::starting_now();
    let core = core(&entra, Entra::tenant(demo::CONTOSO), &clock, |builder| {
        builder
    });
    let world = World {
        entra,
        clock,
        core,
        upstream: Upstream::default(),
    };
    world.is_valid("v2.0", &world.entra.token().sign()).await;
    let v1 = world.entra.token().v1().sign();
    world.invalid("v1.0", TokenDefect::Issuer, &v1).await;
    assert_eq!(
        world.entra.count(Endpoint::Discovery),
        2,
        "nothing was tried again"
    );
}
