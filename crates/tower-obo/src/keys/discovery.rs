//! Discovery documents of Entra ID: which issuers an authority mints and where its keys are.

use http::{StatusCode, Uri};
use serde::Deserialize;

use super::Issuers;
use crate::{
    Entra, cloud,
    http_client::{Answer, CallError, HttpClient},
};

/// Where an authority's documents are.
#[derive(Clone, Debug)]
pub(crate) struct Discovery {
    /// Scheme and host, without a slash at the end: `https://login.microsoftonline.com`.
    authority: Box<str>,
    /// A tenant's GUID, `organizations` or `common`.
    tenant: Box<str>,
    /// The tenant as issuers have it: the GUID, or `{tenantid}`.
    issuer_tenant: Box<str>,
    /// What the v2.0 document has to name.
    issuer: Box<str>,
    /// The application whose own keys are asked for.
    keys_of: Option<Box<str>>,
}

/// What the documents say.
pub(super) struct Found {
    pub(super) issuers: Issuers,
    pub(super) jwks: Answer,
}

/// Why the documents cannot be used: a fixed sentence, for the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct DiscoveryError {
    pub(super) document: &'static str,
    pub(super) reason: Reason,
    /// The first AADSTS code of an answer that is no document.
    pub(super) aadsts: Option<u32>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    Call(CallError),
    Status(u16),
    Content(&'static str),
}

impl std::fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.document)?;
        match self.reason {
            Reason::Call(error) => error.fmt(f),
            Reason::Status(status) => write!(f, "the answer has status {status}"),
            Reason::Content(reason) => f.write_str(reason),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Document {
    pub(super) issuer: String,
    pub(super) jwks_uri: String,
    pub(super) token_endpoint: String,
}

const V2: &str = "OpenID configuration (v2.0)";
const V1: &str = "OpenID configuration (v1.0)";
pub(super) const JWKS: &str = "key set";

impl Discovery {
    pub(crate) fn new(entra: &Entra) -> Self {
        let tenant = entra.discovery_tenant();
        // What the documents for many tenants have in its place.
        let named = match tenant {
            "common" | "organizations" => "{tenantid}",
            tenant => tenant,
        };
        Self {
            authority: entra.authority.trim_end_matches('/').into(),
            tenant: tenant.into(),
            issuer_tenant: named.into(),
            issuer: entra.issuer(named).into(),
            keys_of: entra.keys_of.as_deref().map(Into::into),
        }
    }

    /// Reads both discovery documents and fetches the key set that the v2.0 one names.
    pub(super) async fn fetch(&self, http: &HttpClient) -> Result<Found, DiscoveryError> {
        let v2_url = self.document_url(&format!("{}/v2.0", self.tenant));
        let v2 = self.document(http, V2, &v2_url).await?;
        self.check_v2(&v2)?;
        let mut issuers = Issuers::new(&v2.issuer);

        // Microsoft's own libraries ask `common` here, too.
        let v1_tenant = match &*self.tenant {
            "organizations" => "common",
            tenant => tenant,
        };
        let v1_url = self.document_url(v1_tenant);
        match self.document(http, V1, &v1_url).await {
            Ok(v1) if self.is_v1_issuer(&v1.issuer) => issuers = issuers.with_v1(&v1.issuer),
            // Nobody's tokens count by it.
            Ok(v1) if self.is_no_v1(&v1) => {}
            Ok(_) => return Err(refused(V1, "its issuer is not the authority's")),
            Err(error) if self.has_no_v1(error) => {}
            Err(error) => return Err(error),
        }
        let jwks = get(http, JWKS, &v2.jwks_uri).await?;
        Ok(Found { issuers, jwks })
    }

    /// Where a document is. With an application's id, the keys that it names are that application's.
    fn document_url(&self, place: &str) -> String {
        let url = format!(
            "{}/{place}/.well-known/openid-configuration",
            self.authority
        );
        match &self.keys_of {
            Some(client_id) => format!("{url}?appid={client_id}"),
            None => url,
        }
    }

    async fn document(
        &self,
        http: &HttpClient,
        name: &'static str,
        url: &str,
    ) -> Result<Document, DiscoveryError> {
        let answer = get(http, name, url).await?;
        serde_json::from_slice(&answer.body)
            .map_err(|_| refused(name, "it is no OpenID configuration"))
    }

    /// The document must be about the authority it was asked of (RFC 8414 §3.3), and must not send
    /// us anywhere else: what it names is called with nothing to show but trust in it.
    fn check_v2(&self, document: &Document) -> Result<(), DiscoveryError> {
        if *document.issuer != *self.issuer {
            return Err(refused(V2, "its issuer is not the authority asked"));
        }
        for url in [&document.jwks_uri, &document.token_endpoint] {
            if !self.is_same_origin(url) {
                return Err(refused(V2, "it names an address at another host"));
            }
        }
        Ok(())
    }

    /// External tenants have no v1.0 document, and mint no v1.0 tokens. Everybody else's is there:
    /// without it the last good issuers stay in use.
    fn has_no_v1(&self, error: DiscoveryError) -> bool {
        matches!(error.reason, Reason::Status(400 | 404)) && !cloud::has_v1(&self.authority)
    }

    /// Should External ID have one after all, or what stands in for Entra ID (a test double, say) show its
    /// only document at both places.
    fn is_no_v1(&self, document: &Document) -> bool {
        let is_the_v2 = *document.issuer == *self.issuer;
        cloud::is_external(&self.authority) || (is_the_v2 && !cloud::has_v1(&self.authority))
    }

    fn is_v1_issuer(&self, issuer: &str) -> bool {
        let host = cloud::v1_issuer_host(&self.authority);
        *issuer == format!("{host}/{}/", self.issuer_tenant)
    }

    fn is_same_origin(&self, url: &str) -> bool {
        let (Ok(url), Ok(ours)) = (url.parse::<Uri>(), self.authority.parse::<Uri>()) else {
            return false;
        };
        url.scheme() == ours.scheme() && url.authority() == ours.authority()
    }
}

pub(super) async fn get(
    http: &HttpClient,
    document: &'static str,
    url: &str,
) -> Result<Answer, DiscoveryError> {
    let answer = http.get(url).await.map_err(|error| DiscoveryError {
        document,
        reason: Reason::Call(error),
        aadsts: None,
    })?;
    if answer.status != StatusCode::OK {
        return Err(DiscoveryError {
            document,
            reason: Reason::Status(answer.status.as_u16()),
            aadsts: aadsts_of(&answer.body),
        });
    }
    Ok(answer)
}

pub(super) const fn refused(document: &'static str, reason: &'static str) -> DiscoveryError {
    DiscoveryError {
        document,
        reason: Reason::Content(reason),
        aadsts: None,
    }
}

/// What Entra ID says of a tenant that it does not know, for one.
fn aadsts_of(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Refusal {
        error_codes: Vec<u32>,
    }
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    refusal.error_codes.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    fn at(authority: &str, entra: Entra) -> Discovery {
        Discovery::new(&entra.authority(authority))
    }

    fn document(issuer: &str, jwks_uri: &str) -> Document {
        Document {
            issuer: issuer.to_owned(),
            jwks_uri: jwks_uri.to_owned(),
            token_endpoint: "https://login.example/t/token".to_owned(),
        }
    }

    #[test]
    fn a_document_about_somebody_else_is_refused() {
        let discovery = at("https://login.example", Entra::tenant(TENANT));
        let issuer = format!("https://login.example/{TENANT}/v2.0");
        let good = document(&issuer, "https://login.example/keys");
        assert!(discovery.check_v2(&good).is_ok());
        for bad in [
            document("https://login.evil/v2.0", "https://login.example/keys"),
            document(&issuer, "https://login.evil/keys"),
            document(&issuer, "http://login.example/keys"),
            document(&issuer, "https://login.example:8443/keys"),
            document(&issuer, "https://u@login.example/keys"),
            document(&issuer, "/keys"),
        ] {
            assert!(discovery.check_v2(&bad).is_err(), "{}", bad.jwks_uri);
        }
    }

    #[test]
    fn an_application_with_keys_of_its_own_is_named_in_both_addresses() {
        let place = ".well-known/openid-configuration";
        let own = Entra::tenant(TENANT).own_signing_keys_of("6E74172B-be56-4843-9ff4-e66a39bb12e3");
        let mut own = own.authority("https://login.example/");
        own.make_lower_case();
        let own = Discovery::new(&own);
        let query = "?appid=6e74172b-be56-4843-9ff4-e66a39bb12e3";
        for version in ["", "/v2.0"] {
            let path = format!("{TENANT}{version}");
            let expected = format!("https://login.example/{path}/{place}");
            assert_eq!(own.document_url(&path), format!("{expected}{query}"));
            let usual = at("https://login.example", Entra::tenant(TENANT));
            assert_eq!(usual.document_url(&path), expected);
        }
        // The same host rules for the keys that they name.
        let issuer = format!("https://login.example/{TENANT}/v2.0");
        let keys = |host| document(&issuer, &format!("https://{host}/keys{query}"));
        assert!(own.check_v2(&keys("login.example")).is_ok());
        assert!(own.check_v2(&keys("login.evil")).is_err());
    }

    #[test]
    fn a_document_for_many_tenants_has_a_template() {
        let discovery = at("https://login.example/", Entra::tenants([TENANT]));
        let good = document(
            "https://login.example/{tenantid}/v2.0",
            "https://login.example/keys",
        );
        assert!(discovery.check_v2(&good).is_ok());
        assert!(discovery.is_v1_issuer("https://login.example/{tenantid}/"));
        assert!(!discovery.is_v1_issuer("https://login.example/x/"));
        assert!(!discovery.is_v1_issuer("https://sts.example/{tenantid}/"));
    }

    #[test]
    fn only_where_there_may_be_none_a_missing_v1_document_is_no_fault() {
        let missing = |status| DiscoveryError {
            document: V1,
            reason: Reason::Status(status),
            aadsts: None,
        };
        let external = at("https://contoso.ciamlogin.com", Entra::tenant(TENANT));
        let own_domain = at("https://login.contoso.example", Entra::tenant(TENANT));
        for status in [400, 404] {
            assert!(external.has_no_v1(missing(status)), "{status}");
            assert!(own_domain.has_no_v1(missing(status)), "{status}");
        }
        for error in [
            missing(500),
            missing(401),
            refused(V1, "another"),
            DiscoveryError {
                document: V1,
                reason: Reason::Call(CallError::Timeout),
                aadsts: None,
            },
        ] {
            assert!(!external.has_no_v1(error), "{error}");
        }
        for authority in [
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.us",
            "https://login.partner.microsoftonline.cn/",
        ] {
            let cloud = at(authority, Entra::tenant(TENANT));
            assert!(!cloud.has_no_v1(missing(404)), "{authority}");
        }
    }

    #[test]
    fn a_v2_document_in_the_v1_place_is_none_but_not_in_a_microsoft_cloud() {
        let own = at("https://login.contoso.example", Entra::tenant(TENANT));
        let v2 = |host: &str| document(&format!("https://{host}/{TENANT}/v2.0"), "https://x/keys");
        assert!(own.is_no_v1(&v2("login.contoso.example")));
        assert!(!own.is_no_v1(&v2("login.evil.example")), "whose is it?");
        let cloud = at("https://login.microsoftonline.com", Entra::tenant(TENANT));
        assert!(!cloud.is_no_v1(&v2("login.microsoftonline.com")));
        let external = at("https://contoso.ciamlogin.com", Entra::tenant(TENANT));
        assert!(external.is_no_v1(&v2("anything.example")));
    }

    /// What the documents of each cloud name, as Microsoft publishes them.
    #[test]
    fn the_documents_of_every_cloud_are_accepted() {
        let external = format!("https://{TENANT}.ciamlogin.com");
        for (authority, issuer, v1) in [
            (
                "https://login.microsoftonline.com",
                "https://login.microsoftonline.com",
                "https://sts.windows.net",
            ),
            (
                "https://login.microsoftonline.us",
                "https://login.microsoftonline.us",
                "https://sts.windows.net",
            ),
            (
                "https://login.partner.microsoftonline.cn",
                "https://login.partner.microsoftonline.cn",
                "https://sts.chinacloudapi.cn",
            ),
            ("https://contoso.ciamlogin.com", &external, ""),
            (&external, &external, ""),
        ] {
            let discovery = at(authority, Entra::tenant(TENANT));
            let document = |issuer: String| Document {
                issuer,
                jwks_uri: format!("{authority}/{TENANT}/discovery/v2.0/keys"),
                token_endpoint: format!("{authority}/{TENANT}/oauth2/v2.0/token"),
            };
            let good = document(format!("{issuer}/{TENANT}/v2.0"));
            assert_eq!(discovery.check_v2(&good), Ok(()), "{authority}");
            for other in [
                "https://login.example",
                "https://fabrikam.ciamlogin.com",
                "https://3aa4a235-b6e2-48d5-9195-7fcf05b459b0.ciamlogin.com",
            ] {
                let other = document(format!("{other}/{TENANT}/v2.0"));
                assert!(discovery.check_v2(&other).is_err(), "{authority}");
            }
            // External ID has no v1.0 tokens.
            if !v1.is_empty() {
                assert!(discovery.is_v1_issuer(&format!("{v1}/{TENANT}/")));
                for other in [
                    format!("{v1}/{{tenantid}}/"),
                    format!("{v1}/{TENANT}"),
                    format!("https://evil.example/{TENANT}/"),
                    format!("https://sts.windows.net.evil.example/{TENANT}/"),
                ] {
                    assert!(!discovery.is_v1_issuer(&other), "{authority} {other}");
                }
                let many = at(authority, Entra::any_tenant());
                let template = document(format!("{issuer}/{{tenantid}}/v2.0"));
                assert_eq!(many.check_v2(&template), Ok(()), "{authority}");
            }
        }
    }
}
