//! The properties that Graph's objects have, and of which type they are. What it has not is refused, as Graph does: a
//! misspelt setting is no setting.

use serde_json::{Map, Value};

use super::answer::GraphError;
use crate::encoding::is_guid;

/// Type of a property. All but lists may be null.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    Flag,
    Number,
    Guid,
    Texts,
    Guids,
    Object(&'static [Property]),
    Objects(&'static [Property]),
    /// Kept as it is, for it means nothing here.
    Anything,
}

pub(super) type Property = (&'static str, Kind);

/// What can be written of an application.
///
/// <https://learn.microsoft.com/graph/api/resources/application>
pub(super) const APPLICATION: &[Property] = &[
    ("api", Kind::Object(API)),
    ("appRoles", Kind::Objects(ROLE)),
    ("description", Kind::Text),
    ("displayName", Kind::Text),
    ("groupMembershipClaims", Kind::Text),
    ("identifierUris", Kind::Texts),
    ("info", Kind::Anything),
    ("isDeviceOnlyAuthSupported", Kind::Flag),
    ("isFallbackPublicClient", Kind::Flag),
    ("keyCredentials", Kind::Objects(KEY)),
    ("notes", Kind::Text),
    ("optionalClaims", Kind::Object(OPTIONAL_CLAIMS)),
    ("parentalControlSettings", Kind::Anything),
    (
        "publicClient",
        Kind::Object(&[("redirectUris", Kind::Texts)]),
    ),
    ("requiredResourceAccess", Kind::Objects(REQUIRED)),
    ("samlMetadataUrl", Kind::Text),
    ("serviceManagementReference", Kind::Text),
    ("signInAudience", Kind::Text),
    ("spa", Kind::Object(&[("redirectUris", Kind::Texts)])),
    ("tags", Kind::Texts),
    ("web", Kind::Object(WEB)),
];

const API: &[Property] = &[
    ("acceptMappedClaims", Kind::Flag),
    ("knownClientApplications", Kind::Guids),
    ("oauth2PermissionScopes", Kind::Objects(SCOPE)),
    (
        "preAuthorizedApplications",
        Kind::Objects(&[
            ("appId", Kind::Guid),
            ("delegatedPermissionIds", Kind::Guids),
        ]),
    ),
    ("requestedAccessTokenVersion", Kind::Number),
];

const SCOPE: &[Property] = &[
    ("adminConsentDescription", Kind::Text),
    ("adminConsentDisplayName", Kind::Text),
    ("id", Kind::Guid),
    ("isEnabled", Kind::Flag),
    ("origin", Kind::Text),
    ("type", Kind::Text),
    ("userConsentDescription", Kind::Text),
    ("userConsentDisplayName", Kind::Text),
    ("value", Kind::Text),
];

const ROLE: &[Property] = &[
    ("allowedMemberTypes", Kind::Texts),
    ("description", Kind::Text),
    ("displayName", Kind::Text),
    ("id", Kind::Guid),
    ("isEnabled", Kind::Flag),
    ("origin", Kind::Text),
    ("value", Kind::Text),
];

const REQUIRED: &[Property] = &[
    (
        "resourceAccess",
        Kind::Objects(&[("id", Kind::Guid), ("type", Kind::Text)]),
    ),
    ("resourceAppId", Kind::Guid),
];

const WEB: &[Property] = &[
    ("homePageUrl", Kind::Text),
    (
        "implicitGrantSettings",
        Kind::Object(&[
            ("enableAccessTokenIssuance", Kind::Flag),
            ("enableIdTokenIssuance", Kind::Flag),
        ]),
    ),
    ("logoutUrl", Kind::Text),
    ("redirectUriSettings", Kind::Anything),
    ("redirectUris", Kind::Texts),
];

const OPTIONAL_CLAIMS: &[Property] = &[
    ("accessToken", Kind::Objects(CLAIM)),
    ("idToken", Kind::Objects(CLAIM)),
    ("saml2Token", Kind::Objects(CLAIM)),
];

const CLAIM: &[Property] = &[
    ("additionalProperties", Kind::Texts),
    ("essential", Kind::Flag),
    ("name", Kind::Text),
    ("source", Kind::Text),
];

const KEY: &[Property] = &[
    ("customKeyIdentifier", Kind::Text),
    ("displayName", Kind::Text),
    ("endDateTime", Kind::Text),
    ("key", Kind::Text),
    ("keyId", Kind::Guid),
    ("startDateTime", Kind::Text),
    ("type", Kind::Text),
    ("usage", Kind::Text),
];

/// `POST …/addPassword`.
pub(super) const ADD_PASSWORD: &[Property] = &[(
    "passwordCredential",
    Kind::Object(&[
        ("displayName", Kind::Text),
        ("endDateTime", Kind::Text),
        ("startDateTime", Kind::Text),
    ]),
)];

/// `POST …/removePassword`.
pub(super) const REMOVE_PASSWORD: &[Property] = &[("keyId", Kind::Guid)];

/// <https://learn.microsoft.com/graph/api/resources/federatedidentitycredential>
pub(super) const FEDERATED: &[Property] = &[
    ("audiences", Kind::Texts),
    ("description", Kind::Text),
    ("issuer", Kind::Text),
    ("name", Kind::Text),
    ("subject", Kind::Text),
];

/// <https://learn.microsoft.com/graph/api/resources/serviceprincipal>
pub(super) const PRINCIPAL: &[Property] = &[
    ("accountEnabled", Kind::Flag),
    ("appId", Kind::Guid),
    ("appRoleAssignmentRequired", Kind::Flag),
];

/// <https://learn.microsoft.com/graph/api/resources/oauth2permissiongrant>
pub(super) const GRANT: &[Property] = &[
    ("clientId", Kind::Guid),
    ("consentType", Kind::Text),
    ("principalId", Kind::Guid),
    ("resourceId", Kind::Guid),
    ("scope", Kind::Text),
];

/// What Graph sets itself.
const READ_ONLY: &[&str] = &[
    "appId",
    "createdDateTime",
    "deletedDateTime",
    "id",
    "publisherDomain",
    "verifiedPublisher",
];

/// The body of a request, all of whose properties are known and of their type.
pub(super) fn read(body: &[u8], properties: &[Property]) -> Result<Map<String, Value>, GraphError> {
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
        return Err(GraphError::no_json());
    };
    checked(object, properties, "")
}

/// The object without OData's own annotations.
fn checked(
    object: Map<String, Value>,
    properties: &[Property],
    path: &str,
) -> Result<Map<String, Value>, GraphError> {
    let mut known = Map::new();
    for (name, value) in object {
        // `@odata.type` and the like say what we know.
        if name.contains('@') {
            continue;
        }
        let at = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let Some((_, kind)) = properties.iter().find(|(own, _)| *own == name) else {
            return Err(if path.is_empty() && READ_ONLY.contains(&&*name) {
                GraphError::read_only(&name)
            } else {
                GraphError::unknown_property(&at)
            });
        };
        known.insert(name, typed(value, *kind, &at)?);
    }
    Ok(known)
}

fn typed(value: Value, kind: Kind, at: &str) -> Result<Value, GraphError> {
    let wrong = || GraphError::wrong_type(at);
    let guid = |value: &Value| value.as_str().is_some_and(is_guid);
    let good = match (kind, value) {
        (Kind::Object(properties), Value::Object(object)) => {
            return checked(object, properties, at).map(Value::Object);
        }
        (Kind::Objects(properties), Value::Array(all)) => {
            let each = all.into_iter().map(|one| match one {
                Value::Object(object) => checked(object, properties, at).map(Value::Object),
                _ => Err(wrong()),
            });
            return each.collect::<Result<_, _>>().map(Value::Array);
        }
        (Kind::Texts, Value::Array(all)) if all.iter().all(Value::is_string) => Value::Array(all),
        (Kind::Guids, Value::Array(all)) if all.iter().all(guid) => Value::Array(all),
        (Kind::Texts | Kind::Guids | Kind::Objects(_), _) => return Err(wrong()),
        (_, Value::Null) => Value::Null,
        (Kind::Text, text @ Value::String(_)) => text,
        (Kind::Flag, flag @ Value::Bool(_)) => flag,
        (Kind::Number, Value::Number(number)) if number.is_i64() => Value::Number(number),
        (Kind::Guid, value) if guid(&value) => value,
        (Kind::Anything, value) => value,
        (Kind::Object(_) | Kind::Text | Kind::Flag | Kind::Number | Kind::Guid, _) => {
            return Err(wrong());
        }
    };
    Ok(good)
}
