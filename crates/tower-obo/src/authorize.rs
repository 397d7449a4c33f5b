//! Who may call: scopes, roles, applications. Deny by default.

use std::sync::Arc;

use crate::{Principal, RejectionKind};

/// What a validated caller must have. Evaluated on every request, never cached.
///
/// A token that grants nothing at all (an ID token) is always refused, and so is an app-only token
/// unless the policy says otherwise. An empty list lets nobody in. All comparisons are
/// case-sensitive.
///
/// ```
/// use tower_obo::AccessPolicy;
///
/// let read = AccessPolicy::any_scope(["Files.Read", "Files.ReadWrite"]);
/// let jobs = AccessPolicy::any_role(["Jobs.Run"]).allow_app_only();
/// let one_client = AccessPolicy::any_scope(["access_as_user"])
///     .client("b7f0c2a1-6c8e-4d3a-8f21-2e9f0b4c5d6e");
/// # let _ = (read, jobs, one_client);
/// ```
#[derive(Clone, Debug, Default)]
pub struct AccessPolicy {
    any_scopes: Option<Vec<Box<str>>>,
    all_scopes: Option<Vec<Box<str>>>,
    any_roles: Option<Vec<Box<str>>>,
    scope_or_role: bool,
    clients: Vec<Box<str>>,
    callers: Callers,
    /// The scopes that would help, as `scope` of a challenge has them.
    challenge: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Callers {
    #[default]
    Users,
    UsersAndApps,
    Apps,
}

/// Why a caller is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Denied {
    pub(crate) kind: RejectionKind,
    pub(crate) detail: &'static str,
}

impl AccessPolicy {
    /// A user whose token has at least one of these delegated permissions (`scp`).
    #[must_use]
    pub fn any_scope<S: Into<Box<str>>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self::with(|policy| policy.any_scopes = list(scopes))
    }

    /// A user whose token has all of these delegated permissions.
    #[must_use]
    pub fn all_scopes<S: Into<Box<str>>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self::with(|policy| policy.all_scopes = list(scopes))
    }

    /// A caller with at least one of these app roles (`roles`).
    #[must_use]
    pub fn any_role<S: Into<Box<str>>>(roles: impl IntoIterator<Item = S>) -> Self {
        Self::with(|policy| policy.any_roles = list(roles))
    }

    /// A caller with at least one of these scopes, or one of these roles.
    #[must_use]
    pub fn any_scope_or_role<S: Into<Box<str>>, R: Into<Box<str>>>(
        scopes: impl IntoIterator<Item = S>,
        roles: impl IntoIterator<Item = R>,
    ) -> Self {
        Self::with(|policy| {
            policy.any_scopes = list(scopes);
            policy.any_roles = list(roles);
            policy.scope_or_role = true;
        })
    }

    /// Any user of the API, whatever the scope: for an API with one permission only.
    #[must_use]
    pub fn any_user() -> Self {
        Self::default()
    }

    /// A user needs at least one of these app roles besides; an application, one of them alone.
    #[must_use]
    pub fn and_any_role<S: Into<Box<str>>>(mut self, roles: impl IntoIterator<Item = S>) -> Self {
        self.any_roles = list(roles);
        self.scope_or_role = false;
        self
    }

    /// Only this application may call (`azp`, `appid`), besides others named so.
    #[must_use]
    pub fn client(mut self, client_id: impl Into<Box<str>>) -> Self {
        self.clients.push(client_id.into());
        self
    }

    /// Applications without a user may call too, if they have one of the roles that the policy names;
    /// where it names none, no application may.
    #[must_use]
    pub fn allow_app_only(mut self) -> Self {
        self.callers = Callers::UsersAndApps;
        self
    }

    /// Only applications without a user may call.
    #[must_use]
    pub fn require_app_only(mut self) -> Self {
        self.callers = Callers::Apps;
        self
    }

    fn with(edit: impl FnOnce(&mut Self)) -> Self {
        let mut policy = Self::default();
        edit(&mut policy);
        let scopes: Vec<_> = [&policy.any_scopes, &policy.all_scopes]
            .into_iter()
            .flatten()
            .flatten()
            .map(AsRef::as_ref)
            .collect();
        policy.challenge = (!scopes.is_empty()).then(|| scopes.join(" ").into());
        policy
    }

    /// The scopes that a challenge names.
    pub(crate) fn challenge_scope(&self) -> Option<&Arc<str>> {
        self.challenge.as_ref()
    }

    pub(crate) fn check(&self, principal: &Principal) -> Result<(), Denied> {
        if !principal.has_any_permission() {
            return Err(INSUFFICIENT);
        }
        match (self.callers, principal.is_app_only()) {
            (Callers::Users, true) => return Err(APP_ONLY),
            (Callers::Apps, false) => return Err(USERS_REFUSED),
            _ => {}
        }
        if !self.clients.is_empty()
            && !principal
                .client_id()
                .is_some_and(|id| self.clients.iter().any(|client| **client == *id))
        {
            return Err(CLIENT);
        }
        self.has_permission(principal)
            .then_some(())
            .ok_or(INSUFFICIENT)
    }

    fn has_permission(&self, principal: &Principal) -> bool {
        let any_of = |list: &Option<Vec<Box<str>>>, has: &dyn Fn(&str) -> bool| {
            list.as_ref().map(|list| list.iter().any(|name| has(name)))
        };
        let any_role = any_of(&self.any_roles, &|role| principal.has_role(role));
        if principal.is_app_only() {
            // What lets an application in is a role that somebody granted it: every application of
            // a tenant can get a token without one.
            return any_role.unwrap_or(false);
        }
        let any_scope = any_of(&self.any_scopes, &|scope| principal.has_scope(scope));
        if self.scope_or_role {
            return any_scope == Some(true) || any_role == Some(true);
        }
        let all_scopes = self.all_scopes.as_ref().is_none_or(|all| {
            !all.is_empty() && all.iter().all(|scope| principal.has_scope(scope))
        });
        any_scope != Some(false) && all_scopes && any_role != Some(false)
    }
}

/// A list that is empty lets nobody in; that none was given is another thing.
fn list<S: Into<Box<str>>>(names: impl IntoIterator<Item = S>) -> Option<Vec<Box<str>>> {
    Some(names.into_iter().map(Into::into).collect())
}

const INSUFFICIENT: Denied = Denied {
    kind: RejectionKind::InsufficientScope,
    detail: "the token lacks a permission that is required here",
};
const APP_ONLY: Denied = Denied {
    kind: RejectionKind::AppOnlyNotAllowed,
    detail: "an app-only token is not accepted here",
};
const USERS_REFUSED: Denied = Denied {
    kind: RejectionKind::InsufficientScope,
    detail: "only applications without a user are accepted here",
};
const CLIENT: Denied = Denied {
    kind: RejectionKind::ClientNotAllowed,
    detail: "this application may not call here",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Timestamp, principal::Claims};

    fn caller(scopes: &[&str], roles: &[&str], app_only: bool) -> Principal {
        let list = |items: &[&str]| items.iter().map(|item| Box::from(*item)).collect();
        Principal::new(Claims {
            issuer: "i".into(),
            tenant_id: "t".into(),
            object_id: None,
            subject: None,
            client_id: Some("client".into()),
            scopes: list(scopes),
            roles: list(roles),
            app_only,
            claims_capable: false,
            token_id: None,
            expires_at: Timestamp::default(),
            kept: Box::default(),
        })
    }

    fn kind(policy: &AccessPolicy, principal: &Principal) -> Option<RejectionKind> {
        policy.check(principal).err().map(|denied| denied.kind)
    }

    use RejectionKind as K;

    #[test]
    fn a_scope_counts_only_whole_and_in_its_own_case() {
        let policy = AccessPolicy::any_scope(["read"]);
        assert_eq!(kind(&policy, &caller(&["x", "read"], &[], false)), None);
        for scopes in [&["reads"][..], &["Read"], &["rea"], &[]] {
            let result = kind(&policy, &caller(scopes, &[], false));
            assert_eq!(result, Some(K::InsufficientScope), "{scopes:?}");
        }
    }

    #[test]
    fn a_token_that_grants_nothing_is_refused_even_where_any_user_may_call() {
        let policy = AccessPolicy::any_user();
        assert_eq!(kind(&policy, &caller(&["x"], &[], false)), None);
        assert_eq!(
            kind(&policy, &caller(&[], &[], false)),
            Some(K::InsufficientScope)
        );
    }

    #[test]
    fn an_empty_list_lets_nobody_in() {
        const NONE: [&str; 0] = [];
        let user = caller(&["x"], &["r"], false);
        for policy in [
            AccessPolicy::any_scope(NONE),
            AccessPolicy::all_scopes(NONE),
            AccessPolicy::any_role(NONE),
            AccessPolicy::any_scope_or_role(NONE, NONE),
        ] {
            assert_eq!(kind(&policy, &user), Some(K::InsufficientScope));
        }
        let app = caller(&[], &["r"], true);
        let apps = AccessPolicy::any_role(NONE).allow_app_only();
        assert_eq!(kind(&apps, &app), Some(K::InsufficientScope));
    }

    #[test]
    fn all_of_means_all_and_any_of_one() {
        let all = AccessPolicy::all_scopes(["a", "b"]);
        assert_eq!(kind(&all, &caller(&["b", "a"], &[], false)), None);
        assert!(kind(&all, &caller(&["a"], &[], false)).is_some());
        let any = AccessPolicy::any_scope(["a", "b"]);
        assert_eq!(kind(&any, &caller(&["b"], &[], false)), None);
    }

    #[test]
    fn an_application_needs_the_policys_leave_and_its_role() {
        let app = caller(&[], &["Jobs.Run"], true);
        let users = AccessPolicy::any_scope_or_role(["x"], ["Jobs.Run"]);
        assert_eq!(kind(&users, &app), Some(K::AppOnlyNotAllowed));
        assert_eq!(kind(&users.clone().allow_app_only(), &app), None);
        let other = AccessPolicy::any_role(["Other"]).allow_app_only();
        assert_eq!(kind(&other, &app), Some(K::InsufficientScope));
        let without_role = caller(&["x"], &[], true);
        let any = AccessPolicy::any_user().allow_app_only();
        assert_eq!(kind(&any, &without_role), Some(K::InsufficientScope));
        for unnamed in [AccessPolicy::any_scope(["x"]), AccessPolicy::any_user()] {
            let unnamed = unnamed.allow_app_only();
            assert_eq!(kind(&unnamed, &app), Some(K::InsufficientScope));
        }
        let forged = caller(&["x"], &["Jobs.Run"], true);
        assert_eq!(kind(&users, &forged), Some(K::AppOnlyNotAllowed));
    }

    #[test]
    fn a_user_does_not_pass_as_an_application() {
        let apps = AccessPolicy::any_role(["r"]).require_app_only();
        assert!(kind(&apps, &caller(&["x"], &["r"], false)).is_some());
        assert_eq!(kind(&apps, &caller(&[], &["r"], true)), None);
    }

    #[test]
    fn scope_or_role_takes_either() {
        let policy = AccessPolicy::any_scope_or_role(["s"], ["r"]);
        assert_eq!(kind(&policy, &caller(&["s"], &[], false)), None);
        assert_eq!(kind(&policy, &caller(&["x"], &["r"], false)), None);
        assert!(kind(&policy, &caller(&["x"], &["y"], false)).is_some());
    }

    #[test]
    fn a_role_may_be_wanted_besides_the_scope() {
        let policy = AccessPolicy::any_scope(["s"]).and_any_role(["r", "q"]);
        assert_eq!(kind(&policy, &caller(&["s"], &["q"], false)), None);
        assert!(kind(&policy, &caller(&["s"], &["x"], false)).is_some());
        assert!(kind(&policy, &caller(&["s"], &[], false)).is_some());
        assert!(kind(&policy, &caller(&["x"], &["r"], false)).is_some());
        let either = AccessPolicy::any_scope_or_role(["s"], ["r"]).and_any_role(["r"]);
        assert!(kind(&either, &caller(&["s"], &[], false)).is_some());
    }

    #[test]
    fn other_applications_are_refused_where_one_is_named() {
        let policy = AccessPolicy::any_user().client("other");
        assert_eq!(
            kind(&policy, &caller(&["s"], &[], false)),
            Some(K::ClientNotAllowed)
        );
        let ours = policy.client("client");
        assert_eq!(kind(&ours, &caller(&["s"], &[], false)), None);
    }
}
