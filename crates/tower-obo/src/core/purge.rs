//! Forgets what is known of a user, and refuses who is cut off.

use std::sync::Arc;

use super::Core;
use crate::{Principal, Rejection, RejectionKind, tokens::Owner};

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Purged {
    /// Validated tokens of the user.
    pub admissions: usize,
    /// Downstream tokens that had been exchanged for the user.
    pub tokens: usize,
}

const DENIED: &str =
    "the operator of this service has cut this caller off, and alone can let it in again";

impl Core {
    /// Drops all that is kept of a user, who is then validated anew and exchanged for anew: after a
    /// change of permissions or a password that was lost, without waiting until the tokens here have
    /// ended. Downstream tokens are dead at once for requests too that have just been given one; an
    /// exchange that is under way is made again.
    ///
    /// It keeps nobody out: the caller's own token is as good as it was, and a
    /// [`DenyList`](crate::DenyList) is for that. In the shared store it deletes what this process
    /// has put or found there: the names of entries cannot be told by whose they are. Tokens that were
    /// issued downstream before are good there until they end.
    ///
    /// It looks at every entry, which takes some milliseconds for a hundred thousand.
    ///
    /// ```
    /// # fn example(core: &tower_obo::Core) {
    /// let contoso = "11111111-2222-3333-4444-555555555555";
    /// let purged = core.purge_user(contoso, "a11ce000-0000-4000-8000-000000000001");
    /// println!("{} tokens were dropped", purged.tokens);
    /// # }
    /// ```
    pub fn purge_user(&self, tenant_id: &str, object_id: &str) -> Purged {
        self.purge(Owner::user(tenant_id, object_id), |principal| {
            principal.tenant_id().eq_ignore_ascii_case(tenant_id)
                && (principal.object_id()).is_some_and(|id| id.eq_ignore_ascii_case(object_id))
        })
    }

    /// The same for a user of another provider than Entra ID, who is known by `iss` and `sub`.
    pub fn purge_subject(&self, issuer: &str, subject: &str) -> Purged {
        self.purge(Owner::subject(issuer, subject), |principal| {
            principal.issuer() == issuer && principal.subject() == Some(subject)
        })
    }

    /// Drops what is kept of callers and their downstream tokens, but for what `successor` goes on with: for a
    /// core that `successor` has taken the place of, and that a stream which runs may hold for hours
    /// yet. Nobody loses a token who has got one, and nothing is deleted in a shared store.
    ///
    /// ```
    /// # fn example(before: &tower_obo::Core, after: &tower_obo::Core) {
    /// before.give_way_to(after);
    /// # }
    /// ```
    pub fn give_way_to(&self, successor: &Self) {
        let (own, other) = (&*self.0, &*successor.0);
        if !Arc::ptr_eq(&own.admissions, &other.admissions) {
            own.admissions.clear();
        }
        if !Arc::ptr_eq(&own.tokens, &other.tokens) {
            own.tokens.clear();
        }
    }

    fn purge(&self, owner: Owner, is_theirs: impl Fn(&Principal) -> bool) -> Purged {
        // Admissions first: one that is made meanwhile finds no token in the store any more.
        let admissions = self.0.admissions.purge(is_theirs);
        let slots = admissions.iter().flat_map(|admission| admission.tokens());
        Purged {
            tokens: self.0.tokens.purge(owner, slots),
            admissions: admissions.len(),
        }
    }

    /// Refuses whoever is cut off.
    pub(super) fn not_denied(&self, principal: &Principal) -> Result<(), Rejection> {
        if self.0.deny.covers(principal) {
            return Err(self.rejection(RejectionKind::Denied, DENIED));
        }
        Ok(())
    }
}
