//! LO-03: what `Debug` and `Display` of the library's types show.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::extract::FromRequestParts;
use entra_emulator::demo;
use http::Request;
use tower::{Layer, Service, ServiceExt};
use tower_obo::{
    Aadsts, AadstsAnswer, AadstsWho, AccessPolicy, Admitted, Algorithm, ClientCertificate, Clock,
    Core, Credential, Decision, Downstream, DownstreamToken, Entra, Event, ExchangeError,
    ExchangeErrorKind, ExchangeRequest, Exchanging, Head, Issuers, KeySet, ManagedIdentity,
    Observer, Principal, RefreshReason, Rejection, Secret, SystemClock, Timestamp, TokenDefect,
    TokenExchange, TokenResponse, TokioSpawner, Validator,
};

use crate::fixture::{World, policy, with_token};

/// What every type shows, by its name.
#[derive(Default)]
struct Shown(BTreeMap<&'static str, String>);

impl Shown {
    fn add(&mut self, name: &'static str, value: &dyn Debug) {
        let text = format!("{value:?}\n{value:#?}\n");
        self.0.entry(name).or_default().push_str(&text);
    }

    fn text(&mut self, name: &'static str, text: String) {
        self.0.entry(name).or_default().push_str(&text);
    }
}

/// What an observer is shown.
#[derive(Clone, Debug, Default)]
struct Events(Arc<Mutex<String>>);

impl Observer for Events {
    fn on(&self, event: &Event<'_>) {
        *self.0.lock().unwrap() += &format!("{event:?}\n");
    }
}

const SECRET: &str = "the-client-secret-itself";

#[tokio::test]
async fn lo_03_no_public_type_shows_a_token_or_a_secret() {
    let events = Events::default();
    let world = World::with(|builder| builder.keep_claim("name").observer(events.clone())).await;
    let token = world.entra.user_token("alice");
    world.accepted("alice", &token).await;
    let seen = world.upstream.last();
    let downstream_token = seen.authorization().replace("Bearer ", "");
    let mut shown = Shown::default();

    let admitted: Admitted = seen.admitted.clone().unwrap();
    shown.add("Admitted", &admitted);
    let graph = Downstream::new("graph", ["https://graph.microsoft.com/User.Read"]);
    let on_demand = world
        .core
        .bind(policy().downstream_on_demand(graph))
        .unwrap();
    let on_demand = world.core.admit_token(&token, &on_demand).await.unwrap();
    shown.add("Downstreams", &on_demand.downstreams());
    shown.add("Principal", &admitted.principal());
    let downstream: DownstreamToken = admitted.first_downstream().unwrap();
    shown.add("DownstreamToken", &downstream);

    let core = &world.core;
    shown.add("Core", core);
    let rule = tower_obo::DenyRule::user(demo::CONTOSO, "00000000-0000-0000-0000-00000000000a");
    shown.add("DenyRule", &rule);
    shown.add("DenyList", &tower_obo::DenyList::default());
    shown.add("Purged", &tower_obo::Purged::default());
    let contoso = || Entra::tenant(demo::CONTOSO).authority(world.entra.url());
    shown.add("Entra", &contoso());
    let secret = || Credential::secret(SECRET);
    shown.add("Credential", &secret());
    let certificate = ClientCertificate::file("/c.pfx").with_password(SECRET);
    shown.add("ClientCertificate", &certificate);
    shown.add("Credential", &Credential::certificate(certificate));
    let identity = ManagedIdentity::from_lookup(|name| match name {
        "IDENTITY_ENDPOINT" => Some("http://127.0.0.1:1/".to_owned()),
        _ => Some(SECRET.to_owned()).filter(|_| name == "IDENTITY_HEADER"),
    });
    shown.add("ManagedIdentity", &identity);
    shown.add("Credential", &Credential::managed_identity(identity));
    let secret_of_env = |name: &str| (name == "AZURE_CLIENT_SECRET").then(|| SECRET.to_owned());
    let of_env = Credential::from_lookup(secret_of_env).unwrap();
    shown.add("Credential", &of_env);
    shown.add("Secret", &Secret::from(SECRET));
    let builder = Core::builder(contoso()).client(demo::API_CLIENT_ID, secret());
    shown.add("CoreBuilder", &builder);
    let errors = Core::builder(Entra::tenant("common"))
        .client("", Credential::secret(SECRET))
        .build()
        .unwrap_err();
    shown.add("ConfigErrors", &errors);
    shown.text("ConfigErrors", errors.to_string());
    shown.add("ConfigError", &errors.iter().collect::<Vec<_>>());

    let request = with_token(&token);
    let head = Head::from(&request);
    shown.add("Head", &head);
    let bound = core.bind(policy()).unwrap();
    shown.add("BoundPolicy", &bound);
    shown.add("Policy", &policy());
    shown.add("Downstream", &Downstream::azure_resource_manager());
    shown.add("AccessPolicy", &AccessPolicy::any_scope([demo::API_SCOPE]));
    shown.add("Decision", &core.decide(&head, &bound));
    let unknown = world.entra.token().sign();
    let first = with_token(&unknown);
    let pending = core.decide(&Head::from(&first), &bound);
    shown.add("Decision", &pending);
    match pending {
        Decision::Wait(pending) => shown.add("Pending", &pending),
        other => panic!("{other:?}"),
    }
    let layer = core.layer(policy()).unwrap();
    shown.add("OboLayer", &layer);
    shown.add(
        "OboLayerBuilder",
        &tower_obo::OboLayer::builder(contoso()).client(demo::API_CLIENT_ID, secret()),
    );
    let mut service = layer.layer(world.upstream.clone());
    shown.add("Obo", &service);
    let future = service.call(with_token(&unknown));
    shown.add("ResponseFuture", &future);
    drop(future);

    let forged = format!("{}x", &token[..token.len() - 1]);
    let answer = world.get(&forged).await;
    let rejection: Rejection = answer.rejection.clone().unwrap();
    shown.add("Rejection", &rejection);
    shown.text("Rejection", rejection.detail().to_owned());
    shown.add("RejectionKind", &rejection.kind());
    shown.add("TokenDefect", &TokenDefect::UnknownKey);
    shown.add("Actor", &rejection.kind().actor());

    let error = ExchangeError::new(ExchangeErrorKind::Misconfigured, "fixed");
    shown.add("ExchangeError", &error);
    shown.text("ExchangeError", error.to_string());
    shown.add("ExchangeErrorKind", &error.kind());
    shown.add("Aadsts", &Aadsts::all());
    shown.add("AadstsAnswer", &AadstsAnswer::AppOnly);
    shown.add("AadstsWho", &AadstsWho::Operator);
    let response = TokenResponse::new(Secret::from(&*downstream_token), Duration::from_secs(1));
    shown.add("TokenResponse", &response);

    let issuers = Issuers::new(world.entra.url());
    let keys = world.entra.jwks(None).to_string();
    let keys = KeySet::parse(
        keys.as_bytes(),
        issuers.clone(),
        Timestamp::default(),
        Duration::from_secs(1),
    );
    shown.add("KeySet", &keys.as_ref().unwrap());
    shown.add("Issuers", &issuers);
    #[cfg(feature = "redis")]
    shown.add(
        "RedisStore",
        &tower_obo::RedisStore::new(format!("redis://:{SECRET}@host"), SECRET).also_opens(SECRET),
    );
    shown.add("Lookup", &tower_obo::Lookup::Hit);
    let bad = KeySet::parse(
        SECRET.as_bytes(),
        issuers,
        Timestamp::default(),
        Duration::from_secs(1),
    );
    shown.add("KeySetError", &bad.as_ref().unwrap_err());
    shown.text("KeySetError", bad.as_ref().unwrap_err().to_string());
    let no_keys = tower_obo::KeysError::from(bad.unwrap_err());
    shown.add("KeysError", &no_keys);
    shown.text("KeysError", no_keys.to_string());
    shown.add("Algorithm", &Algorithm::Rs256);
    shown.add("RefreshReason", &RefreshReason::NoKeys);
    let validator = Validator::builder().audience("a").tenant(demo::CONTOSO);
    shown.add("ValidatorBuilder", &validator);
    shown.add("Validator", &validator.build());
    shown.add("TokioSpawner", &TokioSpawner::current());
    shown.add("SystemClock", &SystemClock);
    shown.add("TestClock", &world.clock);
    shown.add("Timestamp", &world.clock.now());
    shown.add("Key", &keys.unwrap().with_id(&world.entra.current_kid()));
    let keys = || tower_obo::RemoteKeys::builder(contoso().allow_http_loopback(true));
    shown.add("RemoteKeysBuilder", &keys());
    shown.add("RemoteKeys", &keys().build().unwrap());
    shown.add("ProblemResponse", &tower_obo::ProblemResponse);
    shown.add("GrantType", &tower_obo::GrantType::OnBehalfOf);
    let oidc = tower_obo::Oidc::issuer("https://id.example.com");
    shown.add("Oidc", &oidc);
    #[cfg(feature = "test-util")]
    shown.add(
        "TestCaller",
        &tower_obo::TestCaller::user("u").downstream("d", SECRET),
    );
    shown.add("Provider", &tower_obo::Provider::from(oidc));
    let usage = core.cache_usage();
    shown.add("CachesUsage", &usage);
    shown.add("CacheUsage", &usage.tokens);
    shown.add("SharedStoreUsage", &tower_obo::SharedStoreUsage::default());
    shown.add("ExchangeRequest", &requests(&world, &token).await);
    shown.text("Event", events.0.lock().unwrap().clone());
    let (mut parts, ()) = Request::new(()).into_parts();
    let missing = Principal::from_request_parts(&mut parts, &()).await;
    shown.add("MissingLayer", &missing.unwrap_err());
    shown.is_complete();

    let [_, payload, signature] = crate::forge::parts(&token);
    let [_, other_payload, other_signature] = crate::forge::parts(&unknown);
    let [_, downstream_payload, downstream_signature] = crate::forge::parts(&downstream_token);
    for (name, text) in &shown.0 {
        let kid = world.entra.current_kid();
        let keys = ["Key", "KeySet"].contains(name);
        assert_eq!(text.contains(&kid), keys, "{name} and key ids: {text}");
        for needle in [
            SECRET,
            demo::API_CLIENT_SECRET,
            payload,
            signature,
            other_payload,
            other_signature,
            downstream_payload,
            downstream_signature,
        ] {
            assert!(!text.contains(needle), "{name} shows {needle:.30}: {text}");
        }
    }
}

/// A request as a custom exchange sees it.
async fn requests(world: &World, token: &str) -> ExchangeRequest {
    #[derive(Debug, Default, Clone)]
    struct Keep(Arc<Mutex<Option<ExchangeRequest>>>);

    impl TokenExchange for Keep {
        fn exchange(&self, request: ExchangeRequest) -> Exchanging {
            *self.0.lock().unwrap() = Some(request);
            let error = ExchangeError::new(ExchangeErrorKind::Unavailable, "kept");
            Box::pin(async { Err(error) })
        }
    }

    let keep = Keep::default();
    let contoso = Entra::tenant(demo::CONTOSO);
    let core = crate::fixture::core(&world.entra, contoso, &world.clock, |builder| {
        builder.with_exchange(keep.clone())
    });
    let service = core.layer(policy()).unwrap().layer(world.upstream.clone());
    service.oneshot(with_token(token)).await.unwrap();
    keep.0.lock().unwrap().take().unwrap()
}

/// Traits, and aliases of boxed futures.
const TRAITS: [&str; 9] = [
    "Clock",
    "Exchanging",
    "KeySource",
    "Observer",
    "Refreshed",
    "RespondWith",
    "Spawner",
    "Task",
    "TokenExchange",
];

impl Shown {
    /// Every name that the library exports is here.
    fn is_complete(&self) {
        let source = include_str!("../../src/lib.rs");
        let exports: Vec<_> = source.split("pub use").skip(1).collect();
        let names = exports.iter().flat_map(|export| {
            let words = export.split(|letter: char| !letter.is_alphanumeric());
            words.filter(|word| word.starts_with(char::is_uppercase))
        });
        for name in names {
            let known = self.0.contains_key(name) || TRAITS.contains(&name);
            assert!(
                known,
                "{name} is exported, and nobody looks at what it shows"
            );
        }
    }
}
