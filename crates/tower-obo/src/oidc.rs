//! Another provider of tokens than Entra ID.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwapOption;
use http::Uri;

use crate::entra::is_loopback;

/// A provider of OpenID Connect that is not Entra ID: Keycloak, say.
///
/// Its keys and its token endpoint are those that its document names (OpenID Connect Discovery 1.0 §4),
/// which must be about this very issuer, byte for byte. Its access tokens are JWTs whose header names
/// the key (RFC 9068): none of the rules of Entra ID's tokens (`tid`, `ver`, the tenant's GUID) is
/// applied to them. Its users are known by `sub`, together with the issuer. Scopes are read from
/// `scope`, or `scp`. Downstream tokens come by [token exchange](crate::Downstream::token_exchange), or
/// by client credentials.
///
/// A token counts as an application's own if it has no `sub`, or one that is its client's id (RFC 9068
/// §2.2 and §5) in `azp`, `client_id` or Okta's `cid`, if Auth0's `gty` says `client-credentials`, or if
/// `sub` is Auth0's `<client>@clients`. Providers that have accounts for applications (Keycloak) give
/// them a `sub` of their own: keep those out by scope, role or client.
///
/// An ID token is none, whatever roles it has: a token must have `scope`, `scp`, `client_id` or `cid`, or say
/// by its `typ` that it is for access (`at+jwt` in the header, `Bearer` in the payload, as Keycloak has it).
///
/// ```
/// use tower_obo::{AccessPolicy, Core, Credential, Downstream, Oidc, Policy};
///
/// let keycloak = Oidc::issuer("https://id.example.com/realms/shop").roles_claim("realm_access.roles");
/// let core = Core::builder(keycloak)
///     .client("shop-api", Credential::secret("…"))
///     .build()?;
/// let policy = Policy::new(AccessPolicy::any_role(["customer"]))
///     .downstream(Downstream::token_exchange("orders").audience("orders-api"));
/// let layer = core.layer(policy)?;
/// # let _ = layer;
/// # Ok::<_, tower_obo::ConfigErrors>(())
/// ```
#[derive(Clone, Debug)]
pub struct Oidc {
    pub(crate) issuer: Box<str>,
    pub(crate) roles_claim: Option<Box<str>>,
    pub(crate) secret_in_header: bool,
    pub(crate) allow_http_loopback: bool,
    pub(crate) ca_file: Option<PathBuf>,
    /// Filled by whoever reads the issuer's document.
    pub(crate) token_endpoint: Endpoint,
    given_endpoint: Option<Box<str>>,
}

/// An address that may change, or not be known yet.
pub(crate) type Endpoint = Arc<ArcSwapOption<String>>;

impl Oidc {
    /// The provider with that issuer, spelt as its tokens have it.
    #[must_use]
    pub fn issuer(issuer: impl Into<Box<str>>) -> Self {
        Self {
            issuer: issuer.into(),
            roles_claim: None,
            secret_in_header: false,
            allow_http_loopback: false,
            ca_file: None,
            token_endpoint: Arc::default(),
            given_endpoint: None,
        }
    }

    /// Where tokens have the caller's roles: the name of a claim that is a list of texts, or of an
    /// object and its member with a dot between them, as Keycloak's `realm_access.roles`. Without it no
    /// token has roles.
    #[must_use]
    pub fn roles_claim(mut self, claim: impl Into<Box<str>>) -> Self {
        self.roles_claim = Some(claim.into());
        self
    }

    /// Shows a client secret in the `Authorization` of token requests (`client_secret_basic`, RFC 6749
    /// §2.3.1) instead of in their bodies (`client_secret_post`).
    #[must_use]
    pub fn secret_in_header(mut self) -> Self {
        self.secret_in_header = true;
        self
    }

    /// The token endpoint, where it is not the one that the issuer's document names, or where that
    /// document is not read because the keys come from elsewhere.
    #[must_use]
    pub fn token_endpoint(mut self, url: impl Into<Box<str>>) -> Self {
        let url = url.into();
        self.token_endpoint = Arc::new(ArcSwapOption::from_pointee(String::from(&*url)));
        self.given_endpoint = Some(url);
        self
    }

    /// Lets the issuer, and what its document names, be plain `http` on a loopback address: for
    /// development and tests.
    #[must_use]
    pub fn allow_http_loopback(mut self, allow: bool) -> Self {
        self.allow_http_loopback = allow;
        self
    }

    /// Trusts the certificate authorities in this file (PEM) besides those of the system, for what is
    /// asked of this provider.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Whether the token endpoint was given, so that no document has a say in it.
    pub(crate) const fn has_endpoint(&self) -> bool {
        self.given_endpoint.is_some()
    }

    pub(crate) fn given_endpoint(&self) -> Option<&str> {
        self.given_endpoint.as_deref()
    }

    /// Whether something may be asked there: `https`, or `http` on this machine where that is allowed.
    pub(crate) fn may_ask(&self, url: &str) -> bool {
        let Ok(uri) = url.parse::<Uri>() else {
            return false;
        };
        let plain = uri.authority().is_some_and(|a| !a.as_str().contains('@'));
        let host = uri.host().unwrap_or_default();
        plain
            && match uri.scheme_str() {
                Some("https") => true,
                Some("http") => self.allow_http_loopback && is_loopback(host),
                _ => false,
            }
    }

    pub(crate) fn is_local(&self) -> bool {
        self.issuer.starts_with("http://")
    }

    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let issuer = &self.issuer;
        if !self.may_ask(issuer) || issuer.contains(['?', '#', '{']) {
            problems.push((
                "issuer",
                format!(
                    "{issuer:?} is no issuer: give its https URL, as `iss` of its tokens has it (http on loopback with allow_http_loopback)"
                ),
            ));
        }
        if let Some(url) = &self.given_endpoint
            && !self.may_ask(url)
        {
            problems.push((
                "token_endpoint",
                format!("{url:?} is no https URL: secrets and tokens go there"),
            ));
        }
        if let Some(claim) = (self.roles_claim.as_ref()).filter(|claim| !is_claim(claim)) {
            problems.push((
                "roles_claim",
                format!("{claim:?} is neither a claim nor a claim and its member"),
            ));
        }
        problems
    }
}

/// Whether it can name a claim, or a claim and its member.
pub(crate) fn is_claim(name: &str) -> bool {
    let (claim, member) = crate::validate::claim_and_member(name);
    !claim.is_empty() && member.is_none_or(|member| !member.is_empty() && !member.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_https_or_on_this_machine_where_that_is_allowed() {
        for (issuer, loopback, good) in [
            ("https://id.example.com/realms/shop", false, true),
            ("https://id.example.com/", false, true),
            ("http://127.0.0.1:8080/realms/shop", true, true),
            ("http://127.0.0.1:8080/realms/shop", false, false),
            ("http://id.example.com", true, false),
            ("https://id.example.com/?a", false, false),
            ("https://u@id.example.com", false, false),
            ("https://id.example.com/{tenantid}", false, false),
            ("id.example.com", false, false),
            ("", false, false),
        ] {
            let oidc = Oidc::issuer(issuer).allow_http_loopback(loopback);
            assert_eq!(oidc.problems().is_empty(), good, "{issuer}");
        }
    }

    #[test]
    fn what_is_no_endpoint_or_no_claim_is_said() {
        let oidc = || Oidc::issuer("https://id.example.com");
        for (oidc, setting) in [
            (
                oidc().token_endpoint("http://id.example.com/t"),
                "token_endpoint",
            ),
            (oidc().roles_claim(""), "roles_claim"),
            (oidc().roles_claim("a."), "roles_claim"),
            (oidc().roles_claim("a.b.c"), "roles_claim"),
        ] {
            let problems = oidc.problems();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].0, setting);
        }
        let good = oidc().token_endpoint("https://id.example.com/t");
        assert!(good.roles_claim("realm_access.roles").problems().is_empty());
    }
}
