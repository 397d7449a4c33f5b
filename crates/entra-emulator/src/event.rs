//! What happened, for tests to ask: sign-ins, consents, redemptions, exchanges.

/// Something the emulator did for a user. Identifiers only, never a token.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A user proved who they are on the sign-in page.
    SignedIn {
        /// User principal name.
        username: String,
        /// Whether a second factor was used.
        mfa: bool,
    },
    /// A user signed out.
    SignedOut {
        /// User principal name.
        username: String,
    },
    /// A user accepted the consent page.
    Consented {
        /// User principal name.
        username: String,
        /// Client id of the application they were signing in to.
        client_id: String,
    },
    /// A user declined the consent page.
    ConsentDeclined {
        /// User principal name.
        username: String,
        /// Client id of the application they were signing in to.
        client_id: String,
    },
    /// An authorization code became tokens.
    CodeRedeemed {
        /// User principal name.
        username: String,
        /// Client id.
        client_id: String,
    },
    /// A refresh token became tokens.
    Refreshed {
        /// User principal name.
        username: String,
        /// Client id.
        client_id: String,
    },
    /// An application got a token for itself.
    AppTokenIssued {
        /// Client id of the application.
        client_id: String,
        /// Client id of the resource the token is for.
        resource: String,
    },
    /// An assertion was exchanged On-Behalf-Of.
    Exchanged {
        /// User principal name.
        username: String,
        /// Client id of the middle tier.
        client_id: String,
        /// Client id of the resource the new token is for.
        resource: String,
        /// The new token's `uti`.
        uti: String,
    },
}
