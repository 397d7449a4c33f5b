//! Which Entra ID, and which of its tenants.

use std::path::PathBuf;

use http::Uri;

use crate::{cloud, validate::is_guid};

/// An authority of Microsoft Entra ID, with the tenants whose users may call.
///
/// ```
/// use tower_obo::Entra;
///
/// let one = Entra::tenant("72f988bf-86f1-41af-91ab-2d7cd011db47");
/// let some = Entra::tenants(["72f988bf-86f1-41af-91ab-2d7cd011db47"])
///     .authority("https://login.microsoftonline.us");
/// # let _ = (one, some);
/// ```
#[derive(Clone, Debug)]
pub struct Entra {
    pub(crate) authority: String,
    pub(crate) tenants: Tenants,
    pub(crate) allow_http_loopback: bool,
    pub(crate) ca_file: Option<PathBuf>,
    /// The application whose tokens keys of its own sign.
    pub(crate) keys_of: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Tenants {
    One(String),
    Listed(Vec<String>),
    Any,
}

/// The authority of the public cloud.
const PUBLIC_CLOUD: &str = "https://login.microsoftonline.com";

impl Entra {
    /// The users of one tenant, named by its GUID.
    #[must_use]
    pub fn tenant(tenant: impl Into<String>) -> Self {
        Self::new(Tenants::One(tenant.into()))
    }

    /// The users of these tenants, named by their GUIDs.
    #[must_use]
    pub fn tenants<T: Into<String>>(tenants: impl IntoIterator<Item = T>) -> Self {
        Self::new(Tenants::Listed(
            tenants.into_iter().map(Into::into).collect(),
        ))
    }

    /// The users of every tenant that there is. Whoever registers a tenant is let in as far as
    /// scopes and roles let them: be sure that this is meant.
    #[must_use]
    pub fn any_tenant() -> Self {
        Self::new(Tenants::Any)
    }

    /// Another authority than the public cloud's: scheme and host, as `AZURE_AUTHORITY_HOST` has
    /// it. `https://login.microsoftonline.us` and `https://login.partner.microsoftonline.cn` are
    /// those of the sovereign clouds, `https://NAME.ciamlogin.com` is one of External ID, for its
    /// own tenant. Other names that Microsoft has for them (`login.windows.net`,
    /// `login.chinacloudapi.cn`) are refused when the core is built, with the name that does: their
    /// documents name another issuer.
    #[must_use]
    pub fn authority(mut self, authority: impl Into<String>) -> Self {
        self.authority = authority.into();
        self
    }

    /// Lets the authority be plain `http` on a loopback address: for development and tests.
    #[must_use]
    pub fn allow_http_loopback(mut self, allow: bool) -> Self {
        self.allow_http_loopback = allow;
        self
    }

    /// Trusts the certificate authorities in this file (PEM) besides those of the system, for what is
    /// asked of this authority: where a proxy looks into TLS, or for an emulator. Read when the core is
    /// built.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Takes the signing keys of this application, named by its client id, in place of the tenant's: where
    /// Entra ID signs the application's tokens with a key of its own, as it does once claims are mapped for
    /// it. They are only in the documents that are asked for with `?appid=`; without this every such token is
    /// refused for a key that is unknown.
    ///
    /// Such a key belongs to the application in one tenant, whose administrators may have it: it must not
    /// vouch for users of another, so that this goes with [`tenant`](Self::tenant) alone.
    ///
    /// ```
    /// use tower_obo::Entra;
    ///
    /// let api = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
    /// let entra = Entra::tenant("72f988bf-86f1-41af-91ab-2d7cd011db47").own_signing_keys_of(api);
    /// # let _ = entra;
    /// ```
    ///
    /// <https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-signature>
    #[must_use]
    pub fn own_signing_keys_of(mut self, client_id: impl Into<String>) -> Self {
        self.keys_of = Some(client_id.into());
        self
    }

    /// The issuer of the v2.0 tokens of that tenant, by which clients find whom to ask for one.
    ///
    /// ```
    /// use tower_obo::Entra;
    ///
    /// let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    /// let external = Entra::tenant(tenant).authority("https://contoso.ciamlogin.com");
    /// assert_eq!(
    ///     external.issuer(tenant),
    ///     "https://72f988bf-86f1-41af-91ab-2d7cd011db47.ciamlogin.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
    /// );
    /// ```
    #[must_use]
    pub fn issuer(&self, tenant: &str) -> String {
        cloud::issuer(&self.authority, tenant)
    }

    fn new(tenants: Tenants) -> Self {
        Self {
            authority: PUBLIC_CLOUD.to_owned(),
            tenants,
            allow_http_loopback: false,
            ca_file: None,
            keys_of: None,
        }
    }

    /// The tenant part of the addresses of discovery documents, and of the one to sign in at.
    /// `organizations` knows no personal accounts.
    pub(crate) fn discovery_tenant(&self) -> &str {
        match &self.tenants {
            Tenants::One(tenant) => tenant,
            Tenants::Listed(tenants) if tenants.iter().any(|tenant| tenant == PERSONAL) => "common",
            Tenants::Listed(_) => "organizations",
            Tenants::Any => "common",
        }
    }

    /// The tenants that are named.
    pub(crate) fn named_tenants(&self) -> &[String] {
        match &self.tenants {
            Tenants::One(tenant) => std::slice::from_ref(tenant),
            Tenants::Listed(tenants) => tenants,
            Tenants::Any => &[],
        }
    }

    pub(crate) fn make_lower_case(&mut self) {
        self.authority.make_ascii_lowercase();
        if let Some(client_id) = &mut self.keys_of {
            client_id.make_ascii_lowercase();
        }
        match &mut self.tenants {
            Tenants::One(tenant) => tenant.make_ascii_lowercase(),
            Tenants::Listed(tenants) => tenants.iter_mut().for_each(|t| t.make_ascii_lowercase()),
            Tenants::Any => {}
        }
    }

    /// Whether the authority is one on this machine, for development: only such may be `http`.
    pub(crate) fn is_local(&self) -> bool {
        self.authority.starts_with("http://")
    }

    /// What is wrong with it, if anything.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for tenant in self.named_tenants() {
            if !is_guid(tenant) {
                problems.push((
                    "tenant",
                    format!(
                        "{tenant:?} is no tenant id: give the tenant's GUID (`common` and \
                         `organizations` would let in users of every tenant)"
                    ),
                ));
            }
        }
        if let Some(client_id) = self.keys_of.as_ref().filter(|id| !is_guid(id)) {
            problems.push((
                "own_signing_keys_of",
                format!("{client_id:?} is no client id: give the application's GUID"),
            ));
        }
        if self.keys_of.is_some() && !matches!(self.tenants, Tenants::One(_)) {
            problems.push((
                "own_signing_keys_of",
                "an application's own keys are of one tenant: let in the users of that one alone"
                    .to_owned(),
            ));
        }
        if matches!(&self.tenants, Tenants::Listed(tenants) if tenants.is_empty()) {
            problems.push(("tenant", "the list of tenants is empty".to_owned()));
        }
        if let Err(problem) = self.check_authority() {
            problems.push(("authority", problem));
        }
        if cloud::is_external(&self.authority) && !matches!(self.tenants, Tenants::One(_)) {
            let problem = "an authority of External ID has one tenant: name that";
            problems.push(("tenant", problem.to_owned()));
        }
        problems
    }

    fn check_authority(&self) -> Result<(), String> {
        let authority = &self.authority;
        let uri: Uri = authority
            .parse()
            .map_err(|_| format!("{authority:?} is no URL"))?;
        let host = uri.host().unwrap_or_default();
        if uri.authority().is_none_or(|a| a.as_str().contains('@'))
            || !matches!(uri.path(), "" | "/")
            || uri.query().is_some()
        {
            return Err(format!(
                "{authority:?} must be scheme and host only, like {PUBLIC_CLOUD}"
            ));
        }
        if let Some(real) = cloud::real_name(host) {
            return Err(format!(
                "{authority:?} is another name of {real}, whose issuer its documents name: give that"
            ));
        }
        match uri.scheme_str() {
            Some("http") if !is_loopback(host) => Err(format!(
                "{authority:?} is plain http: tokens and secrets would travel in clear"
            )),
            Some("http") if !self.allow_http_loopback => Err(format!(
                "{authority:?} is plain http: allow it for development with allow_http_loopback"
            )),
            Some("http" | "https") => Ok(()),
            _ => Err(format!("{authority:?} is not https")),
        }
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The tenant of personal Microsoft accounts.
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    #[test]
    fn only_https_and_loopback_on_request_are_authorities() {
        for (authority, loopback, good) in [
            ("https://login.microsoftonline.us/", false, true),
            ("http://127.0.0.1:9400", true, true),
            ("http://[::1]:9400", true, true),
            ("http://localhost:9400", true, true),
            ("http://127.0.0.1:9400", false, false),
            ("http://login.example", true, false),
            ("https://login.example/tenant", false, false),
            ("https://user@login.example", false, false),
            ("login.example", false, false),
            ("", false, false),
        ] {
            let entra = Entra::tenant(TENANT)
                .authority(authority)
                .allow_http_loopback(loopback);
            assert_eq!(entra.problems().is_empty(), good, "{authority}");
        }
    }

    #[test]
    fn another_name_of_an_authority_is_refused_with_the_one_that_does() {
        for (alias, real) in [
            (
                "https://login.windows.net",
                "https://login.microsoftonline.com",
            ),
            (
                "https://Login.Windows.net/",
                "https://login.microsoftonline.com",
            ),
            (
                "https://login.microsoft.com",
                "https://login.microsoftonline.com",
            ),
            (
                "https://sts.windows.net",
                "https://login.microsoftonline.com",
            ),
            (
                "https://login.usgovcloudapi.net",
                "https://login.microsoftonline.us",
            ),
            (
                "https://login.chinacloudapi.cn",
                "https://login.partner.microsoftonline.cn",
            ),
            (
                "https://sts.chinacloudapi.cn:443",
                "https://login.partner.microsoftonline.cn",
            ),
        ] {
            let mut entra = Entra::tenant(TENANT).authority(alias);
            entra.make_lower_case();
            let [("authority", problem)] = &entra.problems()[..] else {
                panic!("{alias}");
            };
            assert!(problem.contains(&format!(" {real},")), "{problem}");
            assert!(Entra::tenant(TENANT).authority(real).problems().is_empty());
        }
    }

    #[test]
    fn an_authority_of_external_id_has_one_tenant() {
        let at = |entra: Entra| entra.authority("https://contoso.ciamlogin.com");
        assert!(at(Entra::tenant(TENANT)).problems().is_empty());
        for entra in [Entra::tenants([TENANT]), Entra::any_tenant()] {
            let problems = at(entra).problems();
            assert_eq!(problems[0].0, "tenant", "{problems:?}");
        }
    }

    #[test]
    fn tenants_are_guids() {
        for tenant in ["common", "organizations", "contoso.com", ""] {
            assert!(!Entra::tenant(tenant).problems().is_empty(), "{tenant}");
        }
        assert!(!Entra::tenants::<String>([]).problems().is_empty());
    }
}
