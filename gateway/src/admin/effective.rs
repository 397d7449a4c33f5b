//! `GET /config`: the configuration that is in force, defaults included, under the names that the file
//! has. No secret: their types cannot be written here, and what stands in their place is where they come
//! from.

use std::{fmt::Display, path::PathBuf, time::Duration};

use serde_json::{Map, Value, json};

use crate::config::{
    Accept, Config, Cors, CorsOrigins, DownstreamApi, Entra, Limits, Log, Route, RouteLimits,
    SharedStore, Tenants, Tls, Traces, Upstream,
};

/// All of it. Each struct is taken apart, so that a setting that is added is not forgotten here.
pub(super) fn effective(config: &Config) -> Value {
    let Config {
        listen,
        tls,
        admin,
        admin_expose,
        workers,
        drain_timeout,
        entra,
        accept,
        resource,
        allowed_hosts,
        trusted_proxies,
        downstreams,
        upstreams,
        routes,
        cache_max_bytes,
        shared_store,
        retry_challenges,
        limits,
        log,
        access_log: _,
        audit_log: _,
        traces,
        own_log_dropped: _,
        ignored: _,
        places: _,
    } = config;
    let named = |map: &mut dyn Iterator<Item = (String, Value)>| map.collect::<Map<_, _>>();
    let mut tables = downstreams
        .iter()
        .map(|(name, api)| (name.clone(), downstream(api)));
    let downstreams = named(&mut tables);
    let mut tables = upstreams
        .iter()
        .map(|(name, to)| (name.clone(), upstream(to)));
    let upstreams = named(&mut tables);
    let mut cache =
        json!({ "max_bytes": cache_max_bytes.map_or(json!("the library's default"), Value::from) });
    if let Some(store) = shared_store {
        merge(&mut cache, redis(store));
    }
    let (provider, identity) = provider(entra);
    json!({
        "listen": listen.to_string(),
        "workers": workers,
        "drain_timeout": time(*drain_timeout),
        "tls": tls.as_ref().map(listener_tls),
        "admin": { "listen": admin.map(|address| address.to_string()), "expose": admin_expose },
        provider: identity,
        "accept": accepted(accept),
        "public_url": resource.as_ref().map(|resource| resource.url.as_str()),
        "resource_name": resource.as_ref().map(|resource| &resource.name),
        "resource_documentation": resource.as_ref().map(|resource| &resource.documentation),
        "allowed_hosts": texts(allowed_hosts),
        "trusted_proxies": texts(trusted_proxies),
        "downstream": downstreams,
        "upstreams": upstreams,
        "route": routes.iter().map(route).collect::<Vec<_>>(),
        "cache": cache,
        "retry_challenges": retry_challenges,
        "limits": limited(limits),
        "log": logged(log),
        "traces": traces.as_ref().map(told),
    })
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// As the file has it.
fn time(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}

fn maybe_time(given: Option<Duration>) -> Value {
    given.map_or(Value::Null, |given| time(given).into())
}

fn texts<T: Display>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn file(path: Option<&PathBuf>) -> Value {
    path.map_or(Value::Null, |path| path.display().to_string().into())
}

fn listener_tls(tls: &Tls) -> Value {
    let Tls {
        certificate,
        key,
        client_ca,
    } = tls;
    json!({
        "certificate": file(Some(certificate)),
        "key": file(Some(key)),
        "client_ca": file(client_ca.as_ref()),
    })
}

/// The table's name, and what is in it.
fn provider(entra: &Entra) -> (&'static str, Value) {
    let Entra {
        tenant,
        client_id,
        authority,
        ca_file,
        allow_http_loopback,
        answer_claims_challenges,
        own_signing_keys,
        credential,
        other,
    } = entra;
    let mut table = json!({
        "client_id": client_id,
        "credential": credential.describe(),
        "ca_file": file(ca_file.as_ref()),
        "allow_http_loopback": allow_http_loopback,
    });
    match other {
        None => {
            let authority = authority
                .as_deref()
                .unwrap_or("https://login.microsoftonline.com");
            let own = json!({
                "tenant": tenant,
                "authority": authority,
                "answer_claims_challenges": answer_claims_challenges,
                "own_signing_keys": own_signing_keys,
            });
            merge(&mut table, own);
            ("entra", table)
        }
        Some(other) => {
            let own = json!({
                "issuer": other.issuer,
                "roles_claim": other.roles_claim,
                "secret_in_header": other.secret_in_header,
            });
            merge(&mut table, own);
            ("oidc", table)
        }
    }
}

fn accepted(accept: &Accept) -> Value {
    let Accept {
        audiences,
        tenants,
        clock_skew,
        algorithms,
        audience_lists,
        key_cool_down,
        key_max_age,
        deny_file,
    } = accept;
    let algorithms: Vec<_> = algorithms
        .iter()
        .map(|name| name.name().to_owned())
        .collect();
    json!({
        "audiences": audiences,
        "tenants": match tenants {
            Tenants::Own => json!("its own"),
            Tenants::Listed(tenants) => json!(tenants),
            Tenants::Any => json!("any"),
        },
        "any_tenant": *tenants == Tenants::Any,
        "clock_skew": time(*clock_skew),
        "algorithms": if algorithms.is_empty() { vec!["RS256".to_owned()] } else { algorithms },
        "audience_lists": audience_lists,
        "key_cool_down": time(*key_cool_down),
        "key_max_age": time(*key_max_age),
        "deny_file": file(deny_file.as_ref()),
    })
}

fn downstream(api: &DownstreamApi) -> Value {
    let DownstreamApi {
        scopes,
        header,
        grant,
        audiences,
        resources,
    } = api;
    json!({
        "scopes": scopes,
        "header": header.as_str(),
        "grant": grant.name(),
        "audience": audiences,
        "resource": resources,
    })
}

fn upstream(upstream: &Upstream) -> Value {
    let client = upstream.tls.client.as_ref();
    json!({
        "url": upstream.to_string(),
        "addresses": texts(&upstream.addresses),
        "ca_file": file(upstream.tls.ca_file.as_ref()),
        "client_certificate": file(client.map(|client| &client.certificate)),
        "client_key": file(client.map(|client| &client.key)),
    })
}

fn redis(store: &SharedStore) -> Value {
    let SharedStore {
        url: _,
        key_file,
        ca_file,
        wait,
    } = store;
    json!({
        // It may hold a password.
        "redis_url": "given",
        "redis_key_file": file(Some(&key_file.path().to_owned())),
        "redis_ca_file": file(ca_file.as_ref()),
        "redis_wait": time(*wait),
    })
}

fn route(route: &Route) -> Value {
    let Route {
        path,
        hosts,
        methods,
        access,
        permission,
        scopes,
        roles,
        clients,
        upstream,
        downstreams,
        identity_headers,
        pass_caller_token,
        upgrade,
        outlive_token,
        trailers,
        server_timing,
        cors,
        limits,
    } = route;
    let headers = identity_headers.iter();
    let headers = headers.map(|(claim, header)| (claim.clone(), Value::from(header.as_str())));
    let RouteLimits {
        body_bytes,
        requests,
        response_timeout,
        idle_timeout,
        total_timeout,
    } = limits;
    json!({
        "path": path.to_string(),
        "hosts": texts(hosts),
        "methods": texts(methods),
        "access": access.word(),
        "permission": permission.word(),
        "scopes": scopes,
        "roles": roles,
        "clients": clients,
        "upstream": upstream,
        "downstreams": downstreams,
        "identity_headers": headers.collect::<Map<_, _>>(),
        "pass_caller_token": pass_caller_token,
        "upgrade": if *upgrade { vec!["websocket"] } else { Vec::new() },
        "outlive_token": outlive_token,
        "trailers": trailers,
        "server_timing": server_timing,
        "cors": cors.as_ref().map(pages),
        "limits": {
            "body_bytes": body_bytes,
            "requests": requests,
            "response_timeout": maybe_time(*response_timeout),
            "idle_timeout": maybe_time(*idle_timeout),
            "total_timeout": maybe_time(*total_timeout),
        },
    })
}

fn pages(cors: &Cors) -> Value {
    let Cors {
        origins,
        methods,
        headers,
        expose,
        max_age,
        credentials,
    } = cors;
    let origins = match origins {
        CorsOrigins::Any => vec!["*".to_owned()],
        CorsOrigins::Listed(origins) => {
            let text = |origin: &http::HeaderValue| origin.to_str().unwrap_or_default().to_owned();
            origins.iter().map(text).collect()
        }
    };
    json!({
        "origins": origins,
        "methods": texts(methods),
        "headers": texts(headers),
        "expose": texts(expose),
        "max_age": maybe_time(*max_age),
        "credentials": credentials,
    })
}

fn limited(limits: &Limits) -> Value {
    let Limits {
        requests,
        requests_per_client: _,
        connections,
        exchanges,
        token_bytes,
        head_bytes,
        head_fields,
        target_bytes,
        body_bytes,
        head_timeout,
        connect_timeout,
        response_timeout,
        idle_timeout,
        total_timeout,
        exchange_timeout,
        keys_timeout,
    } = limits;
    json!({
        "requests": requests,
        "requests_per_client": limits.of_one_client(),
        "connections": connections,
        "exchanges": exchanges,
        "token_bytes": token_bytes,
        "head_bytes": head_bytes,
        "head_fields": head_fields,
        "target_bytes": target_bytes,
        "body_bytes": body_bytes,
        "head_timeout": time(*head_timeout),
        "connect_timeout": time(*connect_timeout),
        "response_timeout": time(*response_timeout),
        "idle_timeout": time(*idle_timeout),
        "total_timeout": maybe_time(*total_timeout),
        "exchange_timeout": time(*exchange_timeout),
        "keys_timeout": time(*keys_timeout),
    })
}

fn logged(log: &Log) -> Value {
    let Log {
        level,
        json,
        access,
        audit,
    } = log;
    json!({
        "level": level,
        "format": if *json { "json" } else { "text" },
        "access": access,
        "audit": audit,
    })
}

fn told(traces: &Traces) -> Value {
    let Traces { endpoint, ratio } = traces;
    // It may hold a password, or a key.
    let mut address = endpoint.clone();
    let _ = address.set_password(None);
    let _ = address.set_username("");
    address.set_query(None);
    json!({ "endpoint": address.as_str(), "ratio": ratio })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sources, config::keys};

    fn of(text: &str, variables: &[(&str, &str)]) -> Value {
        let find = |name: &str| {
            let given = variables.iter().find(|(known, _)| *known == name);
            given.map(|(_, value)| (*value).to_owned())
        };
        let config = Sources::new().file("t.toml", text).environment(find).load();
        effective(&config.unwrap_or_else(|problems| panic!("{problems}")))
    }

    #[test]
    fn every_setting_is_there_under_its_name() {
        let text = include_str!("../../../docs/gateway.toml");
        let text = text.replace("<guid>", "00000000-0000-0000-0000-000000000001");
        let shown = of(&text, &[]);
        for key in keys::KEYS {
            // Whoever listens where it is exposed is seen by its address; routes have what they ask for.
            let folded = [
                "upstream",
                "allow_plaintext_upstream",
                "admin.expose",
                "accept.scopes",
                "accept.permission",
                "accept.roles",
                "accept.clients",
                "downstream.arm.scope",
            ];
            let elsewhere = folded.contains(&key.name)
                || key.name.starts_with("entra.credential.")
                || key.name.starts_with("oidc.");
            let pointer = format!("/{}", key.name.replace('.', "/"));
            assert!(
                elsewhere || shown.pointer(&pointer).is_some(),
                "{}: {shown:#}",
                key.name
            );
        }
        for key in keys::ROUTE_KEYS {
            let name = key.name.trim_start_matches("route.");
            let pointer = format!("/{}", name.replace('.', "/"));
            let with = |route: &Value| route.pointer(&pointer).is_some();
            let is_there = shown["route"].as_array().unwrap().iter().any(with);
            assert!(is_there || name == "downstream", "{name}: {shown:#}");
        }
        assert_eq!(shown["limits"]["head_timeout"], "10s");
        assert_eq!(
            shown["entra"]["credential"]
                .as_str()
                .unwrap()
                .matches("client-secret")
                .count(),
            1
        );
    }

    #[test]
    fn lo_03_no_secret_is_shown() {
        let needle = "n33dle-5ecret";
        let text = format!(
            "upstream = 'http://127.0.0.1:9'\naccept.scopes = ['s']\n[entra]\n\
             tenant = '00000000-0000-0000-0000-000000000001'\n\
             client_id = '00000000-0000-0000-0000-000000000002'\n\
             [cache]\nredis_url = 'redis://:{needle}@127.0.0.1/'\nredis_key_file = '/nowhere/key'"
        );
        let shown = of(&text, &[("AZURE_CLIENT_SECRET", needle)]).to_string();
        assert!(!shown.contains(needle), "{shown}");
        assert!(shown.contains("/nowhere/key"), "{shown}");
    }
}
