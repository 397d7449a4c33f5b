//! The settings of one downstream, and of one upstream.

use super::{Key, Kind, route::in_the_file};

/// The settings of a `[downstream.<name>]`, in the file only.
pub(crate) const DOWNSTREAM_KEYS: &[Key] = &[
    in_the_file(
        "scope",
        Kind::Text,
        "What the token is for, https://graph.microsoft.com/User.Read for instance",
    ),
    in_the_file(
        "scopes",
        Kind::List,
        "The same for several scopes of one API",
    ),
    in_the_file(
        "resource_url",
        Kind::Text,
        "In place of scopes: the API's address, for everything that has been consented to there (its /.default)",
    ),
    in_the_file(
        "header",
        Kind::Text,
        "The header in which the upstream gets the token [default: Authorization]",
    ),
    in_the_file(
        "grant",
        Kind::Text,
        "Whose token it is: `on_behalf_of` (the caller's), `client_credentials` (the application's own), or, with [oidc], `token_exchange` [default: on_behalf_of; with [oidc] none]",
    ),
    in_the_file(
        "audience",
        Kind::OneOrList,
        "For whom an exchanged token is (`token_exchange`, RFC 8693), by name",
    ),
    in_the_file(
        "resource",
        Kind::OneOrList,
        "For whom an exchanged token is (`token_exchange`, RFC 8693), by URL",
    ),
];

/// The settings of an `[upstreams.<name>]`, in the file only.
pub(crate) const UPSTREAM_KEYS: &[Key] = &[
    in_the_file(
        "url",
        Kind::Text,
        "The service: http://, https://, h2c:// or unix:/path",
    ),
    in_the_file(
        "addresses",
        Kind::List,
        "Where to connect, addresses with ports [default: what the name resolves to]",
    ),
    in_the_file(
        "ca_file",
        Kind::Text,
        "Authorities that vouch for an https upstream, PEM [default: the public ones]",
    ),
    in_the_file(
        "client_certificate",
        Kind::Text,
        "The certificate that the gateway shows it, PEM [default: none]",
    ),
    in_the_file("client_key", Kind::Text, "The key of that certificate, PEM"),
];
