//! A registration as Graph shows it.

use serde_json::{Map, Value, json};

use super::permission_ids::{id_of, roles, scopes};
use crate::clock::rfc3339_time;
use crate::directory::{Application, Certificate, Directory, TokenVersion};
use crate::encoding::guid_of;

/// Everything of an application.
pub(super) fn application(app: &Application, directory: &Directory) -> Value {
    let mut properties = properties(app, directory);
    let domain = directory.tenant(&app.tenant).map(|tenant| &tenant.domain);
    for (name, value) in [
        ("id", json!(app.object_id())),
        ("appId", json!(app.client_id)),
        ("createdDateTime", json!(created(app))),
        ("deletedDateTime", Value::Null),
        ("publisherDomain", json!(domain)),
        ("passwordCredentials", passwords(app)),
        ("keyCredentials", keys(app)),
    ] {
        properties.insert(name.to_owned(), value);
    }
    Value::Object(properties)
}

/// Everything of its service principal in a tenant.
pub(super) fn principal(app: &Application, tenant: &str, directory: &Directory) -> Value {
    let properties = properties(app, directory);
    let names = std::iter::once(&app.client_id).chain(&app.app_id_uris);
    json!({
        "id": app.principal_id(tenant),
        "accountEnabled": true,
        "appDisplayName": app.display_name,
        "appId": app.client_id,
        "appOwnerOrganizationId": app.tenant,
        "appRoleAssignmentRequired": app.assignment_required,
        "appRoles": properties["appRoles"],
        "createdDateTime": created(app),
        "deletedDateTime": null,
        "displayName": app.display_name,
        "homepage": properties["web"]["homePageUrl"],
        "keyCredentials": [],
        "oauth2PermissionScopes": properties["api"]["oauth2PermissionScopes"],
        "passwordCredentials": [],
        "replyUrls": app.redirect_uris,
        "servicePrincipalNames": names.collect::<Vec<_>>(),
        "servicePrincipalType": "Application",
        "signInAudience": properties["signInAudience"],
        "tags": properties["tags"],
    })
}

/// What was written by way of Graph, or what it would be for a registration of the configuration.
pub(super) fn properties(app: &Application, directory: &Directory) -> Map<String, Value> {
    match &app.registration.properties {
        Some(written) => written.clone(),
        None => derived(app, directory),
    }
}

fn derived(app: &Application, directory: &Directory) -> Map<String, Value> {
    let version = match app.token_version {
        TokenVersion::V1 => Value::Null,
        TokenVersion::V2 => json!(2),
    };
    let audience = if app.multi_tenant || app.tenant.is_empty() {
        "AzureADMultipleOrgs"
    } else {
        "AzureADMyOrg"
    };
    let claims = if app.idtyp {
        json!({
            "accessToken": [
                {"name": "idtyp", "source": null, "essential": false, "additionalProperties": []},
            ],
            "idToken": [],
            "saml2Token": [],
        })
    } else {
        Value::Null
    };
    let properties = json!({
        "api": {
            "acceptMappedClaims": null,
            "knownClientApplications": app.known_client_applications,
            "oauth2PermissionScopes": exposed(app),
            "preAuthorizedApplications": [],
            "requestedAccessTokenVersion": version,
        },
        "appRoles": app_roles(app),
        "description": null,
        "displayName": app.display_name,
        "groupMembershipClaims": null,
        "identifierUris": app.app_id_uris,
        "info": {},
        "isDeviceOnlyAuthSupported": null,
        "isFallbackPublicClient": null,
        "notes": null,
        "optionalClaims": claims,
        "parentalControlSettings": {},
        "publicClient": {"redirectUris": []},
        "requiredResourceAccess": required(app, directory),
        "samlMetadataUrl": null,
        "serviceManagementReference": null,
        "signInAudience": audience,
        "spa": {"redirectUris": []},
        "tags": [],
        "web": {
            "homePageUrl": null,
            "implicitGrantSettings": {
                "enableAccessTokenIssuance": false,
                "enableIdTokenIssuance": false,
            },
            "logoutUrl": null,
            "redirectUriSettings": [],
            "redirectUris": app.redirect_uris,
        },
    });
    match properties {
        Value::Object(properties) => properties,
        _ => Map::new(),
    }
}

fn exposed(app: &Application) -> Vec<Value> {
    let each = scopes(app).into_iter().map(|(value, id)| {
        let text = app
            .scope(&value)
            .map_or(&*value, |scope| &scope.display_name);
        json!({
            "adminConsentDescription": text,
            "adminConsentDisplayName": text,
            "id": id,
            "isEnabled": true,
            "type": "User",
            "userConsentDescription": text,
            "userConsentDisplayName": text,
            "value": value,
        })
    });
    each.collect()
}

fn app_roles(app: &Application) -> Vec<Value> {
    let each = roles(app).into_iter().map(|(value, id)| {
        json!({
            "allowedMemberTypes": ["Application"],
            "description": value,
            "displayName": value,
            "id": id,
            "isEnabled": true,
            "origin": "Application",
            "value": value,
        })
    });
    each.collect()
}

fn required(app: &Application, directory: &Directory) -> Vec<Value> {
    let each = app.required.iter().map(|permission| {
        let resource = directory.application(&permission.resource);
        let access = permission.scopes.iter().map(|value| {
            let known = resource.and_then(|resource| {
                let mut all = scopes(resource).into_iter();
                all.find(|(known, _)| known == value)
            });
            let id = known.map_or_else(|| id_of(app, value), |(_, id)| id);
            json!({"id": id, "type": "Scope"})
        });
        json!({
            "resourceAppId": permission.resource,
            "resourceAccess": access.collect::<Vec<_>>(),
        })
    });
    each.collect()
}

/// Client secrets, without the secret. Those that Graph did not make have an id of their place in the world and no
/// dates.
fn passwords(app: &Application) -> Value {
    let each = app
        .secrets
        .iter()
        .map(|secret| match app.registration.password(secret) {
            Some(known) => json!({
                "customKeyIdentifier": null,
                "displayName": known.display_name,
                "endDateTime": rfc3339_time(known.end),
                "hint": secret.get(..3),
                "keyId": known.key_id,
                "secretText": null,
                "startDateTime": rfc3339_time(known.start),
            }),
            None => json!({
                "customKeyIdentifier": null,
                "displayName": null,
                "endDateTime": null,
                "hint": secret.get(..3),
                "keyId": secret_id(app, secret),
                "secretText": null,
                "startDateTime": null,
            }),
        });
    each.collect()
}

/// The id of a secret that Graph did not make.
pub(super) fn secret_id(app: &Application, secret: &str) -> String {
    guid_of(&format!("secret {secret} of {}", app.client_id))
}

/// Certificates, without the certificate, which is shown when it is asked for by name only.
fn keys(app: &Application) -> Value {
    let each = app.certificates.iter().map(|certificate| {
        let thumbprint = certificate.thumbprint_hex();
        let known = app.registration.key(&thumbprint);
        json!({
            "customKeyIdentifier": thumbprint,
            "displayName": known.and_then(|known| known.display_name.as_deref()),
            "endDateTime": rfc3339_time(known.map_or(certificate.not_after(), |known| known.end)),
            "key": null,
            "keyId": key_id(app, certificate),
            "startDateTime": rfc3339_time(known.map_or(certificate.not_before(), |known| known.start)),
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
        })
    });
    each.collect()
}

/// The id of a certificate, whoever registered it.
pub(super) fn key_id(app: &Application, certificate: &Certificate) -> String {
    let thumbprint = certificate.thumbprint_hex();
    app.registration.key(&thumbprint).map_or_else(
        || guid_of(&format!("certificate {thumbprint} of {}", app.client_id)),
        |known| known.key_id.clone(),
    )
}

fn created(app: &Application) -> Option<String> {
    app.registration.made.map(rfc3339_time)
}
