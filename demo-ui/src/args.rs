//! Settings from flags and the environment.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::{Parser, Subcommand};
use demo_ui::{Config, SecretString};
use url::Url;

/// Web app in front of obo-gateway: signs a user in at Microsoft Entra ID and shows their Azure
/// subscriptions.
///
/// The client secret comes from a file or the environment (DEMO_UI_CLIENT_SECRET), never from a flag.
/// Logs go to stderr (RUST_LOG sets the level); they never hold a token, code or cookie.
#[derive(Debug, Default, Parser)]
#[command(version, after_help = OLD_NAMES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8000]
    #[arg(long, env = "DEMO_UI_LISTEN", global = true)]
    listen: Option<SocketAddr>,

    /// Where browsers find this app; {public-url}/account/callback is the redirect URI
    /// [default: http://localhost:{port}]
    #[arg(long, env = "DEMO_UI_PUBLIC_URL", value_parser = address)]
    public_url: Option<Url>,

    /// Entra ID [default: https://login.microsoftonline.com]
    #[arg(long, env = "AZURE_AUTHORITY_HOST", value_parser = address)]
    authority: Option<Url>,

    /// Tenant id, a domain of the tenant, or "organizations"
    #[arg(long, env = "AZURE_TENANT_ID")]
    tenant: Option<String>,

    /// Client id of this app's registration (not the API's)
    #[arg(long, env = "DEMO_UI_CLIENT_ID")]
    client_id: Option<String>,

    /// File with the client secret
    #[arg(long, env = "DEMO_UI_CLIENT_SECRET_FILE")]
    client_secret_file: Option<PathBuf>,

    /// The list of subscriptions at the API [default: http://127.0.0.1:8080/subscriptions]
    #[arg(long, env = "DEMO_UI_API_URL", value_parser = address)]
    api_url: Option<Url>,

    /// Scope to ask for: api://{client id of the API}/.default
    #[arg(long, env = "DEMO_UI_API_SCOPE")]
    api_scope: Option<String>,

    /// Client id of the API, from which the scope follows
    #[arg(long, env = "DEMO_UI_API_CLIENT_ID", conflicts_with = "api_scope")]
    api_client_id: Option<String>,

    /// Where Entra ID sends the browser after a sign-out; must be registered [default: {public-url}/]
    #[arg(long, env = "DEMO_UI_POST_LOGOUT_REDIRECT", value_parser = address)]
    post_logout_redirect: Option<Url>,

    /// File with the address of a Redis, where sessions are kept in place of this process's memory, so
    /// that the app runs on several machines; the address itself may be in DEMO_UI_REDIS_URL. Give that Redis a
    /// maxmemory with maxmemory-policy volatile-ttl: what ends first makes room first. What is kept there is sealed
    /// under the client secret: a new one signs everybody out
    #[arg(long, env = "DEMO_UI_REDIS_URL_FILE")]
    redis_url_file: Option<PathBuf>,

    /// PEM file with the certificates that a Redis with TLS is believed by [default: those of the system]
    #[arg(long, env = "DEMO_UI_REDIS_CA_FILE")]
    redis_ca_file: Option<PathBuf>,

    /// Seconds that a call of Entra ID or the API may take [default: 30]
    #[arg(long, env = "DEMO_UI_TIMEOUT")]
    timeout: Option<u64>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Command {
    /// Ask the one that runs at --listen how it is: ends with 0 or 1
    Health,
}

const OLD_NAMES: &str = "\
Environment variables of the Python sample are understood where ours are not set:
  CLIENT_ID                 DEMO_UI_CLIENT_ID
  CLIENT_SECRET             DEMO_UI_CLIENT_SECRET
  AUTHORITY                 AZURE_AUTHORITY_HOST and AZURE_TENANT_ID
  FLASK_BACKEND_URL         DEMO_UI_API_URL
  API_SCOPE                 DEMO_UI_API_SCOPE
  REDIRECT_URI              DEMO_UI_PUBLIC_URL (without /account/callback)
  POST_LOGOUT_REDIRECT_URI  DEMO_UI_POST_LOGOUT_REDIRECT";

const CALLBACK: &str = "/account/callback";
const DEFAULT_API: &str = "http://127.0.0.1:8080/subscriptions";

impl Args {
    /// Where the one listens whose health is asked for, if that is what is wanted.
    pub(crate) fn asks_for_health(&self) -> Option<SocketAddr> {
        let Command::Health = self.command?;
        Some(
            self.listen
                .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8000))),
        )
    }

    /// The settings; `env` looks up what has no flag.
    ///
    /// # Errors
    ///
    /// Names everything that is missing, or the first thing that makes no sense.
    pub(crate) fn config(self, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<Config> {
        let env = |name| env(name).filter(|value| !value.is_empty());
        let url = |name: &'static str| {
            env(name)
                .map(|value| address(&value).map_err(|error| anyhow!("{name}: {error}")))
                .transpose()
        };
        let (authority, tenant) = split(match self.authority {
            Some(authority) => Some(authority),
            None => url("AUTHORITY")?,
        });
        let tenant = self.tenant.or(tenant);
        let client_id = self.client_id.or_else(|| env("CLIENT_ID"));
        let secret = match &self.client_secret_file {
            Some(file) => Some(line_of(file)?),
            None => env("DEMO_UI_CLIENT_SECRET").or_else(|| env("CLIENT_SECRET")),
        };
        let scope = self
            .api_scope
            .or_else(|| self.api_client_id.map(|id| format!("api://{id}/.default")))
            .or_else(|| env("API_SCOPE"))
            .or_else(|| env("SCOPE"));

        let missing: Vec<_> = [
            ("the tenant (--tenant, AZURE_TENANT_ID)", tenant.is_none()),
            (
                "the client id (--client-id, DEMO_UI_CLIENT_ID)",
                client_id.is_none(),
            ),
            (
                "the client secret (DEMO_UI_CLIENT_SECRET, --client-secret-file)",
                secret.is_none(),
            ),
            (
                "the scope of the API (--api-scope or --api-client-id, DEMO_UI_API_…)",
                scope.is_none(),
            ),
        ]
        .into_iter()
        .filter_map(|(what, missing)| missing.then_some(what))
        .collect();
        let (Some(tenant), Some(client_id), Some(secret), Some(scope)) =
            (tenant, client_id, secret, scope)
        else {
            bail!("missing: {}", missing.join("; "));
        };
        let api_url = match self.api_url {
            Some(api_url) => api_url,
            None => match url("FLASK_BACKEND_URL")? {
                Some(api_url) => api_url,
                None => Url::parse(DEFAULT_API)?,
            },
        };

        let redis_url = match &self.redis_url_file {
            Some(file) => Some(line_of(file)?),
            None => env("DEMO_UI_REDIS_URL"),
        };

        let mut config = Config::new(
            tenant,
            client_id,
            SecretString::from(secret),
            api_url,
            scope,
        );
        config.authority = authority;
        config.public_url = match self.public_url {
            Some(public_url) => Some(public_url),
            None => url("REDIRECT_URI")?.map(origin_of_redirect).transpose()?,
        };
        config.post_logout_redirect = match self.post_logout_redirect {
            Some(redirect) => Some(redirect),
            None => url("POST_LOGOUT_REDIRECT_URI")?,
        };
        config.redis_url = redis_url.map(SecretString::from);
        if let Some(file) = &self.redis_ca_file {
            let pem = std::fs::read(file);
            config.redis_ca = Some(pem.with_context(|| format!("cannot read {}", file.display()))?);
        }
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(timeout) = self.timeout {
            config.timeout = Duration::from_secs(timeout);
        }
        Ok(config)
    }
}

/// What a file holds, without the end of its line.
fn line_of(file: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// An http or https address.
fn address(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| "it is no address such as http://127.0.0.1:8080".to_owned())
}

/// `https://login.microsoftonline.com/{tenant}` is one setting in the sample and two here.
fn split(authority: Option<Url>) -> (Option<Url>, Option<String>) {
    let Some(mut authority) = authority else {
        return (None, None);
    };
    let tenant = authority.path().trim_matches('/').to_owned();
    authority.set_path("/");
    (Some(authority), (!tenant.is_empty()).then_some(tenant))
}

fn origin_of_redirect(redirect: Url) -> anyhow::Result<Url> {
    if redirect.path() != CALLBACK {
        return Err(anyhow!("REDIRECT_URI must end in {CALLBACK}"));
    }
    Ok(redirect.join("/")?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn config(args: Args, env: &[(&str, &str)]) -> anyhow::Result<Config> {
        args.config(|name| {
            let found = env.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const SAMPLE: [(&str, &str); 8] = [
        ("CLIENT_ID", "ui"),
        ("CLIENT_SECRET", "s3cret"),
        (
            "AUTHORITY",
            "https://login.microsoftonline.com/contoso.example",
        ),
        ("FLASK_BACKEND_URL", "http://127.0.0.1:5000/subscriptions"),
        ("API_SCOPE", "api://api/.default"),
        ("REDIRECT_URI", "http://localhost:8000/account/callback"),
        ("POST_LOGOUT_REDIRECT_URI", "http://localhost:8000"),
        ("LOGIN_URL", "ignored"),
    ];

    #[test]
    fn the_samples_environment_is_enough() {
        let config = config(Args::default(), &SAMPLE).unwrap();
        assert_eq!(config.tenant, "contoso.example");
        assert_eq!(
            config.authority.unwrap().as_str(),
            "https://login.microsoftonline.com/"
        );
        assert_eq!(
            config.public_url.unwrap().as_str(),
            "http://localhost:8000/"
        );
        assert_eq!(
            config.api_url.as_str(),
            "http://127.0.0.1:5000/subscriptions"
        );
        assert_eq!(config.api_scope, "api://api/.default");
    }

    #[test]
    fn our_own_names_go_before_the_samples() {
        let args = Args {
            tenant: Some("fabrikam.example".to_owned()),
            client_id: Some("mine".to_owned()),
            api_client_id: Some("other".to_owned()),
            ..Args::default()
        };
        let config = config(args, &SAMPLE).unwrap();
        assert_eq!(config.tenant, "fabrikam.example");
        assert_eq!(config.client_id, "mine");
        assert_eq!(config.api_scope, "api://other/.default");
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let error = config(Args::default(), &[("CLIENT_ID", "")]).unwrap_err();
        let error = error.to_string();
        for name in [
            "AZURE_TENANT_ID",
            "DEMO_UI_CLIENT_ID",
            "DEMO_UI_CLIENT_SECRET",
            "--api-scope",
        ] {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for (flag, value) in [
            ("--api-url", "foo"),
            ("--authority", "ftp://x"),
            ("--api-url", "localhost:1"),
        ] {
            let error = Args::try_parse_from(["demo-ui", flag, value]).unwrap_err();
            assert!(
                error.to_string().contains("no address such as http://"),
                "{error}"
            );
        }
        let error = config(Args::default(), &[("AUTHORITY", "foo")]).unwrap_err();
        assert!(error.to_string().contains("AUTHORITY"), "{error}");
    }

    #[test]
    fn the_secret_is_no_flag() {
        Args::command().debug_assert();
        let secret = |arg: &clap::Arg| arg.get_id().as_str() == "client_secret";
        assert!(!Args::command().get_arguments().any(secret));
    }
}
