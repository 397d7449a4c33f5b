//! The first segment of every path: whom a request speaks to.

use crate::aadsts;
use crate::directory::{Application, Directory};
use crate::error::AadError;

/// `{tenant}` of a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Authority {
    /// One tenant, by its id.
    Tenant(String),
    /// `common` or `organizations`: the user's own tenant, whichever that is.
    Any,
}

impl Authority {
    /// A tenant's GUID or domain, `common` or `organizations`.
    pub(crate) fn parse(segment: &str, directory: &Directory) -> Result<Self, AadError> {
        if segment.eq_ignore_ascii_case("common") || segment.eq_ignore_ascii_case("organizations") {
            return Ok(Self::Any);
        }
        directory
            .tenant(segment)
            .map(|tenant| Self::Tenant(tenant.id.clone()))
            .ok_or_else(|| aadsts::tenant_not_found(segment))
    }

    /// The tenant's id, or the placeholder that Microsoft's templates use.
    pub(crate) fn id_or_template(&self) -> &str {
        match self {
            Self::Tenant(id) => id,
            Self::Any => "{tenantid}",
        }
    }

    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::Tenant(id) => Some(id),
            Self::Any => None,
        }
    }

    /// The client that speaks, if it may speak here.
    pub(crate) fn client<'a>(
        &self,
        directory: &'a Directory,
        client_id: &str,
    ) -> Result<&'a Application, AadError> {
        let shown = self.id().unwrap_or("common");
        let client = directory
            .application(client_id)
            .filter(|app| !app.tenant.is_empty())
            .ok_or_else(|| aadsts::application_not_found(client_id, shown))?;
        match self {
            Self::Tenant(tenant) if !client.is_in(tenant) => {
                Err(aadsts::application_not_found(client_id, tenant))
            }
            Self::Any if !client.multi_tenant => Err(aadsts::not_multi_tenant(client_id)),
            Self::Tenant(_) | Self::Any => Ok(client),
        }
    }
}
