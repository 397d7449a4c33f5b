//! What the API says of itself to clients that look for it: the metadata document of a protected
//! resource (RFC 9728), where clients that have been refused learn whom to ask for a token.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        CACHE_CONTROL, CONTENT_TYPE,
    },
};
use serde::Serialize;
use tower_obo::Entra;

use crate::{
    config::{Config, Resource, Tenants},
    message::{answer::Answer, body::ResponseBody},
};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

const ANY: HeaderValue = HeaderValue::from_static("*");

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Where the document is, for challenges: the well-known path stands before that of the API
/// (RFC 9728 §3.1).
pub(crate) fn url(resource: &Resource) -> String {
    let url = &resource.url;
    format!("{}{WELL_KNOWN}{}", url.origin(), url.path())
}

/// The document, and where it is.
#[derive(Debug)]
pub(crate) struct Metadata {
    /// That of the API's own path.
    path: Box<str>,
    document: Bytes,
}

#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<&'a str>,
    authorization_servers: Vec<String>,
    scopes_supported: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
}

impl Metadata {
    /// `None` where the configuration does not say where the API is.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let resource = config.resource.as_ref()?;
        let document = Document {
            resource: resource.url.as_str(),
            resource_name: resource.name.as_deref(),
            resource_documentation: resource.documentation.as_deref(),
            authorization_servers: authorization_servers(config),
            scopes_supported: scopes(config, resource),
            bearer_methods_supported: ["header"],
        };
        Some(Self {
            path: format!("{WELL_KNOWN}{}", resource.url.path()).into(),
            // Strings always serialise.
            document: serde_json::to_vec(&document).ok()?.into(),
        })
    }

    /// Whether the document is at this path: that of the API's own path, or the one without any,
    /// which clients try that know no more than the host.
    pub(crate) fn is_at(&self, path: &[u8]) -> bool {
        path == self.path.as_bytes() || path == WELL_KNOWN.as_bytes()
    }

    /// The answer to a request for it; needs no token. Pages of every origin may read it, as they may a
    /// refusal: it is public.
    pub(crate) fn answer(&self, method: &Method) -> Result<Response<ResponseBody>, Answer> {
        let mut response = Response::new(ResponseBody::whole(Bytes::new()));
        let headers = response.headers_mut();
        let_pages_read(headers);
        if *method == Method::GET || *method == Method::HEAD {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
            *response.body_mut() = ResponseBody::whole(self.document.clone());
        } else if *method == Method::OPTIONS {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ANY);
            *response.status_mut() = StatusCode::NO_CONTENT;
        } else {
            return Err(Answer::method_not_allowed(METHODS));
        }
        Ok(response)
    }
}

/// Lets pages of every origin read an answer.
pub(crate) fn let_pages_read(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
}

/// The issuers of tokens, by which clients find their endpoints (RFC 8414).
fn authorization_servers(config: &Config) -> Vec<String> {
    if let Some(other) = &config.entra.other {
        return vec![other.issuer.clone()];
    }
    let mut entra = Entra::tenant(config.entra.tenant.as_str());
    if let Some(authority) = &config.entra.authority {
        entra = entra.authority(authority.as_str());
    }
    let issuer = |tenant: &str| entra.issuer(tenant);
    match &config.accept.tenants {
        Tenants::Own => vec![issuer(&config.entra.tenant)],
        Tenants::Listed(tenants) => tenants.iter().map(|tenant| issuer(tenant)).collect(),
        // Where users of every tenant sign in.
        Tenants::Any => vec![issuer("organizations")],
    }
}

/// The scopes of all routes, as clients ask Entra ID for them: behind the application's identifier.
///
/// That is the public address, where tokens for it are accepted: Entra ID refuses a request whose
/// `resource` is not what its scopes belong to (AADSTS9010010). Else it is the first audience that
/// is a URI, or `api://<client id>`.
fn scopes(config: &Config, resource: &Resource) -> Vec<String> {
    let audiences = &config.accept.audiences;
    let identifier = audiences
        .iter()
        .find(|audience| *audience == resource.url.as_str())
        .or_else(|| audiences.iter().find(|audience| audience.contains("://")))
        .cloned()
        .unwrap_or_else(|| format!("api://{}", config.entra.client_id));
    let mut scopes = Vec::new();
    for scope in config
        .routes
        .iter()
        .filter(|route| route.access.has_users())
        .flat_map(|route| &route.scopes)
    {
        // Of other providers a scope is its name.
        let scope = match config.entra.other {
            Some(_) => scope.clone(),
            None => format!("{identifier}/{scope}"),
        };
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}
