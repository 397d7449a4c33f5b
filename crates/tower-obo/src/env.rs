//! The variables that Azure's own SDKs read.

use crate::{ConfigError, ConfigErrors, Credential, Entra, OboLayer, OboLayerBuilder};

pub(crate) fn builder(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<OboLayerBuilder, ConfigErrors> {
    let mut missing: Option<ConfigErrors> = None;
    let mut required = |name: &'static str, what: &str| {
        let value = lookup(name).filter(|value| !value.is_empty());
        if value.is_none() {
            let others: Vec<ConfigError> = missing
                .take()
                .map(|errors| errors.iter().cloned().collect())
                .unwrap_or_default();
            let problem = format!("the variable is not set; it holds {what}");
            missing = Some(ConfigErrors::new(name, problem, others));
        }
        value
    };
    let tenant = required("AZURE_TENANT_ID", "the tenant's GUID");
    let client_id = required("AZURE_CLIENT_ID", "the app registration's client id");
    // `AZURE_CLIENT_ID` is the API's here, which no managed identity is called by.
    let credential = Credential::from_lookup(|name| match name {
        "AZURE_CLIENT_ID" => None,
        name => lookup(name),
    });
    let credential = match credential {
        Ok(credential) => Some(credential),
        Err(errors) => {
            missing = Some(match missing {
                None => errors,
                Some(others) => others.and(errors),
            });
            None
        }
    };
    let (Some(tenant), Some(client_id), Some(credential)) = (tenant, client_id, credential) else {
        return Err(missing.unwrap_or_else(|| {
            ConfigErrors::new("AZURE_TENANT_ID", "it is not set".to_owned(), Vec::new())
        }));
    };
    let mut entra = Entra::tenant(tenant);
    if let Some(authority) = lookup("AZURE_AUTHORITY_HOST").filter(|host| !host.is_empty()) {
        entra = entra.authority(with_scheme(authority));
    }
    Ok(OboLayer::builder(entra).client(client_id, credential))
}

/// A host alone is one over https, as Azure's own libraries take it; one with a port says its scheme.
fn with_scheme(authority: String) -> String {
    let authority = authority.trim();
    if authority.contains([':', '/', '@', '?', '#']) {
        return authority.to_owned();
    }
    format!("https://{authority}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_alone_is_an_authority_over_https() {
        for (given, expected) in [
            (
                "login.microsoftonline.us",
                "https://login.microsoftonline.us",
            ),
            (" Login.Example ", "https://Login.Example"),
            ("https://login.example/", "https://login.example/"),
            ("http://login.example", "http://login.example"),
            ("localhost:8443", "localhost:8443"),
            ("login.example/tenant", "login.example/tenant"),
        ] {
            assert_eq!(with_scheme(given.to_owned()), expected);
        }
    }

    #[test]
    fn an_authority_of_the_environment_is_taken_as_azures_own_libraries_take_it() {
        let built = |authority: &str| {
            let lookup = |name: &str| match name {
                "AZURE_TENANT_ID" => Some("72f988bf-86f1-41af-91ab-2d7cd011db47".to_owned()),
                "AZURE_CLIENT_ID" => Some("11111111-0000-4000-8000-000000000001".to_owned()),
                "AZURE_CLIENT_SECRET" => Some("s".to_owned()),
                "AZURE_AUTHORITY_HOST" => Some(authority.to_owned()),
                _ => None,
            };
            builder(lookup).unwrap().require_scope("s").build()
        };
        for good in [
            "LOGIN.MicrosoftOnline.us",
            "HTTPS://login.microsoftonline.us/",
        ] {
            assert!(built(good).is_ok(), "{good}");
        }
        for bad in ["localhost:8443", "http://login.example", "login.example/t"] {
            assert!(built(bad).is_err(), "{bad}");
        }
    }
}
