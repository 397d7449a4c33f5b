//! Settings: what is given, and what follows from it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use secrecy::SecretString;
use url::{Host, Url};

use crate::shared::Shared;

/// Microsoft Entra ID of the public cloud.
pub const DEFAULT_AUTHORITY: &str = "https://login.microsoftonline.com";

/// Path of the redirect URI, as app registrations of the sample have it.
pub(crate) const CALLBACK: &str = "/account/callback";

/// What the web app needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Port 0 takes a free one. Default `127.0.0.1:8000`.
    pub listen: SocketAddr,
    /// Where browsers find the app: scheme, host and port. `{public_url}/account/callback` is the
    /// redirect URI. Default `http://localhost:{port that is listened on}`. https, except on loopback.
    pub public_url: Option<Url>,
    /// Entra ID, without the tenant. Default [`DEFAULT_AUTHORITY`]. https, except on loopback.
    pub authority: Option<Url>,
    /// Tenant id, a domain of the tenant, or `organizations`.
    pub tenant: String,
    /// Client id of the web app's registration.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// The list of subscriptions at the API, `http://127.0.0.1:8080/subscriptions`; without a path,
    /// `/subscriptions` is added.
    pub api_url: Url,
    /// What to ask for at sign-in, next to `openid profile offline_access`:
    /// `api://{client id of the API}/.default`, so that one consent covers the API and what it calls.
    pub api_scope: String,
    /// Where Entra ID sends the browser after a sign-out. Must be registered. Default `{public_url}/`.
    pub post_logout_redirect: Option<Url>,
    /// Time for opening a connection to Entra ID or the API. Default 5 s.
    pub connect_timeout: Duration,
    /// Time for one call of Entra ID or the API, its body included. Default 30 s.
    pub timeout: Duration,
    /// How long a sign-in that was begun can be finished. Default 10 minutes.
    pub login_lifetime: Duration,
    /// Redis, where sessions, sign-ins and accounts are kept in place of this process's memory, so that
    /// the app runs on several machines with the same settings: `redis://`, `rediss://` (TLS) or
    /// `redis+unix://`. What is kept is sealed under a key that follows from `client_secret`, so that a new
    /// secret signs everybody out. The address may hold a password. Default: none.
    pub redis_url: Option<SecretString>,
    /// Certificates, as PEM, that a Redis with TLS is believed by, in place of those of the system. Default:
    /// none.
    pub redis_ca: Option<Vec<u8>>,
}

impl Config {
    /// The defaults, with what has none.
    #[must_use]
    pub fn new(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: SecretString,
        api_url: Url,
        api_scope: impl Into<String>,
    ) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            public_url: None,
            authority: None,
            tenant: tenant.into(),
            client_id: client_id.into(),
            client_secret,
            api_url,
            api_scope: api_scope.into(),
            post_logout_redirect: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            login_lifetime: Duration::from_secs(600),
            redis_url: None,
            redis_ca: None,
        }
    }

    /// Looks the settings over, as [`start`](crate::start) does too.
    ///
    /// # Errors
    ///
    /// Names the first that makes no sense.
    pub fn check(&self) -> anyhow::Result<()> {
        let settings = self.clone().resolve(self.listen)?;
        if let Some(url) = &settings.redis_url {
            Shared::new(url, &settings)?;
        } else {
            ensure!(
                settings.redis_ca.is_none(),
                "redis_ca is for a Redis, and there is no redis_url"
            );
        }
        Ok(())
    }

    pub(crate) fn resolve(self, local_addr: SocketAddr) -> anyhow::Result<Settings> {
        let public_url = match self.public_url {
            Some(url) => url,
            None => Url::parse(&format!("http://localhost:{}", local_addr.port()))?,
        };
        secure("public_url", &public_url)?;
        ensure!(
            public_url.path() == "/" && public_url.query().is_none(),
            "public_url has a path; the app lives at the root of its host"
        );
        let authority = match self.authority {
            Some(url) => url,
            None => Url::parse(DEFAULT_AUTHORITY)?,
        };
        secure("authority", &authority)?;
        ensure!(
            authority.path() == "/" && authority.query().is_none(),
            "authority has a path; give the tenant on its own"
        );
        let tenant = self.tenant;
        ensure!(
            !tenant.is_empty()
                && tenant
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')),
            "tenant must be a tenant id, a domain, or `organizations`"
        );
        ensure!(!self.client_id.is_empty(), "client_id is empty");
        let scopes: Vec<String> = self
            .api_scope
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        ensure!(!scopes.is_empty(), "api_scope is empty");

        let mut api_url = self.api_url;
        ensure!(
            matches!(api_url.scheme(), "http" | "https") && api_url.has_host(),
            "api_url must be an http or https URL"
        );
        if api_url.path() == "/" {
            api_url.set_path("/subscriptions");
        }

        let mut discovery = authority.clone();
        discovery.set_path(&format!("{tenant}/v2.0/.well-known/openid-configuration"));
        let mut end_session = authority.clone();
        end_session.set_path(&format!("{tenant}/oauth2/v2.0/logout"));
        Ok(Settings {
            public_origin: public_url.origin().ascii_serialization(),
            redirect_uri: public_url.join(CALLBACK).context("public_url")?,
            post_logout_redirect: match self.post_logout_redirect {
                Some(url) => url,
                None => public_url.join("/")?,
            },
            public_url,
            authority,
            discovery,
            end_session,
            client_id: self.client_id,
            client_secret: self.client_secret,
            api_url,
            scopes,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            login_lifetime: self.login_lifetime,
            redis_url: self.redis_url,
            redis_ca: self.redis_ca,
        })
    }
}

/// Checked settings, with everything that follows from them.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) public_url: Url,
    /// `scheme://host:port` of `public_url`, as browsers send it in `Origin`.
    pub(crate) public_origin: String,
    pub(crate) redirect_uri: Url,
    pub(crate) post_logout_redirect: Url,
    pub(crate) authority: Url,
    pub(crate) discovery: Url,
    /// Where Entra ID ends sessions, as far as that is known without its discovery document.
    pub(crate) end_session: Url,
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
    pub(crate) api_url: Url,
    pub(crate) scopes: Vec<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) login_lifetime: Duration,
    pub(crate) redis_url: Option<SecretString>,
    pub(crate) redis_ca: Option<Vec<u8>>,
}

impl Settings {
    pub(crate) fn https(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    /// Whether the identity provider is on this machine: an emulator, and not Microsoft's.
    pub(crate) fn is_emulated(&self) -> bool {
        is_loopback(&self.authority)
    }
}

/// Whether codes, secrets and cookies may travel to this address: https, or plain http that does not
/// leave the machine.
pub(crate) fn is_secure(url: &Url) -> bool {
    url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        // Of other schemes than http an IPv4 address is no more than a name.
        Some(Host::Domain(name)) => {
            name.eq_ignore_ascii_case("localhost")
                || name
                    .parse::<Ipv4Addr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

fn secure(name: &str, url: &Url) -> anyhow::Result<()> {
    ensure!(
        is_secure(url),
        "{name} must be https; http is for loopback only"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(
            "organizations",
            "client",
            "secret".to_owned().into(),
            Url::parse("http://127.0.0.1:8080").unwrap(),
            "api://x/.default",
        )
    }

    fn resolve(config: Config) -> anyhow::Result<Settings> {
        config.resolve("127.0.0.1:4711".parse().unwrap())
    }

    #[test]
    fn what_is_not_given_follows_from_the_port() {
        let settings = resolve(config()).unwrap();
        assert_eq!(settings.public_origin, "http://localhost:4711");
        assert_eq!(
            settings.redirect_uri.as_str(),
            "http://localhost:4711/account/callback"
        );
        assert_eq!(
            settings.post_logout_redirect.as_str(),
            "http://localhost:4711/"
        );
        assert_eq!(
            settings.discovery.as_str(),
            "https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration"
        );
        assert_eq!(
            settings.end_session.as_str(),
            "https://login.microsoftonline.com/organizations/oauth2/v2.0/logout"
        );
        assert_eq!(
            settings.api_url.as_str(),
            "http://127.0.0.1:8080/subscriptions"
        );
    }

    #[test]
    fn an_identity_provider_on_this_machine_is_an_emulated_one() {
        for (authority, emulated) in [
            ("http://127.0.0.1:9400", true),
            ("https://localhost:9400", true),
            ("https://login.microsoftonline.com", false),
            ("https://login.microsoftonline.us", false),
        ] {
            let mut config = config();
            config.authority = Some(Url::parse(authority).unwrap());
            let settings = resolve(config).unwrap();
            assert_eq!(settings.is_emulated(), emulated, "{authority}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in ["http://app.example", "http://10.0.0.1", "ftp://localhost"] {
            let url = Url::parse(url).unwrap();
            let mut one = config();
            one.public_url = Some(url.clone());
            assert!(resolve(one).is_err(), "{url}");
            let mut other = config();
            other.authority = Some(url.clone());
            assert!(resolve(other).is_err(), "{url}");
        }
    }

    #[test]
    fn a_tenant_cannot_lead_out_of_its_place_in_the_path() {
        for tenant in ["", "a/b", "..%2f", "x?y", "a b"] {
            let mut config = config();
            config.tenant = tenant.to_owned();
            assert!(resolve(config).is_err(), "{tenant}");
        }
    }

    #[test]
    fn the_secret_is_not_in_the_debug_output() {
        let config = config();
        assert!(!format!("{config:?}").contains("\"secret\""));
        assert!(!format!("{:?}", resolve(config).unwrap()).contains("\"secret\""));
    }
}
