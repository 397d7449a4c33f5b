//! The sovereign clouds and External ID: whose tokens count there, and what they are exchanged for.
//! The keys stand in for those of the authority, which no test can reach.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use entra_emulator::{Endpoint, demo};
use serde_json::json;
use tower_obo::{
    Clock, Core, Credential, Entra, ExchangeRequest, Exchanging, Issuers, KeySet, KeySource,
    RefreshReason, Refreshed, RejectionKind, Secret, TestClock, TokenDefect, TokenExchange,
    TokenResponse,
};

use crate::{
    fixture::{World, policy},
    forge::Attacker,
};

/// An authority, its issuers of both versions, and its Resource Manager.
struct Cloud {
    authority: &'static str,
    v2: &'static str,
    v1: Option<&'static str>,
    manager: &'static str,
}

const CLOUDS: [Cloud; 4] = [
    Cloud {
        authority: "https://login.microsoftonline.com",
        v2: "https://login.microsoftonline.com/{tenantid}/v2.0",
        v1: Some("https://sts.windows.net/{tenantid}/"),
        manager: "https://management.azure.com",
    },
    Cloud {
        authority: "https://login.microsoftonline.us",
        v2: "https://login.microsoftonline.us/{tenantid}/v2.0",
        v1: Some("https://sts.windows.net/{tenantid}/"),
        manager: "https://management.usgovcloudapi.net",
    },
    Cloud {
        authority: "https://login.partner.microsoftonline.cn",
        v2: "https://login.partner.microsoftonline.cn/{tenantid}/v2.0",
        v1: Some("https://sts.chinacloudapi.cn/{tenantid}/"),
        manager: "https://management.chinacloudapi.cn",
    },
    Cloud {
        authority: "https://contoso.ciamlogin.com",
        v2: "https://{tenantid}.ciamlogin.com/{tenantid}/v2.0",
        v1: None,
        manager: "https://management.azure.com",
    },
];

fn filled(template: &str) -> String {
    template.replace("{tenantid}", demo::CONTOSO)
}

#[derive(Debug)]
struct Fixed(Arc<KeySet>);

impl KeySource for Fixed {
    fn current(&self) -> Option<Arc<KeySet>> {
        Some(Arc::clone(&self.0))
    }

    fn refresh(&self, _: RefreshReason) -> Option<Refreshed> {
        None
    }
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
struct Asked(Arc<Mutex<Vec<(String, Vec<String>)>>>);

impl TokenExchange for Asked {
    fn exchange(&self, request: ExchangeRequest) -> Exchanging {
        let scopes = request.scopes.iter().map(|scope| scope.to_string());
        let asked = (request.tenant.to_string(), scopes.collect());
        self.0.lock().unwrap().push(asked);
        Box::pin(async {
            let token = Secret::from("downstream".to_owned());
            Ok(TokenResponse::new(token, Duration::from_secs(3600)))
        })
    }
}

#[tokio::test]
async fn cl_08_each_cloud_has_its_own_issuers_and_resource_manager() {
    let signer = Attacker::new();
    let clock = TestClock::starting_now();
    for cloud in &CLOUDS {
        let mut key = signer.jwk("k");
        key["issuer"] = cloud.v2.into();
        let keys = json!({ "keys": [key] }).to_string();
        let mut issuers = Issuers::new(&filled(cloud.v2));
        if let Some(v1) = cloud.v1 {
            issuers = issuers.with_v1(&filled(v1));
        }
        let day = Duration::from_secs(24 * 3600);
        let keys = KeySet::parse(keys.as_bytes(), issuers, clock.now(), day).unwrap();
        let asked = Asked::default();
        let core = Core::builder(Entra::tenant(demo::CONTOSO).authority(cloud.authority))
            .client(demo::API_CLIENT_ID, Credential::secret("s"))
            .with_keys(Fixed(Arc::new(keys)))
            .with_exchange(asked.clone())
            .with_clock(clock.clone())
            .build()
            .unwrap();
        let policy = core.bind(policy()).unwrap();
        let now = clock.now().as_unix();
        let token = |version: &str, issuer: &str| {
            let claims = json!({
                "iss": issuer, "ver": version, "aud": demo::API_CLIENT_ID, "tid": demo::CONTOSO,
                "nbf": now, "exp": now + 3600, "scp": demo::API_SCOPE, "oid": "o",
            });
            signer.sign(&json!({"alg": "RS256", "kid": "k"}), &claims.to_string())
        };
        for other in &CLOUDS {
            let versions = [
                ("2.0", Some(other.v2), Some(cloud.v2)),
                ("1.0", other.v1, cloud.v1),
            ];
            for (version, issuer, ours) in versions {
                let Some(issuer) = issuer else { continue };
                let case = format!("{version} of {} at {}", other.authority, cloud.authority);
                let admitted = core
                    .admit_token(&token(version, &filled(issuer)), &policy)
                    .await;
                if Some(issuer) == ours {
                    assert!(admitted.is_ok(), "{case}: {admitted:?}");
                } else {
                    let kind = admitted.unwrap_err().kind();
                    let issuer = RejectionKind::InvalidToken(TokenDefect::Issuer);
                    assert_eq!(kind, issuer, "{case}");
                }
            }
        }
        let asked = asked.0.lock().unwrap();
        assert!(!asked.is_empty());
        let scope = format!("{}/user_impersonation", cloud.manager);
        for (tenant, scopes) in &*asked {
            assert_eq!(tenant, demo::CONTOSO);
            assert_eq!(*scopes, [scope.as_str()], "{}", cloud.authority);
        }
    }
}

/// The tenant of personal accounts.
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// Microsoft's own libraries ask `common` where there is a document of many tenants for v1.0.
#[tokio::test]
async fn cl_10_the_v1_document_of_several_tenants_is_that_of_common() {
    for (tenants, v2, v1) in [
        (Entra::tenant(demo::CONTOSO), demo::CONTOSO, demo::CONTOSO),
        (Entra::tenants([demo::CONTOSO]), "organizations", "common"),
        // Personal accounts sign in at `common`, never at `organizations`.
        (
            Entra::tenants([demo::CONTOSO, PERSONAL]),
            "common",
            "common",
        ),
        (Entra::any_tenant(), "common", "common"),
    ] {
        let world = World::of(tenants, |builder| builder).await;
        let asked = world.entra.requests(Endpoint::Discovery);
        let paths: Vec<_> = asked.iter().map(|request| &*request.path).collect();
        let document = ".well-known/openid-configuration";
        let expected = [
            format!("/{v2}/v2.0/{document}"),
            format!("/{v1}/{document}"),
        ];
        assert_eq!(paths, expected);
        let token = world.entra.token().v1().sign();
        world.is_valid("v1", &token).await;
    }
}
