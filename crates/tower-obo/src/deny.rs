//! Who is cut off although the token is good.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;

use crate::Principal;

/// Callers that are refused whatever their tokens say: 403 `denied`, from the next request on, for
/// tokens that are known too.
///
/// Access tokens cannot be called back: one that Entra ID has issued is good for an hour and more,
/// also after its user has been disabled. This is for the day on which that is too long. Clones
/// share one list, so that it can be given to a core (or to several) and replaced later. An empty one
/// costs a request the load of a number.
///
/// ```
/// use tower_obo::{Core, Credential, DenyList, DenyRule, Entra};
///
/// let deny = DenyList::default();
/// let id = "11111111-2222-3333-4444-555555555555";
/// let core = Core::builder(Entra::tenant(id))
///     .client(id, Credential::secret("secret"))
///     .deny_list(deny.clone())
///     .build()?;
///
/// // Later, and for as long as it has to be:
/// deny.replace([DenyRule::user(id, "a11ce000-0000-4000-8000-000000000001")]);
/// assert_eq!(deny.len(), 1);
/// # Ok::<_, tower_obo::ConfigErrors>(())
/// ```
#[derive(Clone, Default)]
pub struct DenyList(Arc<Inner>);

#[derive(Default)]
struct Inner {
    len: AtomicUsize,
    rules: ArcSwap<Rules>,
    /// Both are of one list, whoever replaces it at the same time.
    replacing: Mutex<()>,
}

/// Rules, each found by the one of its claims that fewest tokens share. In the order of [`Claim`].
type Rules = [HashMap<Box<str>, Vec<DenyRule>>; CLAIMS];

/// Claims that rules may name, those that fewest tokens share first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Claim {
    TokenId,
    ObjectId,
    Subject,
    Client,
    Tenant,
}

const ALL: [Claim; CLAIMS] = [
    Claim::TokenId,
    Claim::ObjectId,
    Claim::Subject,
    Claim::Client,
    Claim::Tenant,
];
const CLAIMS: usize = 5;

impl Claim {
    const fn name(self) -> &'static str {
        match self {
            Self::TokenId => "uti",
            Self::ObjectId => "oid",
            Self::Subject => "sub",
            Self::Client => "azp",
            Self::Tenant => "tid",
        }
    }

    fn of(self, principal: &Principal) -> Option<&str> {
        match self {
            Self::TokenId => principal.token_id(),
            Self::ObjectId => principal.object_id(),
            Self::Subject => principal.subject(),
            Self::Client => principal.client_id(),
            Self::Tenant => Some(principal.tenant_id()),
        }
    }

    /// Ids that are GUIDs are written in both cases.
    const fn is_guid(self) -> bool {
        matches!(self, Self::ObjectId | Self::Client | Self::Tenant)
    }

    fn fold(self, value: &str) -> std::borrow::Cow<'_, str> {
        if self.is_guid() && value.bytes().any(|byte| byte.is_ascii_uppercase()) {
            value.to_ascii_lowercase().into()
        } else {
            value.into()
        }
    }
}

/// Whom to refuse: whoever has all the claims of the rule.
///
/// GUIDs (`tid`, `oid`, `azp`) may be written in capitals.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct DenyRule {
    claims: [Option<Box<str>>; CLAIMS],
}

impl DenyRule {
    /// A user, or the service principal of an application: `tid` and `oid`.
    #[must_use]
    pub fn user(tenant_id: &str, object_id: &str) -> Self {
        let user = Self::default().with(Claim::Tenant, tenant_id);
        user.with(Claim::ObjectId, object_id)
    }

    /// A user of another provider than Entra ID: `sub`.
    #[must_use]
    pub fn subject(subject: &str) -> Self {
        Self::default().with(Claim::Subject, subject)
    }

    /// The application that asked for the token, whoever its user is: `azp`, in v1 tokens `appid`.
    #[must_use]
    pub fn application(client_id: &str) -> Self {
        Self::default().with(Claim::Client, client_id)
    }

    /// One token: `uti`, as Entra's sign-in log has it.
    #[must_use]
    pub fn token(token_id: &str) -> Self {
        Self::default().with(Claim::TokenId, token_id)
    }

    /// Everybody of a tenant: `tid`.
    #[must_use]
    pub fn tenant(tenant_id: &str) -> Self {
        Self::default().with(Claim::Tenant, tenant_id)
    }

    /// Only who is covered by both: a user of one application, say. Where both name the same claim
    /// the other's counts.
    ///
    /// ```
    /// # use tower_obo::DenyRule;
    /// let user = DenyRule::user("contoso", "alice").and(DenyRule::application("the lost laptop's"));
    /// assert_eq!(user.to_string(), "oid=alice azp=the lost laptop's tid=contoso");
    /// ```
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        ALL.into_iter()
            .zip(other.claims)
            .filter_map(|(claim, value)| Some((claim, value?)))
            .fold(self, |rule, (claim, value)| rule.with(claim, &value))
    }

    fn with(mut self, claim: Claim, value: &str) -> Self {
        if let Some(place) = self.claims.get_mut(claim as usize) {
            *place = Some(claim.fold(value).into());
        }
        self
    }

    fn claims(&self) -> impl Iterator<Item = (Claim, &str)> {
        let all = ALL.into_iter().zip(&self.claims);
        all.filter_map(|(claim, value)| Some((claim, value.as_deref()?)))
    }

    fn covers(&self, principal: &Principal) -> bool {
        self.claims().all(|(claim, wanted)| {
            let has = claim.of(principal);
            has.is_some_and(|has| claim.fold(has) == wanted)
        })
    }
}

impl DenyList {
    /// Takes these rules in place of those that there were. One without any claim covers nobody.
    pub fn replace(&self, rules: impl IntoIterator<Item = DenyRule>) {
        let mut sorted = Rules::default();
        let mut len = 0;
        for rule in rules {
            let first = rule.claims().next();
            let Some((claim, value)) = first.map(|(claim, value)| (claim, value.into())) else {
                continue;
            };
            if let Some(found_by) = sorted.get_mut(claim as usize) {
                found_by.entry(value).or_default().push(rule);
                len += 1;
            }
        }
        let _replacing = self.0.replacing.lock();
        self.0.rules.store(Arc::new(sorted));
        // Whoever sees that there are some sees which.
        self.0.len.store(len, Ordering::Release);
    }

    /// Whether this caller is cut off.
    #[must_use]
    pub fn covers(&self, principal: &Principal) -> bool {
        !self.is_empty() && self.finds(principal)
    }

    #[cold]
    fn finds(&self, principal: &Principal) -> bool {
        let rules = self.0.rules.load();
        ALL.into_iter().zip(&**rules).any(|(claim, found_by)| {
            if found_by.is_empty() {
                return false;
            }
            let found = claim
                .of(principal)
                .and_then(|value| found_by.get(&*claim.fold(value)));
            found.is_some_and(|rules| rules.iter().any(|rule| rule.covers(principal)))
        })
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len.load(Ordering::Acquire)
    }

    /// Whether nobody is cut off.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for DenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenyList")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for DenyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (claim, value)) in self.claims().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{}={value}", claim.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for DenyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DenyRule({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Timestamp, principal::Claims};

    fn caller(tenant: &str, oid: Option<&str>, client: &str, token: &str) -> Principal {
        Principal::new(Claims {
            issuer: "i".into(),
            tenant_id: tenant.into(),
            object_id: oid.map(Into::into),
            subject: Some("sub".into()),
            client_id: Some(client.into()),
            scopes: [].into(),
            roles: [].into(),
            app_only: false,
            claims_capable: false,
            token_id: Some(token.into()),
            expires_at: Timestamp::default(),
            kept: Box::default(),
        })
    }

    fn listed(rule: DenyRule) -> DenyList {
        let list = DenyList::default();
        // Others beside it change nothing.
        list.replace([DenyRule::token("another"), rule, DenyRule::user("a", "b")]);
        list
    }

    #[test]
    fn a_rule_covers_who_has_all_its_claims_and_nobody_else() {
        let alice = caller("contoso", Some("alice"), "spa", "Uti-1");
        let user = DenyRule::user("contoso", "alice");
        for rule in [
            user.clone(),
            DenyRule::user("CONTOSO", "Alice"),
            DenyRule::subject("sub"),
            DenyRule::application("SPA"),
            DenyRule::token("Uti-1"),
            DenyRule::tenant("contoso"),
            user.clone().and(DenyRule::application("spa")),
        ] {
            assert!(listed(rule.clone()).covers(&alice), "{rule}");
        }
        for rule in [
            DenyRule::user("fabrikam", "alice"),
            DenyRule::user("contoso", "bob"),
            DenyRule::subject("SUB"),
            DenyRule::token("uti-1"),
            DenyRule::application("alice"),
            user.and(DenyRule::application("other")),
            DenyRule::default(),
        ] {
            assert!(!listed(rule.clone()).covers(&alice), "{rule}");
        }
        let nobody = caller("contoso", None, "x", "y");
        assert!(!listed(DenyRule::user("contoso", "alice")).covers(&nobody));
    }

    #[test]
    fn several_rules_for_one_user_are_all_looked_at() {
        let list = DenyList::default();
        let user = || DenyRule::user("t", "o");
        list.replace(["a", "b"].map(|client| user().and(DenyRule::application(client))));
        assert!(list.covers(&caller("t", Some("o"), "b", "u")));
        assert!(!list.covers(&caller("t", Some("o"), "c", "u")));
    }

    #[test]
    fn a_list_is_replaced_as_a_whole_and_for_all_who_have_it() {
        let list = DenyList::default();
        let shared = list.clone();
        list.replace([DenyRule::tenant("t")]);
        let caller = caller("t", None, "x", "y");
        assert!(shared.covers(&caller) && shared.len() == 1);
        list.replace([]);
        assert!(!shared.covers(&caller) && shared.is_empty());
    }
}
