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
    let credential = match Credential::from_lookup(&lookup) {
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
        entra = entra.authority(authority);
    }
    Ok(OboLayer::builder(entra).client(client_id, credential))
}
