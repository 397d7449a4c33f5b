//! Who may use a route, and what their tokens have to grant.

use super::{
    downstreams::Downstreams,
    resolve::Resolver,
    settings::{Given, RouteTable},
};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// A user with a valid token, and with what [`Permission`] asks for.
    Required,
    /// Such a user, or an application without one that has one of the route's roles.
    UsersAndApps,
    /// An application without a user, with one of the route's roles.
    AppOnly,
    /// Anybody; a token that is sent is neither judged nor forwarded.
    Public,
}

impl Access {
    const ALL: [Self; 4] = [
        Self::Required,
        Self::UsersAndApps,
        Self::AppOnly,
        Self::Public,
    ];

    /// The word that the file has for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::UsersAndApps => "users-and-apps",
            Self::AppOnly => "app-only",
            Self::Public => "public",
        }
    }

    /// Whether users may, if their tokens grant what is asked for.
    pub(crate) const fn has_users(self) -> bool {
        matches!(self, Self::Required | Self::UsersAndApps)
    }
}

/// What a user's token has to grant of the scopes and roles that a route names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Permission {
    /// One of the scopes, and one of the roles too where there are some.
    #[default]
    AnyScope,
    /// Each of the scopes, and one of the roles too where there are some.
    AllScopes,
    /// One of the scopes or one of the roles.
    ScopeOrRole,
}

impl Permission {
    const ALL: [Self; 3] = [Self::AnyScope, Self::AllScopes, Self::ScopeOrRole];

    /// The word that the file has for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::AnyScope => "any-scope",
            Self::AllScopes => "all-scopes",
            Self::ScopeOrRole => "scope-or-role",
        }
    }
}

impl Resolver<'_> {
    pub(super) fn route_access(&mut self, table: &RouteTable) -> Option<Access> {
        let Some(given) = table.values.text("access") else {
            // A route that says nothing is protected.
            return Some(Access::Required);
        };
        let access = Access::ALL
            .into_iter()
            .find(|access| access.word() == given.value);
        if access.is_none() {
            let message = none_of(given.value, &Access::ALL.map(Access::word));
            self.problems.push(given.origin, "route.access", message);
        }
        access
    }

    /// What `accept` asks of users where a route says nothing else.
    pub(super) fn permission(&mut self) -> Permission {
        let name = "accept.permission";
        let given = self.settings.text(name);
        let parsed = given.map(|given| self.parse_permission(name, &given));
        parsed.flatten().unwrap_or_default()
    }

    /// The route's own word, or else that of `accept`.
    pub(super) fn own_permission(
        &mut self,
        table: &RouteTable,
        default: Permission,
        scopes: &[String],
        roles: &[String],
    ) -> Permission {
        let name = "route.permission";
        let Some(given) = table.values.text("permission") else {
            return default;
        };
        let Some(permission) = self.parse_permission(name, &given) else {
            return default;
        };
        let missing = |key: &str, names: &[String]| {
            names.is_empty() && !table.has_been_said(&format!("route.{key}s"))
        };
        let missing = match permission {
            Permission::AnyScope => None,
            _ if missing("scope", scopes) => Some("scope"),
            Permission::ScopeOrRole if missing("role", roles) => Some("role"),
            _ => None,
        };
        if let Some(missing) = missing {
            let message = format!(
                "{:?} where no {missing} is named; `{missing}s` names some, here or under [accept]",
                given.value
            );
            self.problems.push(given.origin, name, message);
        }
        permission
    }

    fn parse_permission(&mut self, name: &str, given: &Given<&str>) -> Option<Permission> {
        let known = Permission::ALL
            .into_iter()
            .find(|permission| permission.word() == given.value);
        if known.is_none() {
            let message = none_of(given.value, &Permission::ALL.map(Permission::word));
            self.problems.push(given.origin.clone(), name, message);
        }
        known
    }

    /// Whether what the route names can be asked of those who may use it.
    pub(super) fn fits_its_callers(
        &mut self,
        table: &RouteTable,
        access: Option<Access>,
        scopes: &[String],
        roles: &[String],
        downstreams: &Downstreams,
    ) {
        match access {
            Some(Access::Required) if scopes.is_empty() && roles.is_empty() => {
                self.needs_permission(table);
            }
            Some(access @ (Access::UsersAndApps | Access::AppOnly)) => {
                self.fits_applications(table, access, roles, downstreams);
            }
            Some(Access::Public) => self.fits_anybody(table),
            _ => {}
        }
    }

    /// A route without scopes and roles lets nobody in, unless that something is wrong with them has
    /// been said already.
    fn needs_permission(&mut self, table: &RouteTable) {
        let judged = ["scopes", "roles"].iter().any(|key| {
            table.values.list(key).is_some()
                || table.has_been_said(&format!("route.{key}"))
                || self.settings.list(&format!("accept.{key}")).is_some()
                || self.has_been_said(&format!("accept.{key}"))
        });
        if !judged {
            self.problems.push(
                table.origin.clone(),
                "route.scopes",
                "missing: a scope that lets a caller in. Give it here, or for all routes as `scopes` under [accept]",
            );
        }
    }

    fn fits_applications(
        &mut self,
        table: &RouteTable,
        access: Access,
        roles: &[String],
        downstreams: &Downstreams,
    ) {
        if roles.is_empty() && !table.has_been_said("route.roles") {
            let message = "missing: an app role that lets an application in; every application of the tenant gets a token without one";
            self.problems
                .push(table.origin.clone(), "route.roles", message);
        }
        let names = table.values.list("downstream");
        let needs_user = names.is_some_and(|given| {
            let mut apis = given.value.iter().map(|name| downstreams.get(name));
            apis.any(|api| api.is_some_and(|api| api.grant.has_subject()))
        });
        let of_users = needs_user.then_some((
            "downstream",
            "an application without a user has no token that could be exchanged On-Behalf-Of (AADSTS7000114); a downstream with `grant = \"client_credentials\"` needs none",
        ));
        let words = "an application without a user has roles, not scopes";
        let scopes = [("scopes", words), ("permission", words)];
        let scopes = scopes.into_iter().filter(|_| access == Access::AppOnly);
        for (key, message) in scopes.chain(of_users) {
            if let Some(origin) = table.origin_of(key) {
                let key = format!("route.{key}");
                self.problems.push(origin.clone(), key, message);
            }
        }
    }

    fn fits_anybody(&mut self, table: &RouteTable) {
        let headers = table
            .identity_headers
            .first()
            .map(|(_, given)| &given.origin);
        let keys = [
            "downstream",
            "scopes",
            "roles",
            "permission",
            "clients",
            "pass_caller_token",
            "outlive_token",
        ];
        let unfit: Vec<_> = keys
            .iter()
            .filter_map(|key| Some((*key, table.origin_of(key)?)))
            .chain(headers.map(|origin| ("identity_headers", origin)))
            .collect();
        for (key, origin) in unfit {
            let message = "a public route has no caller whose token it could use";
            self.problems
                .push(origin.clone(), format!("route.{key}"), message);
        }
    }
}

fn none_of(given: &str, words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    let (last, others) = words.split_last().map_or(("", &[][..]), |(l, o)| (l, o));
    format!("{given:?} is none of {} and {last}", others.join(", "))
}
