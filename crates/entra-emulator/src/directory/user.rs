//! Users, what Azure shows them, and what stands in their way.

use std::collections::BTreeMap;
use std::fmt;

use crate::encoding::guid_of;

/// Whether a user must prove more than a password for resources that ask for it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Mfa {
    /// The password is enough everywhere.
    #[default]
    NotRequired,
    /// A second factor is needed (AADSTS50076).
    Required,
    /// A second factor is needed and was never set up (AADSTS50079).
    NotEnrolled,
}

/// A resource group of a subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ResourceGroup {
    /// Name, unique in the subscription.
    pub name: String,
    /// Region: `westeurope`.
    pub location: String,
    /// Resource tags.
    pub tags: BTreeMap<String, String>,
}

impl ResourceGroup {
    /// A group in `westeurope`, without tags.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            location: "westeurope".to_owned(),
            tags: BTreeMap::new(),
        }
    }

    /// Puts it into this region.
    #[must_use]
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = location.into();
        self
    }
}

/// An Azure subscription as ARM lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Subscription {
    /// Subscription id, a GUID.
    pub id: String,
    /// Name for people.
    pub display_name: String,
    /// `Enabled`, `Warned`, `PastDue`, `Disabled` or `Deleted`.
    pub state: String,
    /// Resource tags.
    pub tags: BTreeMap<String, String>,
    /// What is in it.
    pub resource_groups: Vec<ResourceGroup>,
}

impl Subscription {
    /// An enabled subscription; its id is made from its name and so is the same in every run.
    pub fn new(display_name: impl Into<String>) -> Self {
        let display_name = display_name.into();
        Self {
            id: guid_of(&format!("subscription {display_name}")),
            display_name,
            state: "Enabled".to_owned(),
            tags: BTreeMap::new(),
            resource_groups: Vec::new(),
        }
    }

    /// Gives it this id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Gives it this state.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = state.into();
        self
    }

    /// Adds a resource group.
    #[must_use]
    pub fn resource_group(mut self, group: ResourceGroup) -> Self {
        self.resource_groups.push(group);
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }
}

/// A user. The password is for the emulator's own sign-in page and is shown there.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct User {
    /// Object id in the home tenant, a GUID.
    pub oid: String,
    /// Id of the home tenant.
    pub tenant: String,
    /// User principal name: `alice@contoso.example`.
    pub username: String,
    /// Password.
    pub password: String,
    /// Name for people.
    pub display_name: String,
    /// What the sign-in page says about this user.
    pub note: String,
    /// Multi-factor authentication.
    pub mfa: Mfa,
    /// The account is disabled (AADSTS50057).
    pub disabled: bool,
    /// How often the user's sessions were revoked; a token from before the last time is refused
    /// (AADSTS50173). See [`User::revoke_sessions`].
    pub revocations: u32,
    /// Subscriptions in the home tenant.
    pub subscriptions: Vec<Subscription>,
    /// Other tenants the user is a guest of, with the object id they have there.
    pub guest_in: BTreeMap<String, String>,
}

impl User {
    /// A user of a tenant. Object id (`guid_of` the name) and password (`name-demo`, where name is
    /// what stands before the `@`) follow from the user name.
    pub fn new(tenant: impl Into<String>, username: impl Into<String>) -> Self {
        let username = username.into();
        let short = username.split('@').next().unwrap_or_default();
        let mut letters = short.chars();
        let display_name = letters
            .next()
            .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
            .unwrap_or_default();
        Self {
            oid: guid_of(&format!("user {username}")),
            tenant: tenant.into(),
            password: format!("{short}-demo"),
            display_name,
            username,
            note: String::new(),
            mfa: Mfa::NotRequired,
            disabled: false,
            revocations: 0,
            subscriptions: Vec::new(),
            guest_in: BTreeMap::new(),
        }
    }

    /// Gives the user this object id.
    #[must_use]
    pub fn oid(mut self, oid: impl Into<String>) -> Self {
        self.oid = oid.into();
        self
    }

    /// Gives the user this name for people.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = name.into();
        self
    }

    /// Gives the user this password.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = password.into();
        self
    }

    /// What the sign-in page says about this user.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Sets what multi-factor authentication the user needs.
    #[must_use]
    pub fn mfa(mut self, mfa: Mfa) -> Self {
        self.mfa = mfa;
        self
    }

    /// Disables the account.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.disabled = true;
        self
    }

    /// Adds a subscription.
    #[must_use]
    pub fn subscription(mut self, subscription: Subscription) -> Self {
        self.subscriptions.push(subscription);
        self
    }

    /// Makes the user a guest of another tenant, with the object id they have there.
    #[must_use]
    pub fn guest_in(mut self, tenant: impl Into<String>, oid: impl Into<String>) -> Self {
        self.guest_in.insert(tenant.into(), oid.into());
        self
    }

    /// Ends all sessions: every token issued until now is refused from now on.
    pub fn revoke_sessions(&mut self) {
        self.revocations = self.revocations.saturating_add(1);
    }

    /// The user's object id in a tenant; `None` when the user is not there.
    #[must_use]
    pub fn oid_in(&self, tenant: &str) -> Option<&str> {
        if self.tenant.eq_ignore_ascii_case(tenant) {
            Some(&self.oid)
        } else {
            self.guest_in.get(tenant).map(String::as_str)
        }
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        let short = self.username.split('@').next().unwrap_or_default();
        [&*self.username, short, &*self.oid]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("username", &self.username)
            .field("oid", &self.oid)
            .field("tenant", &self.tenant)
            .field("mfa", &self.mfa)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}
