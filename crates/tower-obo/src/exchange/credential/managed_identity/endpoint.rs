//! Where the platform gives out tokens of managed identities.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::super::grant::Form;
use crate::Secret;

/// A managed identity of Azure that is registered with the application as a federated credential.
///
/// Which endpoint gives out its tokens is told by the variables that Azure's own libraries read:
/// that of App Service, Functions and Container Apps (`IDENTITY_ENDPOINT`, `IDENTITY_HEADER`), or
/// that of virtual machines and Kubernetes nodes, also at `AZURE_POD_IDENTITY_AUTHORITY_HOST`. No
/// proxy is ever asked for it.
///
/// See [`Credential::managed_identity`](crate::Credential::managed_identity).
#[derive(Clone, Debug)]
pub struct ManagedIdentity {
    endpoint: Endpoint,
    client_id: Option<String>,
    /// Between attempts; doubled for each.
    pub(super) pause: Duration,
    /// How long a first token may take with all attempts, which is less than an exchange may: what takes longer
    /// is a failure, and others need not repeat it.
    pub(super) limit: Duration,
}

#[derive(Clone, Debug)]
enum Endpoint {
    /// The Instance Metadata Service, at this base.
    Imds(String),
    AppService {
        url: String,
        header: Secret,
    },
    /// One that cannot be asked for the tokens that are wanted.
    Unsupported(&'static str),
    /// `IDENTITY_ENDPOINT` without the header that it wants.
    Headerless,
}

const IMDS: &str = "http://169.254.169.254";

impl ManagedIdentity {
    /// The identity that the environment's variables tell of; on a virtual machine there are none.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// The same with variables from wherever `lookup` finds them.
    #[must_use]
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name| lookup(name).filter(|value| !value.is_empty());
        let endpoint = match (get("IDENTITY_ENDPOINT"), get("IDENTITY_HEADER")) {
            (Some(_), Some(_)) if get("IDENTITY_SERVER_THUMBPRINT").is_some() => {
                Endpoint::Unsupported("Service Fabric")
            }
            (Some(url), Some(header)) => Endpoint::AppService {
                url,
                header: header.into(),
            },
            (Some(_), None) if get("IMDS_ENDPOINT").is_some() => Endpoint::Unsupported("Azure Arc"),
            (Some(_), None) => Endpoint::Headerless,
            _ if get("MSI_ENDPOINT").is_some() => Endpoint::Unsupported("MSI_ENDPOINT"),
            _ => {
                let host = get("AZURE_POD_IDENTITY_AUTHORITY_HOST");
                Endpoint::Imds(host.unwrap_or_else(|| IMDS.to_owned()))
            }
        };
        Self {
            endpoint,
            client_id: None,
            pause: Duration::from_millis(800),
            limit: Duration::from_secs(20),
        }
    }

    /// Names the identity by its client id, which is not the application's. Needed where there is
    /// more than one; a federated credential wants one that is assigned by the user.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// What keeps it from ever working.
    pub(in super::super) fn problem(&self) -> Option<String> {
        match &self.endpoint {
            Endpoint::Unsupported(what) => Some(format!(
                "the managed identities of {what} cannot stand for an application"
            )),
            Endpoint::Headerless => Some(
                "IDENTITY_ENDPOINT is set without IDENTITY_HEADER, which App Service sets beside it: \
                 pass both on, or none for the identity of a virtual machine"
                    .to_owned(),
            ),
            Endpoint::Imds(url) | Endpoint::AppService { url, .. } => {
                let uri = url.parse::<http::Uri>().ok();
                let is_url = uri.is_some_and(|uri| uri.scheme().is_some() && uri.host().is_some());
                (!is_url).then(|| format!("{url:?}, where the managed identity is, is no URL"))
            }
        }
    }

    /// The request for a token of `resource`.
    pub(super) fn request(&self, resource: &str) -> (String, HeaderMap) {
        let mut query = Form::default();
        let mut headers = HeaderMap::new();
        let base = match &self.endpoint {
            Endpoint::Imds(base) => {
                query.push("api-version", "2018-02-01");
                let name = HeaderName::from_static("metadata");
                headers.insert(name, HeaderValue::from_static("true"));
                let base = base.trim_end_matches('/');
                format!("{base}/metadata/identity/oauth2/token")
            }
            Endpoint::AppService { url, header } => {
                query.push("api-version", "2019-08-01");
                let name = HeaderName::from_static("x-identity-header");
                if let Ok(mut value) = HeaderValue::from_str(header.expose()) {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                url.clone()
            }
            Endpoint::Unsupported(_) | Endpoint::Headerless => String::new(),
        };
        query.push("resource", resource);
        if let Some(client_id) = &self.client_id {
            query.push("client_id", client_id);
        }
        (format!("{base}?{}", *query.into_body()), headers)
    }
}

impl fmt::Display for ManagedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("managed identity")?;
        if let Some(client_id) = &self.client_id {
            write!(f, " {client_id}")?;
        }
        match &self.endpoint {
            Endpoint::Imds(base) => write!(f, " of {base}"),
            Endpoint::AppService { .. } | Endpoint::Headerless => {
                f.write_str(" of IDENTITY_ENDPOINT")
            }
            Endpoint::Unsupported(what) => write!(f, " of {what}"),
        }
    }
}
