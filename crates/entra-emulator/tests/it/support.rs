//! What the tests share: a started emulator, and a client that follows no redirects.

use entra_emulator::{Directory, Emulator, demo};
use serde_json::Value;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Self {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
            .to_str()
            .unwrap()
    }

    /// Panics unless this is an error of the token endpoint with exactly this error and code.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, error: &str, code: u32) {
        assert_eq!(
            (
                self.status,
                self.body["error"].as_str(),
                &self.body["error_codes"]
            ),
            (status, Some(error), &serde_json::json!([code])),
            "{}",
            self.body
        );
        let description = self.text("error_description");
        assert!(
            description.starts_with(&format!("AADSTS{code}: ")),
            "{description}"
        );
        for name in ["trace_id", "correlation_id", "timestamp"] {
            let value = self.text(name);
            assert!(description.contains(value), "{name} {value}: {description}");
        }
        assert!(
            self.text("error_uri")
                .ends_with(&format!("/error?code={code}"))
        );
        assert!(self.body.get("access_token").is_none());
    }
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

/// The same, for the emulator's https base.
pub(crate) fn trusting(emulator: &Emulator) -> reqwest::Client {
    let pem = emulator.ca_pem().unwrap();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()])
        .build()
        .unwrap()
}

pub(crate) async fn start() -> Emulator {
    start_with(Directory::demo()).await
}

pub(crate) async fn start_with(directory: Directory) -> Emulator {
    Emulator::builder()
        .directory(directory)
        .start()
        .await
        .unwrap()
}

/// A request to the token endpoint of Contoso.
pub(crate) async fn token(emulator: &Emulator, form: &[(&str, &str)]) -> Answer {
    token_at(emulator, demo::CONTOSO, form).await
}

pub(crate) async fn token_at(emulator: &Emulator, tenant: &str, form: &[(&str, &str)]) -> Answer {
    let request = client().post(emulator.token_url(tenant)).form(form);
    Answer::of(request.send().await.unwrap()).await
}

/// A good exchange of this assertion by the demo API for ARM; `changes` replace parameters, or with
/// an empty value take them away.
pub(crate) async fn exchange(
    emulator: &Emulator,
    assertion: &str,
    changes: &[(&str, &str)],
) -> Answer {
    exchange_at(emulator, demo::CONTOSO, assertion, changes).await
}

pub(crate) async fn exchange_at(
    emulator: &Emulator,
    tenant: &str,
    assertion: &str,
    changes: &[(&str, &str)],
) -> Answer {
    let mut form = obo_form(assertion);
    for (name, value) in changes {
        form.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.push((name, value));
        }
    }
    token_at(emulator, tenant, &form).await
}

pub(crate) fn obo_form(assertion: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", demo::API_CLIENT_ID),
        ("client_secret", demo::API_CLIENT_SECRET),
        ("assertion", assertion),
        ("scope", "https://management.azure.com/user_impersonation"),
        ("requested_token_use", "on_behalf_of"),
    ]
}

/// The claims of a token, unchecked.
pub(crate) fn claims_of(token: &str) -> Value {
    part(token, 1)
}

/// The header of a token, unchecked.
pub(crate) fn header_of(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, index: usize) -> Value {
    use base64::Engine as _;

    let part = token.split('.').nth(index).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(part)
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
