//! The settings of one route.

use super::{Key, Kind};

/// The settings of a `[[route]]`, in the file only. `identity_headers` stands beside them: its keys are claims.
pub(crate) const ROUTE_KEYS: &[Key] = &[
    in_the_file(
        "path",
        Kind::Text,
        "Which paths: `/x` is that path, `/x/*` is it and all below",
    ),
    in_the_file(
        "hosts",
        Kind::List,
        "Which hosts, `api.example.com` or `*.example.com` [default: any]",
    ),
    in_the_file("methods", Kind::List, "Which methods [default: all]"),
    in_the_file(
        "access",
        Kind::Text,
        "Who may: `required` (a user), `app-only` (an application), `users-and-apps` (either; an application by its role), `public` (anybody) [default: required]",
    ),
    in_the_file(
        "scopes",
        Kind::List,
        "Scopes of which a caller needs one, or what `permission` says [default: accept.scopes]",
    ),
    in_the_file(
        "roles",
        Kind::List,
        "App roles of which a caller needs one [default: accept.roles]",
    ),
    in_the_file(
        "permission",
        Kind::Text,
        "What a user needs: `any-scope` or `all-scopes` (and a role where roles are named), or `scope-or-role` [default: accept.permission]",
    ),
    in_the_file(
        "clients",
        Kind::List,
        "Applications that may call, by client id [default: accept.clients]",
    ),
    in_the_file(
        "upstream",
        Kind::Text,
        "The name of the upstream [default: the one that `upstream` gives]",
    ),
    in_the_file(
        "downstream",
        Kind::OneOrList,
        "The downstream whose token the upstream gets, or a list of them [default: none]",
    ),
    in_the_file(
        "pass_caller_token",
        Kind::Switch,
        "Forward the caller's own token: the upstream can then call this API as the user",
    ),
    in_the_file(
        "upgrade",
        Kind::List,
        "To which protocols callers may change; \"websocket\" is the only one [default: none]",
    ),
    in_the_file(
        "outlive_token",
        Kind::Switch,
        "Let streams go on after the caller's token has expired",
    ),
    in_the_file(
        "trailers",
        Kind::List,
        "Fields that may stand after bodies, either way, besides `grpc-*`: names, or `x-meta-*` for all that begin so [default: none]",
    ),
    in_the_file(
        "server_timing",
        Kind::Switch,
        "Say in answers (`Server-Timing`) where the time went, and so whether a token was at hand",
    ),
    in_the_file(
        "cors.origins",
        Kind::List,
        "Web pages of which origins may read the answers; `*` alone: of any",
    ),
    in_the_file(
        "cors.methods",
        Kind::List,
        "Methods that pages may use [default: those of the route]",
    ),
    in_the_file(
        "cors.headers",
        Kind::List,
        "Request headers that pages may set [default: authorization, content-type]",
    ),
    in_the_file(
        "cors.expose",
        Kind::List,
        "Headers of answers that pages may read, besides WWW-Authenticate, Retry-After and X-Request-Id",
    ),
    in_the_file(
        "cors.max_age",
        Kind::Duration,
        "How long a browser may remember the answer to a preflight",
    ),
    in_the_file("cors.credentials", Kind::Switch, "Let pages send cookies"),
    in_the_file(
        "limits.body_bytes",
        Kind::Number,
        "The largest request body; beyond: 413 [default: limits.body_bytes]",
    ),
    in_the_file(
        "limits.requests",
        Kind::Number,
        "Requests of this route at once; beyond: 503 [default: any number]",
    ),
    in_the_file(
        "limits.response_timeout",
        Kind::Duration,
        "How long the upstream may take to begin its answer [default: limits.response_timeout]",
    ),
    in_the_file(
        "limits.idle_timeout",
        Kind::Duration,
        "How long a body may stand still [default: limits.idle_timeout]",
    ),
    in_the_file(
        "limits.total_timeout",
        Kind::Duration,
        "How long a request may take from its head to the end of its answer [default: limits.total_timeout]",
    ),
];

pub(super) const fn in_the_file(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key {
        name,
        kind,
        environment: &[],
        flag: "",
        value: "",
        help,
    }
}
