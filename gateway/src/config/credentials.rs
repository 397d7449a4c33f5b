//! `entra.credential`: one of several forms, or what the environment tells of.

use super::{
    Credential, Origin, OtherCredential, Secret, SecretFile,
    keys::{
        CERTIFICATE, FEDERATED_TOKEN_FILE, FORMS, MANAGED_IDENTITY, PASSWORD_FILE, SECRET,
        SECRET_FILE, SEND_X5C,
    },
    resolve::Resolver,
    settings::Given,
    value,
};

/// What Azure's own libraries take of several credentials that are set.
const SELECTION: &str = "AZURE_TOKEN_CREDENTIALS";

const AZURE_SECRET: &str = "AZURE_CLIENT_SECRET";
/// Names the API, or a managed identity where another setting names the API.
const CLIENT_ID: &str = "AZURE_CLIENT_ID";

impl Resolver<'_> {
    pub(super) fn credential(&mut self) -> Option<Credential> {
        let settings = self.settings;
        let given: Vec<_> = FORMS
            .iter()
            .filter_map(|form| Some((*form, settings.text(form)?)))
            .collect();
        let credential = match &given[..] {
            [] if self.has_other_provider() => {
                // What Azure's variables tell of is for Entra ID: another provider that were shown it could use it there.
                if !FORMS.iter().any(|form| self.has_been_said(form)) {
                    let message = "missing: how the gateway proves who it is. Give the client secret's file as `credential = { secret_file = \"…\" }` under [oidc] in the file, --client-secret-file, or OBO_CLIENT_SECRET_FILE=…, or the secret as OBO_CLIENT_SECRET=…, or a `certificate`";
                    self.problems
                        .push(Origin::Nowhere, "oidc.credential", message);
                }
                None
            }
            [] => self.of_environment(),
            // It may be set for somebody else: the selection counts for it as for the others.
            [(SECRET, given)]
                if given.origin == Origin::Environment(AZURE_SECRET) && self.selects() =>
            {
                self.of_environment()
            }
            [(MANAGED_IDENTITY, given)] if self.has_other_provider() => {
                // Entra ID would take it for the application from whoever was shown it.
                let message = "a managed identity's tokens are for Entra ID: another provider needs a secret or a certificate";
                let origin = given.origin.clone();
                self.problems
                    .push(origin, "oidc.credential.managed_identity", message);
                None
            }
            [(form, given)] => self.of_form(form, given),
            [(one, _), (other, given), ..] => {
                let message = format!(
                    "`{}` and `{}` are given side by side; one is enough",
                    field(one),
                    field(other)
                );
                let origin = given.origin.clone();
                self.problems.push(origin, "entra.credential", message);
                None
            }
        };
        if settings.text(CERTIFICATE).is_none() {
            let origin = settings.text(PASSWORD_FILE).map(|given| given.origin);
            if let Some(origin) = origin {
                let message = "it goes with `certificate`, which is missing";
                self.problems.push(origin, PASSWORD_FILE, message);
            }
            if settings.switch(SEND_X5C) {
                let message = "it goes with `certificate`, which is missing";
                self.problems.push(Origin::Nowhere, SEND_X5C, message);
            }
        }
        self.must_exist(credential)
    }

    fn of_form(&mut self, form: &str, given: &Given<&str>) -> Option<Credential> {
        let text = given.value;
        if text.is_empty() && form != SECRET {
            let message = "it is empty";
            self.problems.push(given.origin.clone(), form, message);
            return None;
        }
        let other = |key, credential| OtherCredential::new(key, given.origin.clone(), credential);
        Some(match form {
            SECRET => Credential::Secret(Secret::new(text).told_by(given.origin.clone())),
            SECRET_FILE => Credential::SecretFile(SecretFile::new(text, given.origin.clone())),
            CERTIFICATE => {
                let mut certificate = tower_obo::ClientCertificate::file(text);
                let password = self.settings.text(PASSWORD_FILE);
                if let Some(file) = &password {
                    certificate = certificate.with_password_file(file.value);
                }
                if self.settings.switch(SEND_X5C) {
                    certificate = certificate.send_chain();
                }
                let credential = tower_obo::Credential::certificate(certificate);
                let mut other = other(CERTIFICATE, credential).with_private_file(CERTIFICATE, text);
                if self.settings.switch(SEND_X5C) {
                    other = other.with_chain();
                }
                if let Some(file) = password {
                    other = other.with_private_file(PASSWORD_FILE, file.value);
                }
                Credential::Other(other)
            }
            FEDERATED_TOKEN_FILE => {
                let credential = tower_obo::Credential::federated_token_file(text);
                Credential::Other(other(FEDERATED_TOKEN_FILE, credential))
            }
            _ => {
                let identity = self.managed_identity(given)?;
                let credential = tower_obo::Credential::managed_identity(identity);
                Credential::Other(other(MANAGED_IDENTITY, credential))
            }
        })
    }

    fn managed_identity(&mut self, given: &Given<&str>) -> Option<tower_obo::ManagedIdentity> {
        let identity = tower_obo::ManagedIdentity::from_lookup(|name| self.variable(name));
        if given.value == "true" {
            return Some(identity);
        }
        let Some(client_id) = value::guid(given.value) else {
            let message = format!(
                "{:?} is neither true nor the client id of a managed identity, a GUID",
                given.value
            );
            self.problems
                .push(given.origin.clone(), MANAGED_IDENTITY, message);
            return None;
        };
        Some(identity.client_id(client_id))
    }

    /// Where nothing is given: what Azure's own libraries would take.
    fn of_environment(&mut self) -> Option<Credential> {
        const PATH: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
        if FORMS.iter().any(|form| self.has_been_said(form)) {
            return None;
        }
        let client_id = self
            .settings
            .text("entra.client_id")
            .map(|given| given.value);
        let found = tower_obo::Credential::from_lookup(|name| {
            // Where it is the API's own, it is not that of a managed identity.
            let is_own = |value: &String| {
                name == CLIENT_ID && client_id.is_some_and(|id| value.eq_ignore_ascii_case(id))
            };
            self.variable(name).filter(|value| !is_own(value))
        });
        let message = match found {
            Ok(credential) => {
                let mut other = OtherCredential::new("entra.credential", Origin::Nowhere, credential);
                if let Some(path) = self.variable(PATH).filter(|path| !path.is_empty()) {
                    other = other.with_private_file(PATH, path);
                }
                return Some(Credential::Other(other));
            }
            Err(errors) if self.selects() => errors.to_string(),
            Err(_) => "missing: how the gateway proves who it is. Give the client secret as AZURE_CLIENT_SECRET=…, or its file as --client-secret-file PATH, or OBO_CLIENT_SECRET_FILE=…, or `credential = { secret_file = \"…\" }` under [entra] in the file; or one of the other forms: `certificate` (AZURE_CLIENT_CERTIFICATE_PATH), `federated_token_file` (AZURE_FEDERATED_TOKEN_FILE), `managed_identity`".to_owned(),
        };
        self.problems
            .push(Origin::Nowhere, "entra.credential", message);
        None
    }

    fn selects(&self) -> bool {
        let selection = self.variable(SELECTION);
        selection.is_some_and(|selection| !selection.trim().is_empty())
    }

    fn must_exist(&mut self, credential: Option<Credential>) -> Option<Credential> {
        let credential = credential?;
        if self.files_must_exist
            && let Err(message) = credential.look()
        {
            let (origin, key) = credential.place();
            self.problems.push(origin, key, message);
        }
        Some(credential)
    }
}

fn field(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
