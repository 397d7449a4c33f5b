//! What the emulated Entra ID knows: tenants, users, applications and who consented to what.

mod application;
mod choice;
mod credential;
pub mod demo;
mod registration;
mod user;

pub use self::application::{Application, Permission, Scope, TokenVersion};
pub use self::choice::UnknownApplication;
pub use self::credential::{
    Certificate, FederatedCredential, InvalidCertificate, TOKEN_EXCHANGE_AUDIENCE,
};
pub(crate) use self::registration::{Key, Password, Registration};
pub use self::user::{Mfa, ResourceGroup, Subscription, User};

use std::collections::BTreeSet;

/// A tenant (a "directory" in Entra's words).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tenant {
    /// Tenant id, a GUID in lower case.
    pub id: String,
    /// Name for people.
    pub display_name: String,
    /// Verified domain; the tenant may be named by it in paths.
    pub domain: String,
}

impl Tenant {
    /// A tenant with an id, a name and a domain.
    pub fn new(
        id: impl Into<String>,
        display_name: impl Into<String>,
        domain: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into().to_ascii_lowercase(),
            display_name: display_name.into(),
            domain: domain.into(),
        }
    }
}

/// Delegated permissions that were granted: `client` may call `resource` with `scopes`, for one
/// user or (by an administrator) for all users of the tenant.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Consent {
    /// Tenant the grant holds in.
    pub tenant: String,
    /// Object id of the user in that tenant; `None` is an administrator's consent for everyone.
    pub user: Option<String>,
    /// Application that may call.
    pub client_id: String,
    /// Application that may be called, by its client id.
    pub resource: String,
    /// Values of the granted scopes, such as `access_as_user`.
    pub scopes: BTreeSet<String>,
}

impl Consent {
    /// A user's own consent; see [`Consent::for_everyone`].
    pub fn new<S: Into<String>>(
        tenant: impl Into<String>,
        user: impl Into<String>,
        client_id: impl Into<String>,
        resource: impl Into<String>,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            tenant: tenant.into(),
            user: Some(user.into()),
            client_id: client_id.into(),
            resource: resource.into(),
            scopes: scopes.into_iter().map(Into::into).collect(),
        }
    }

    /// The same as an administrator's consent.
    #[must_use]
    pub fn for_everyone(mut self) -> Self {
        self.user = None;
        self
    }
}

/// Application permissions that an administrator assigned: in `tenant`, `client_id` has `roles` of
/// `resource` for itself.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Assignment {
    /// Tenant the assignment holds in.
    pub tenant: String,
    /// Application that may call.
    pub client_id: String,
    /// Application that may be called, by its client id.
    pub resource: String,
    /// Values of the assigned roles.
    pub roles: BTreeSet<String>,
}

impl Assignment {
    /// These roles of this resource.
    pub fn new<S: Into<String>>(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        resource: impl Into<String>,
        roles: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            tenant: tenant.into(),
            client_id: client_id.into(),
            resource: resource.into(),
            roles: roles.into_iter().map(Into::into).collect(),
        }
    }
}

/// Everything the emulator knows. [`Directory::demo`] is the built-in one; all parts are public
/// data, so that a test changes what it needs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Directory {
    /// Tenants.
    pub tenants: Vec<Tenant>,
    /// Users of all tenants.
    pub users: Vec<User>,
    /// App registrations, Microsoft's own (Azure Resource Manager) among them.
    pub applications: Vec<Application>,
    /// Granted permissions.
    pub consents: Vec<Consent>,
    /// Application permissions.
    pub assignments: Vec<Assignment>,
}

impl Directory {
    /// The built-in demo directory; its identifiers are constants in [`demo`].
    #[must_use]
    pub fn demo() -> Self {
        demo::directory()
    }

    /// The tenant with this id or domain.
    #[must_use]
    pub fn tenant(&self, id_or_domain: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| {
            tenant.id.eq_ignore_ascii_case(id_or_domain)
                || tenant.domain.eq_ignore_ascii_case(id_or_domain)
        })
    }

    /// The user with this name: `alice@contoso.example`, `alice` (the first of that name) or an
    /// object id.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.is_called(name))
    }

    /// The same, to change the user.
    pub fn user_mut(&mut self, name: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.is_called(name))
    }

    /// The user who has this object id in this tenant, as a member or as a guest.
    #[must_use]
    pub fn user_in(&self, tenant: &str, oid: &str) -> Option<&User> {
        self.users.iter().find(|user| {
            user.oid_in(tenant)
                .is_some_and(|own| own.eq_ignore_ascii_case(oid))
        })
    }

    /// The application with this client id.
    #[must_use]
    pub fn application(&self, client_id: &str) -> Option<&Application> {
        self.applications
            .iter()
            .find(|app| app.client_id.eq_ignore_ascii_case(client_id))
    }

    /// The same, to change the registration.
    pub fn application_mut(&mut self, client_id: &str) -> Option<&mut Application> {
        self.applications
            .iter_mut()
            .find(|app| app.client_id.eq_ignore_ascii_case(client_id))
    }

    /// The application that `identifier` (client id or App ID URI) names as a resource.
    #[must_use]
    pub fn resource(&self, identifier: &str) -> Option<&Application> {
        self.applications
            .iter()
            .find(|app| app.is_identified_by(identifier))
    }

    /// Registers where an application is sent back to after sign-in and after sign-out; the ports of
    /// a demo vary.
    #[must_use]
    pub fn with_redirects(
        mut self,
        client_id: &str,
        redirect_uri: impl Into<String>,
        post_logout_redirect_uri: impl Into<String>,
    ) -> Self {
        if let Some(app) = self.application_mut(client_id) {
            app.redirect_uris = vec![redirect_uri.into()];
            app.post_logout_redirect_uris = vec![post_logout_redirect_uri.into()];
        }
        self
    }

    /// Adds an application that may register others by way of Microsoft Graph, in the first tenant:
    /// [`demo::ADMINISTRATOR_CLIENT_ID`], with [`demo::ADMINISTRATOR_CLIENT_SECRET`]. Without it nobody may,
    /// unless the directory assigns [`demo::GRAPH_ROLES`] to somebody.
    ///
    /// ```
    /// use entra_emulator::{Directory, demo};
    ///
    /// let directory = Directory::demo().with_administrator();
    /// assert!(directory.application(demo::ADMINISTRATOR_CLIENT_ID).is_some());
    /// ```
    #[must_use]
    pub fn with_administrator(mut self) -> Self {
        let Some(tenant) = self.tenants.first().map(|tenant| tenant.id.clone()) else {
            return self;
        };
        if let Some(graph) = self.application_mut(demo::GRAPH_CLIENT_ID) {
            for role in demo::GRAPH_ROLES {
                if !graph.app_roles.iter().any(|own| own == role) {
                    graph.app_roles.push(role.to_owned());
                }
            }
        }
        self.applications
            .retain(|app| app.client_id != demo::ADMINISTRATOR_CLIENT_ID);
        self.applications.push(demo::administrator(&tenant));
        self.assignments.push(Assignment::new(
            tenant,
            demo::ADMINISTRATOR_CLIENT_ID,
            demo::GRAPH_CLIENT_ID,
            demo::GRAPH_ROLES,
        ));
        self
    }

    /// Adds an app registration.
    #[must_use]
    pub fn with_application(mut self, application: Application) -> Self {
        self.applications.push(application);
        self
    }

    /// Adds a user.
    #[must_use]
    pub fn with_user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Takes an application away, and all that was granted to it or of it.
    pub(crate) fn remove_application(&mut self, client_id: &str) {
        self.applications
            .retain(|app| !app.client_id.eq_ignore_ascii_case(client_id));
        self.remove_grants(client_id);
    }

    /// Takes away what was granted to an application or of it, in all tenants.
    pub(crate) fn remove_grants(&mut self, client_id: &str) {
        let of = |client: &str, resource: &str| {
            client.eq_ignore_ascii_case(client_id) || resource.eq_ignore_ascii_case(client_id)
        };
        self.consents
            .retain(|consent| !of(&consent.client_id, &consent.resource));
        self.assignments
            .retain(|assignment| !of(&assignment.client_id, &assignment.resource));
    }

    /// Records a consent, merged with what was granted before.
    pub fn grant(&mut self, consent: Consent) {
        let same = self.consents.iter_mut().find(|known| {
            known.tenant == consent.tenant
                && known.user == consent.user
                && known.client_id == consent.client_id
                && known.resource == consent.resource
        });
        match same {
            Some(known) => known.scopes.extend(consent.scopes),
            None => self.consents.push(consent),
        }
    }

    /// Takes back everything a user has consented to, in all tenants; an administrator's consent
    /// stays.
    pub fn revoke_consents(&mut self, name: &str) {
        let Some(user) = self.user(name) else { return };
        let mut oids = vec![user.oid.clone()];
        oids.extend(user.guest_in.values().cloned());
        self.consents
            .retain(|consent| !consent.user.as_ref().is_some_and(|oid| oids.contains(oid)));
    }

    /// The roles that an application has of a resource for itself, in a tenant: what was assigned and
    /// the resource exposes.
    #[must_use]
    pub fn app_roles(
        &self,
        tenant: &str,
        client: &Application,
        resource: &Application,
    ) -> Vec<String> {
        let assigned = |role: &String| {
            self.assignments.iter().any(|assignment| {
                assignment.tenant.eq_ignore_ascii_case(tenant)
                    && assignment.client_id.eq_ignore_ascii_case(&client.client_id)
                    && assignment
                        .resource
                        .eq_ignore_ascii_case(&resource.client_id)
                    && assignment.roles.contains(role)
            })
        };
        let exposed = resource.app_roles.iter();
        exposed.filter(|role| assigned(role)).cloned().collect()
    }

    /// The scopes of `resource` that `client_id` may use for the user `oid` of `tenant`.
    #[must_use]
    pub fn consented(
        &self,
        tenant: &str,
        oid: &str,
        client_id: &str,
        resource: &str,
    ) -> BTreeSet<String> {
        self.consents
            .iter()
            .filter(|consent| {
                consent.tenant.eq_ignore_ascii_case(tenant)
                    && consent.client_id.eq_ignore_ascii_case(client_id)
                    && consent.resource.eq_ignore_ascii_case(resource)
                    && consent
                        .user
                        .as_ref()
                        .is_none_or(|user| user.eq_ignore_ascii_case(oid))
            })
            .flat_map(|consent| consent.scopes.iter().cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_any_of_their_names() {
        let directory = Directory::demo();
        for name in ["alice", "alice@contoso.example", demo::ALICE_OID] {
            assert_eq!(directory.user(name).unwrap().oid, demo::ALICE_OID, "{name}");
        }
        assert!(directory.user("alic").is_none());
    }

    #[test]
    fn consents_are_of_one_user_unless_an_administrator_gave_them() {
        let mut directory = Directory::demo();
        let arm = demo::ARM_CLIENT_ID;
        let consent = Consent::new(
            demo::CONTOSO,
            demo::ALICE_OID,
            demo::API_CLIENT_ID,
            arm,
            ["user_impersonation"],
        );
        directory.grant(consent.clone());
        let of = |directory: &Directory, oid| {
            directory
                .consented(demo::CONTOSO, oid, demo::API_CLIENT_ID, arm)
                .len()
        };
        assert_eq!(of(&directory, demo::ALICE_OID), 1);
        assert_eq!(of(&directory, demo::BOB_OID), 0);

        directory.grant(consent.for_everyone());
        assert_eq!(of(&directory, demo::BOB_OID), 1);

        directory.revoke_consents("alice");
        assert_eq!(of(&directory, demo::ALICE_OID), 1, "the administrator's");
    }
}
