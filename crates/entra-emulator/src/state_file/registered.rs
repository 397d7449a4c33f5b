//! Applications that Microsoft Graph made, as they are kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::directory::{Application, Certificate, FederatedCredential, Registration};

#[derive(Deserialize, Serialize)]
pub(super) struct StoredApplication {
    tenant: String,
    client_id: String,
    /// All properties, from which everything but credentials follows.
    registration: Registration,
    assignment_required: bool,
    secrets: Vec<String>,
    /// DER in base64.
    certificates: Vec<String>,
    federated_credentials: Vec<StoredFederated>,
}

#[derive(Deserialize, Serialize)]
struct StoredFederated {
    name: String,
    issuer: String,
    subject: String,
    audience: String,
    jwks: Option<Value>,
}

impl StoredApplication {
    /// Nothing for those of the configuration.
    pub(super) fn of(app: &Application) -> Option<Self> {
        app.registration.made?;
        Some(Self {
            tenant: app.tenant.clone(),
            client_id: app.client_id.clone(),
            registration: app.registration.clone(),
            assignment_required: app.assignment_required,
            secrets: app.secrets.clone(),
            certificates: app
                .certificates
                .iter()
                .map(|own| STANDARD.encode(own.der()))
                .collect(),
            federated_credentials: app
                .federated_credentials
                .iter()
                .map(|own| StoredFederated {
                    name: own.name.clone(),
                    issuer: own.issuer.clone(),
                    subject: own.subject.clone(),
                    audience: own.audience.clone(),
                    jwks: own.jwks.clone(),
                })
                .collect(),
        })
    }

    /// The application without what follows from its properties.
    pub(super) fn restore(&self) -> Application {
        let mut app = Application::new(&self.tenant, &self.client_id, "");
        app.registration = self.registration.clone();
        app.assignment_required = self.assignment_required;
        app.secrets.clone_from(&self.secrets);
        let certificates = self.certificates.iter();
        app.certificates = certificates
            .filter_map(|own| Certificate::from_der(STANDARD.decode(own).ok()?).ok())
            .collect();
        for own in &self.federated_credentials {
            let credential = FederatedCredential::new(&own.name, &own.issuer, &own.subject);
            let mut credential = credential.audience(&own.audience);
            credential.jwks.clone_from(&own.jwks);
            app.set_federated(credential);
        }
        app
    }
}
