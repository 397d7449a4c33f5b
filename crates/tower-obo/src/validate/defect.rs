//! What can be wrong with a token.

/// Why a token is not valid: for logs, metrics and the fixed description that the caller gets.
///
/// No variant carries anything of the token itself.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TokenDefect {
    /// The signature algorithm is not one that is accepted here, or not one of the key.
    Algorithm,
    /// The token is meant for another API.
    Audience,
    /// A claim that must be there is missing, or one has a type that it must not have.
    Claims,
    /// The header lists critical extensions that are not understood (RFC 7515 §4.1.11).
    Critical,
    /// A member stands twice in the header or in the payload.
    DuplicateMember,
    /// A part is not base64url without padding (RFC 7515 §2).
    Encoding,
    /// The token is encrypted (RFC 7516), which an API behind this library cannot read.
    Encrypted,
    /// `exp` has passed.
    Expired,
    /// The token does not have three parts, or has no header or no signature.
    Form,
    /// The issuer is not trusted, or does not agree with the tenant or with the key.
    Issuer,
    /// The header or the payload is not a JSON object.
    Json,
    /// The header does not name a key.
    KeyId,
    /// `exp` or `nbf` is no sane number.
    Lifetime,
    /// `nbf` lies in the future.
    NotYetValid,
    /// The token is bound to a key of its sender (`cnf`), so it is no bearer token.
    SenderConstrained,
    /// The signature does not verify.
    Signature,
    /// The tenant is not allowed here, or `tid` is no GUID.
    Tenant,
    /// The token is larger than the limit.
    TooLarge,
    /// The header declares another type of token, or compression.
    Type,
    /// No trusted key has the id that the header names.
    UnknownKey,
}

impl TokenDefect {
    /// A fixed word for logs and metric labels.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Algorithm => "algorithm",
            Self::Audience => "audience",
            Self::Claims => "claims",
            Self::Critical => "critical",
            Self::DuplicateMember => "duplicate_member",
            Self::Encoding => "encoding",
            Self::Encrypted => "encrypted",
            Self::Expired => "expired",
            Self::Form => "form",
            Self::Issuer => "issuer",
            Self::Json => "json",
            Self::KeyId => "key_id",
            Self::Lifetime => "lifetime",
            Self::NotYetValid => "not_yet_valid",
            Self::SenderConstrained => "sender_constrained",
            Self::Signature => "signature",
            Self::Tenant => "tenant",
            Self::TooLarge => "too_large",
            Self::Type => "type",
            Self::UnknownKey => "unknown_key",
        }
    }

    /// A fixed sentence for the caller (`error_description`, RFC 6750 §3).
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Algorithm => "the signature algorithm is not accepted",
            Self::Audience => "the token is for another audience",
            Self::Claims => "a required claim is missing or has a wrong type",
            Self::Critical => "the header has critical extensions that are not understood",
            Self::DuplicateMember => "a member stands twice in the token",
            Self::Encoding => "the token is not base64url encoded",
            Self::Encrypted => "the token is encrypted",
            Self::Expired => "the token has expired",
            Self::Form => "the token is not a signed JWT",
            Self::Issuer => "the token is from an issuer that is not trusted",
            Self::Json => "the token does not hold JSON objects",
            Self::KeyId => "the token does not name its signing key",
            Self::Lifetime => "the lifetime of the token is not a sane number",
            Self::NotYetValid => "the token is not valid yet",
            Self::SenderConstrained => "the token is bound to its sender and is no bearer token",
            Self::Signature => "the signature is not valid",
            Self::Tenant => "the token is from a tenant that is not allowed",
            Self::TooLarge => "the token is too large",
            Self::Type => "the token is not of a type that is accepted",
            Self::UnknownKey => "the signing key is not known",
        }
    }
}
