//! Tokens, and when to get new ones.

use std::fmt;

use oauth2::basic::BasicTokenType;
use oauth2::{
    AccessToken, ExtraTokenFields, RefreshToken, StandardTokenResponse, TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::error::EntraError;
use crate::clock;

/// The success body of the token endpoint.
pub(super) type TokenAnswer = StandardTokenResponse<IdTokenField, BasicTokenType>;

/// What OpenID Connect adds to it.
#[derive(Deserialize, Serialize)]
pub(super) struct IdTokenField {
    id_token: Option<String>,
}

impl IdTokenField {
    pub(super) fn id_token(&self) -> Result<&str, EntraError> {
        self.id_token
            .as_deref()
            .ok_or(EntraError::Unusable("an answer without ID token"))
    }
}

impl fmt::Debug for IdTokenField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdTokenField").finish_non_exhaustive()
    }
}

impl ExtraTokenFields for IdTokenField {}

/// How old tokens are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Age {
    Fresh,
    /// The time for renewal has come, and they are good for a while.
    Due,
    /// They may be over before they are used.
    Ending,
    Over,
}

/// The tokens of a user who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: AccessToken,
    pub(crate) refresh: Option<RefreshToken>,
    expires: OffsetDateTime,
    renew: OffsetDateTime,
}

impl Tokens {
    pub(super) fn new(answer: &TokenAnswer, previous: Option<&RefreshToken>) -> Self {
        /// Without `expires_in` (it is only recommended), and at most.
        const LIFETIME: (Duration, Duration) = (Duration::HOUR, Duration::WEEK);
        /// So long before the end a token is renewed, or a tenth of its life if that is shorter.
        const MARGIN: Duration = Duration::minutes(5);

        let lifetime = answer
            .expires_in()
            .map_or(LIFETIME.0, |lifetime| {
                Duration::try_from(lifetime).unwrap_or(LIFETIME.1)
            })
            .min(LIFETIME.1);
        let expires = clock::now() + lifetime;
        Self {
            access: answer.access_token().clone(),
            refresh: answer.refresh_token().or(previous).cloned(),
            expires,
            renew: expires - MARGIN.min(lifetime / 10),
        }
    }

    /// Tokens that were kept somewhere, with their [`times`](Self::times).
    pub(crate) fn restored(
        access: AccessToken,
        refresh: Option<RefreshToken>,
        (expires, renew): (OffsetDateTime, OffsetDateTime),
    ) -> Self {
        Self {
            access,
            refresh,
            expires,
            renew,
        }
    }

    /// When they end, and from when on they are renewed.
    pub(crate) fn times(&self) -> (OffsetDateTime, OffsetDateTime) {
        (self.expires, self.renew)
    }

    pub(crate) fn age(&self) -> Age {
        let now = clock::now();
        // The last fifth of the time for renewals.
        let ending = self.expires - (self.expires - self.renew) / 5;
        if self.expires <= now {
            Age::Over
        } else if self.renew > now {
            Age::Fresh
        } else if ending <= now {
            Age::Ending
        } else {
            Age::Due
        }
    }
}
