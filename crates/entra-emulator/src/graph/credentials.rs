//! What an application proves itself with: secrets that Graph makes, and certificates.
//!
//! <https://learn.microsoft.com/graph/api/application-addpassword>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::{Done, GraphError};
use super::applications::WRITE;
use super::directory::{Call, Key};
use super::project::text;
use super::{schema, view};
use crate::clock::{from_rfc3339, rfc3339_time};
use crate::directory::{self, Application, Certificate, Password};
use crate::encoding::{guid, random};

/// Two years, unless the caller says.
const LIFETIME: i64 = 2 * 365 * 86_400;

pub(super) fn add_password(call: &Call<'_>, key: &Key<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    let written = schema::read(call.body, schema::ADD_PASSWORD)?;
    let asked = written.get("passwordCredential").unwrap_or(&Value::Null);
    let at = |name: &str| time(asked, name);
    let start = at("startDateTime")?.unwrap_or_else(|| call.state.now());
    let end = at("endDateTime")?.unwrap_or(start.saturating_add(LIFETIME));
    if end <= start {
        return Err(GraphError::invalid(
            "endDateTime",
            "it must come after startDateTime.",
        ));
    }
    let password = Password {
        key_id: guid(),
        display_name: asked["displayName"].as_str().map(str::to_owned),
        start,
        end,
        secret: secret(),
    };
    let shown = json!({
        "@odata.context":
            format!("{}/v1.0/$metadata#microsoft.graph.passwordCredential", call.state.arm_url),
        "customKeyIdentifier": null,
        "displayName": password.display_name,
        "endDateTime": rfc3339_time(end),
        "hint": &password.secret[..3],
        "keyId": password.key_id,
        "secretText": password.secret,
        "startDateTime": rfc3339_time(start),
    });
    call.change(key, |app, _| {
        app.secrets.push(password.secret.clone());
        app.registration.passwords.push(password);
        Ok(Done::Read(shown))
    })
}

pub(super) fn remove_password(call: &Call<'_>, key: &Key<'_>) -> Result<Done, GraphError> {
    call.caller.needs_one_of(WRITE)?;
    let written = schema::read(call.body, schema::REMOVE_PASSWORD)?;
    let Some(key_id) = written.get("keyId").and_then(Value::as_str) else {
        return Err(GraphError::missing("keyId"));
    };
    call.change(key, |app, _| {
        let named = |secret: &String| match app.registration.password(secret) {
            Some(known) => known.key_id == key_id,
            None => view::secret_id(app, secret) == key_id,
        };
        let Some(secret) = app.secrets.iter().find(|secret| named(secret)).cloned() else {
            return Err(GraphError::bad(format!(
                "No password credential found with keyId '{key_id}'."
            )));
        };
        app.secrets.retain(|own| *own != secret);
        app.registration
            .passwords
            .retain(|known| known.secret != secret);
        Ok(Done::Changed)
    })
}

/// As Entra ID's secrets look.
fn secret() -> String {
    let mut random = random(30);
    random.truncate(37);
    random.insert_str(3, "8Q~");
    random
}

/// Puts these certificates in the place of the registered ones. One that is registered need not be sent again: its
/// `keyId` stands for it.
pub(super) fn replace_keys(app: &mut Application, written: &Value) -> Result<(), GraphError> {
    let mut certificates = Vec::new();
    let mut keys = Vec::new();
    for one in written.as_array().into_iter().flatten() {
        if one["type"] != "AsymmetricX509Cert" || one["usage"] != "Verify" {
            return Err(GraphError::invalid(
                "keyCredentials",
                "entra-emulator knows the type AsymmetricX509Cert with the usage Verify.",
            ));
        }
        let certificate = match one["key"].as_str() {
            Some(encoded) => read(encoded)?,
            None => {
                let registered = app.certificates.iter();
                let mut named = registered.filter(|own| one["keyId"] == view::key_id(app, own));
                named.next().cloned().ok_or_else(|| {
                    GraphError::invalid("keyCredentials", "a new certificate needs its key.")
                })?
            }
        };
        let key_id = match one["keyId"].as_str() {
            Some(id) => id.to_owned(),
            None => guid(),
        };
        keys.push(directory::Key {
            key_id,
            display_name: one["displayName"].as_str().map(str::to_owned),
            start: time(one, "startDateTime")?.unwrap_or(certificate.not_before()),
            end: time(one, "endDateTime")?.unwrap_or(certificate.not_after()),
            thumbprint: certificate.thumbprint_hex(),
        });
        certificates.push(certificate);
    }
    app.certificates = certificates;
    app.registration.keys = keys;
    Ok(())
}

/// The certificate in base64, as Graph has it; or a PEM file in base64, which is taken as well.
fn read(encoded: &str) -> Result<Certificate, GraphError> {
    let wrong = |why: &str| GraphError::invalid("keyCredentials.key", why);
    let compact: String = encoded.split_ascii_whitespace().collect();
    let bytes = STANDARD
        .decode(compact)
        .map_err(|_| wrong("it is not base64."))?;
    let pem = std::str::from_utf8(&bytes).ok();
    let read = match pem.filter(|text| text.contains("-----BEGIN CERTIFICATE-----")) {
        Some(pem) => Certificate::from_pem(pem),
        None => Certificate::from_der(bytes),
    };
    read.map_err(|error| wrong(&error.to_string()))
}

fn time(object: &Value, name: &str) -> Result<Option<i64>, GraphError> {
    match &object[name] {
        Value::Null => Ok(None),
        written => from_rfc3339(&text(written))
            .map(Some)
            .ok_or_else(|| GraphError::invalid(name, "it is no time as 2026-01-01T00:00:00Z.")),
    }
}
