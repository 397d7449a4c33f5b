//! Microsoft's clouds, told by the host of the authority.

/// What users of an authority call Azure Resource Manager with. An authority that is none of
/// Microsoft's (an emulator) is taken for the public cloud's.
pub(crate) fn resource_manager_scope(authority: &str) -> &'static str {
    match host(authority) {
        "login.microsoftonline.us" => "https://management.usgovcloudapi.net/user_impersonation",
        "login.partner.microsoftonline.cn" => {
            "https://management.chinacloudapi.cn/user_impersonation"
        }
        _ => "https://management.azure.com/user_impersonation",
    }
}

/// For whom tokens of managed identities are made that stand for an application at this authority, or
/// at an address under it.
pub(crate) fn token_exchange_audience(url: &str) -> &'static str {
    let authority = match url.char_indices().filter(|(_, c)| *c == '/').nth(2) {
        Some((end, _)) => &url[..end],
        None => url,
    };
    match host(authority) {
        "login.microsoftonline.us" => "api://AzureADTokenExchangeUSGov",
        "login.partner.microsoftonline.cn" => "api://AzureADTokenExchangeChina",
        _ => "api://AzureADTokenExchange",
    }
}

/// The authorities of External ID (`NAME.ciamlogin.com`): each has one tenant.
const EXTERNAL_ID: &str = ".ciamlogin.com";

/// Whether it is an authority of External ID.
pub(crate) fn is_external(authority: &str) -> bool {
    host(authority)
        .strip_suffix(EXTERNAL_ID)
        .is_some_and(|name| !name.is_empty() && !name.contains('.'))
}

/// Whether it is an authority of a Microsoft cloud for organisations, all of which mint v1.0 tokens
/// too. External ID does not, under whatever host: a tenant may have a domain of its own.
pub(crate) fn has_v1(authority: &str) -> bool {
    matches!(
        host(authority),
        "login.microsoftonline.com"
            | "login.microsoftonline.us"
            | "login.partner.microsoftonline.cn"
    )
}

/// The authority that a host of Microsoft's is another name of. It answers, but its documents name the
/// issuers and addresses of that authority, so that nothing of it could be used.
pub(crate) fn real_name(host: &str) -> Option<&'static str> {
    match host {
        "login.windows.net" | "login.microsoft.com" | "sts.windows.net" => {
            Some("https://login.microsoftonline.com")
        }
        "login.usgovcloudapi.net" => Some("https://login.microsoftonline.us"),
        "login.chinacloudapi.cn" | "sts.chinacloudapi.cn" => {
            Some("https://login.partner.microsoftonline.cn")
        }
        _ => None,
    }
}

/// Who mints the v1.0 tokens of this authority. One that is none of Microsoft's (an emulator) does so
/// itself.
pub(crate) fn v1_issuer_host(authority: &str) -> &str {
    match host(authority) {
        "login.microsoftonline.com" | "login.microsoftonline.us" => "https://sts.windows.net",
        "login.partner.microsoftonline.cn" => "https://sts.chinacloudapi.cn",
        _ => authority.trim_end_matches('/'),
    }
}

/// The issuer of v2.0 tokens for a tenant of this authority: the authority itself, but for External
/// ID, whose issuers have the tenant's GUID where its authorities have a name.
pub(crate) fn issuer(authority: &str, tenant: &str) -> String {
    if is_external(authority) {
        return format!("https://{tenant}{EXTERNAL_ID}/{tenant}/v2.0");
    }
    format!("{}/{tenant}/v2.0", authority.trim_end_matches('/'))
}

/// A resource by one of its names: the application id of Microsoft Graph and of Azure Resource Manager, each
/// of which is one application in every cloud and has several names in scopes. None at all means Graph.
pub(crate) fn resource_of_many_names(resource: &str) -> &str {
    const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
    const RESOURCE_MANAGER: &str = "797f4846-ba00-4fd7-ba43-dac1f8f63013";
    let is = |name: &str, hosts: &[&str]| {
        let mut names = hosts.iter().map(|name| (*name, host(resource)));
        resource.eq_ignore_ascii_case(name) || names.any(|(a, b)| a.eq_ignore_ascii_case(b))
    };
    if resource.is_empty() || is(GRAPH, &GRAPH_HOSTS) {
        GRAPH
    } else if is(RESOURCE_MANAGER, &RESOURCE_MANAGER_HOSTS) {
        RESOURCE_MANAGER
    } else {
        resource
    }
}

const GRAPH_HOSTS: [&str; 4] = [
    "graph.microsoft.com",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "microsoftgraph.chinacloudapi.cn",
];
const RESOURCE_MANAGER_HOSTS: [&str; 6] = [
    "management.azure.com",
    "management.core.windows.net",
    "management.usgovcloudapi.net",
    "management.core.usgovcloudapi.net",
    "management.chinacloudapi.cn",
    "management.core.chinacloudapi.cn",
];

/// Scheme and host are all that an authority has; one with a port is none of Microsoft's.
fn host(authority: &str) -> &str {
    let authority = authority.trim_end_matches('/');
    authority.strip_prefix("https://").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_v1_document_is_a_fault_of_the_clouds_that_have_one() {
        for authority in [
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.us/",
            "https://login.partner.microsoftonline.cn",
        ] {
            assert!(has_v1(authority), "{authority}");
        }
        for authority in [
            "https://contoso.ciamlogin.com",
            "https://login.contoso.example",
            "https://login.microsoftonline.com.example",
            "http://127.0.0.1:9400",
        ] {
            assert!(!has_v1(authority), "{authority}");
        }
    }

    #[test]
    fn each_cloud_has_its_own_resource_manager() {
        for (authority, manager) in [
            ("https://login.microsoftonline.com", "management.azure.com"),
            (
                "https://login.microsoftonline.us",
                "management.usgovcloudapi.net",
            ),
            (
                "https://login.microsoftonline.us/",
                "management.usgovcloudapi.net",
            ),
            (
                "https://login.partner.microsoftonline.cn",
                "management.chinacloudapi.cn",
            ),
            ("https://contoso.ciamlogin.com", "management.azure.com"),
            ("http://127.0.0.1:9400", "management.azure.com"),
            ("http://login.microsoftonline.us", "management.azure.com"),
            (
                "https://login.microsoftonline.us.example",
                "management.azure.com",
            ),
        ] {
            let scope = format!("https://{manager}/user_impersonation");
            assert_eq!(resource_manager_scope(authority), scope, "{authority}");
        }
    }

    #[test]
    fn each_cloud_has_its_own_audience_of_federated_credentials() {
        for (authority, audience) in [
            ("https://login.microsoftonline.com", ""),
            ("https://login.microsoftonline.us", "USGov"),
            ("https://login.partner.microsoftonline.cn", "China"),
            ("https://login.microsoftonline.us.example", ""),
            ("http://127.0.0.1:9400", ""),
        ] {
            let audience = format!("api://AzureADTokenExchange{audience}");
            assert_eq!(token_exchange_audience(authority), audience, "{authority}");
            let endpoint = format!("{authority}/t/oauth2/v2.0/token");
            assert_eq!(token_exchange_audience(&endpoint), audience, "{endpoint}");
        }
    }

    #[test]
    fn an_issuer_is_the_authority_but_for_external_id() {
        for (authority, expected) in [
            ("https://login.example", "https://login.example/t/v2.0"),
            ("https://login.example/", "https://login.example/t/v2.0"),
            (
                "https://login.partner.microsoftonline.cn",
                "https://login.partner.microsoftonline.cn/t/v2.0",
            ),
            (
                "https://contoso.ciamlogin.com",
                "https://t.ciamlogin.com/t/v2.0",
            ),
            ("https://t.ciamlogin.com/", "https://t.ciamlogin.com/t/v2.0"),
            (
                "https://ciamlogin.com.example",
                "https://ciamlogin.com.example/t/v2.0",
            ),
            ("https://.ciamlogin.com", "https://.ciamlogin.com/t/v2.0"),
            (
                "https://a.b.ciamlogin.com",
                "https://a.b.ciamlogin.com/t/v2.0",
            ),
            ("https://ciamlogin.com", "https://ciamlogin.com/t/v2.0"),
        ] {
            assert_eq!(issuer(authority, "t"), expected, "{authority}");
        }
    }
}
