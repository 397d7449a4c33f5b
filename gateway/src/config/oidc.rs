//! `[oidc]`: a provider of tokens that is not Entra ID.

use super::{Config, Entra, Origin, resolve::Resolver, settings::Value, value};

/// What says that there is another provider.
pub(super) const ISSUER: &str = "oidc.issuer";
pub(super) const ISSUER_VARIABLE: &str = "OBO_OIDC_ISSUER";

/// What means nothing to another provider. Variables of Azure's, which may be there for something else, are not
/// read beside one.
const OF_ENTRA_ID: [&str; 4] = [
    "entra.tenant",
    "entra.authority",
    "entra.answer_claims_challenges",
    "entra.own_signing_keys",
];

/// Another provider of OpenID Connect, in place of Entra ID.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherProvider {
    /// As `iss` of its tokens has it.
    pub issuer: String,
    /// Where its tokens have roles.
    pub roles_claim: Option<String>,
    /// Whether the client secret goes into the `Authorization` of token requests.
    pub secret_in_header: bool,
}

impl OtherProvider {
    /// The same for the library.
    pub(crate) fn for_library(&self, config: &Config) -> tower_obo::Oidc {
        let mut oidc = tower_obo::Oidc::issuer(self.issuer.as_str())
            .allow_http_loopback(config.entra.allow_http_loopback);
        if let Some(claim) = &self.roles_claim {
            oidc = oidc.roles_claim(claim.as_str());
        }
        if self.secret_in_header {
            oidc = oidc.secret_in_header();
        }
        if let Some(path) = &config.entra.ca_file {
            oidc = oidc.ca_file(path);
        }
        oidc
    }
}

impl Resolver<'_> {
    /// Whether the tokens are those of another provider than Entra ID.
    pub(super) fn has_other_provider(&self) -> bool {
        self.settings.text("oidc.issuer").is_some()
    }

    /// What is given of these is a problem, wherever it was given; a switch that is off asks for nothing.
    fn none_of(&mut self, keys: &[&'static str], message: &str) {
        for key in keys {
            let given = self.settings.values.0.get(key);
            if let Some(given) = given.filter(|given| !matches!(given.value, Value::Switch(false)))
            {
                self.problems.push(given.origin.clone(), *key, message);
            }
        }
    }

    /// What only goes with another provider is a problem where there is none.
    pub(super) fn not_without_oidc(&mut self) {
        // Where the table is there, its issuer has been missed.
        if self.has_been_said(ISSUER) {
            return;
        }
        let message = "it goes with `oidc.issuer`, which is missing";
        self.none_of(&["oidc.roles_claim", "oidc.secret_in_header"], message);
    }

    /// `[oidc]` in place of `[entra]`: client id, credential and the like mean the same in both.
    pub(super) fn oidc(&mut self) -> Option<Entra> {
        let settings = self.settings;
        let issuer = settings.text("oidc.issuer")?;
        let allow_http_loopback = settings.switch("entra.allow_http_loopback");
        if let Err(message) = value::issuer(issuer.value, allow_http_loopback) {
            self.problems.push(issuer.origin, "oidc.issuer", message);
        }
        self.none_of(
            &OF_ENTRA_ID,
            "it is Entra ID's, and with [oidc] the tokens are not; give one of the two tables",
        );
        self.none_of(
            &["accept.tenants", "accept.any_tenant"],
            "tenants are Entra ID's; with [oidc] the issuer says whose users may call",
        );
        let client_id = settings.text("entra.client_id").map(|given| given.value);
        if client_id.is_none_or(str::is_empty) {
            let message = "missing: the client id of your API at the provider. Give it as `client_id` under [oidc], --client-id, or OBO_CLIENT_ID=…";
            self.problems
                .push(Origin::Nowhere, "oidc.client_id", message);
        }
        let roles_claim = settings.text("oidc.roles_claim");
        if let Some(given) = &roles_claim {
            let mut parts = given.value.split('.');
            let is_url = given.value.contains("://");
            if !is_url && (parts.clone().count() > 2 || parts.any(str::is_empty)) {
                let message = format!(
                    "{:?} is neither a claim (\"roles\") nor a claim and its member (\"realm_access.roles\")",
                    given.value
                );
                let origin = given.origin.clone();
                self.problems.push(origin, "oidc.roles_claim", message);
            }
        }
        let credential = self.credential();
        Some(Entra {
            tenant: String::new(),
            client_id: client_id?.to_owned(),
            authority: None,
            ca_file: settings
                .text("entra.ca_file")
                .map(|given| given.value.into()),
            allow_http_loopback,
            answer_claims_challenges: false,
            own_signing_keys: false,
            credential: credential?,
            other: Some(OtherProvider {
                issuer: issuer.value.to_owned(),
                roles_claim: roles_claim.map(|given| given.value.to_owned()),
                secret_in_header: settings.switch("oidc.secret_in_header"),
            }),
        })
    }
}
