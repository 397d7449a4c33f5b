//! OpenID Connect discovery and the published keys, v1 and v2.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use url::{Position, Url};

use crate::aadsts;
use crate::directory::TokenVersion;
use crate::encoding::is_guid;
use crate::error::{AadError, RequestIds};
use crate::form::Form;
use crate::state::State;
use crate::tenant::Authority;

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`
pub(crate) async fn v2(
    Shared(state): Shared<Arc<State>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    serve(&state, &tenant, &headers, |authority| {
        document(
            &state,
            &tenant,
            authority,
            TokenVersion::V2,
            appid(query).as_deref(),
        )
    })
}

/// `GET /{tenant}/.well-known/openid-configuration`
pub(crate) async fn v1(
    Shared(state): Shared<Arc<State>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    serve(&state, &tenant, &headers, |authority| {
        document(
            &state,
            &tenant,
            authority,
            TokenVersion::V1,
            appid(query).as_deref(),
        )
    })
}

/// `GET /{tenant}/discovery/v2.0/keys`: each key names its issuer.
pub(crate) async fn keys_v2(
    Shared(state): Shared<Arc<State>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    serve(&state, &tenant, &headers, |authority| {
        state.keys_document(TokenVersion::V2, authority.id(), appid(query).as_deref())
    })
}

/// `GET /{tenant}/discovery/keys`
pub(crate) async fn keys_v1(
    Shared(state): Shared<Arc<State>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    serve(&state, &tenant, &headers, |authority| {
        state.keys_document(TokenVersion::V1, authority.id(), appid(query).as_deref())
    })
}

/// The application whose own keys are asked for. What is no client id is passed over.
fn appid(query: Option<String>) -> Option<String> {
    let query = Form::parse(query.unwrap_or_default().as_bytes());
    query
        .get("appid")
        .filter(|id| is_guid(id))
        .map(str::to_owned)
}

fn serve(
    state: &State,
    tenant: &str,
    headers: &HeaderMap,
    document: impl FnOnce(&Authority) -> Value,
) -> Response {
    match Authority::parse(tenant, &state.directory()) {
        Ok(authority) => {
            let mut response = Json(document(&authority)).into_response();
            let headers = response.headers_mut();
            headers.insert(
                header::CACHE_CONTROL,
                HeaderValue::from_static("max-age=86400, private"),
            );
            // Metadata is public, and single-page apps read it.
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
            response
        }
        Err(error) => {
            let ids = RequestIds::new(state.now(), headers, None);
            error.response(&ids, &state.url)
        }
    }
}

/// `GET /common/discovery/instance`: whether a host is Microsoft's, which clients ask before they
/// trust an authority. Here it is this emulator. Clients leave the port out of what they ask, so
/// only the host is compared.
pub(crate) async fn instance(
    Shared(state): Shared<Arc<State>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Form::parse(query.unwrap_or_default().as_bytes());
    match instance_document(&state, &query) {
        Ok(document) => Json(document).into_response(),
        Err(error) => {
            let ids = RequestIds::new(state.now(), &headers, query.get("client-request-id"));
            error.response(&ids, &state.url)
        }
    }
}

fn instance_document(state: &State, query: &Form) -> Result<Value, AadError> {
    for name in ["api-version", "authorization_endpoint"] {
        query
            .get(name)
            .ok_or_else(|| aadsts::missing_query_parameter(name))?;
    }
    let asked = query.get("authorization_endpoint").unwrap_or_default();
    let unknown = || aadsts::unknown_instance(asked);
    let asked = Url::parse(asked).map_err(|_| unknown())?;
    let own = Url::parse(&state.url).map_err(|_| unknown())?;
    let (Some(host), true) = (own.host_str(), own.host() == asked.host()) else {
        return Err(unknown());
    };
    let tenant = asked
        .path_segments()
        .and_then(|mut segments| segments.next())
        .unwrap_or_default();
    Authority::parse(tenant, &state.directory())?;
    let version = if asked.path().contains("/v2.0/") {
        "/v2.0"
    } else {
        ""
    };
    // With and without the port, as some clients keep it and some don't.
    let network = &own[Position::BeforeHost..Position::AfterPort];
    Ok(json!({
        "tenant_discovery_endpoint":
            format!("{}/{tenant}{version}/.well-known/openid-configuration", state.url),
        "api-version": "1.1",
        "metadata": [{
            "preferred_network": network,
            "preferred_cache": network,
            "aliases": [network, host],
        }],
    }))
}

/// Host and port of the half with the resources.
fn resources_host(state: &State) -> String {
    Url::parse(&state.arm_url)
        .map(|url| url[Position::BeforeHost..Position::AfterPort].to_owned())
        .unwrap_or_default()
}

fn document(
    state: &State,
    tenant: &str,
    authority: &Authority,
    version: TokenVersion,
    appid: Option<&str>,
) -> Value {
    // Endpoints keep the tenant as it was written; the issuer has its id, or the template.
    let base = format!("{}/{tenant}", state.url);
    let keys = match version {
        TokenVersion::V1 => format!("{base}/discovery/keys"),
        TokenVersion::V2 => format!("{base}/discovery/v2.0/keys"),
    };
    let keys = match appid {
        Some(appid) => format!("{keys}?appid={appid}"),
        None => keys,
    };
    json!({
        "issuer": state.issuer(version, authority.id_or_template()),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
        "jwks_uri": keys,
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
        ],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "response_types_supported": ["code"],
        "grant_types_supported": [
            "authorization_code",
            "client_credentials",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
        ],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "nonce", "tid", "ver", "oid", "name",
            "preferred_username", "email",
        ],
        "request_uri_parameter_supported": false,
        "http_logout_supported": true,
        "frontchannel_logout_supported": false,
        "userinfo_endpoint": format!("{}/oidc/userinfo", state.arm_url),
        "cloud_instance_name": "entra-emulator",
        "cloud_graph_host_name": resources_host(state),
        "msgraph_host": resources_host(state),
        "rbac_url": state.arm_url,
        "tenant_region_scope": Value::Null,
    })
}
