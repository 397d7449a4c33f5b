//! Whose a downstream token is.

use super::Want;
use crate::digest::Digest;

/// Stands for a user beside a token, so that what is theirs can be found without the user's ids being
/// kept with each. Eight bytes: should two users ever have the same, one is exchanged for once more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Owner(u64);

impl Owner {
    pub(crate) fn user(tenant_id: &str, object_id: &str) -> Self {
        let [tenant, user] = [tenant_id, object_id].map(str::to_ascii_lowercase);
        Self::hash(&[b"user", tenant.as_bytes(), user.as_bytes()])
    }

    /// Of another provider than Entra ID.
    pub(crate) fn subject(issuer: &str, subject: &str) -> Self {
        Self::hash(&[b"subject", issuer.as_bytes(), subject.as_bytes()])
    }

    /// `None` for a token of the application's own.
    pub(super) fn of(want: &Want) -> Option<Self> {
        match (&want.subject, &want.object_id) {
            (Some((issuer, subject)), _) => Some(Self::subject(issuer, subject)),
            (None, Some(object_id)) => Some(Self::user(&want.tenant, object_id)),
            (None, None) => None,
        }
    }

    pub(super) const fn bytes(self) -> [u8; 8] {
        self.0.to_ne_bytes()
    }

    /// One of so many numbers, the same for the same user.
    pub(super) const fn bucket(self, count: usize) -> usize {
        (self.0 % count as u64) as usize
    }

    fn hash(fields: &[&[u8]]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *Digest::of(fields).bytes();
        Self(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
    }
}
