//! Calls of a running emulator's control API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

/// Which emulator is meant.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// The running emulator
    #[arg(
        long,
        env = "ENTRA_EMULATOR_URL",
        default_value = "http://127.0.0.1:9400",
        global = true
    )]
    url: String,
    /// The certificate authority of an https URL (PEM): what the emulator wrote to its --ca-file
    #[arg(
        long,
        env = "ENTRA_EMULATOR_CA_FILE",
        value_name = "PATH",
        global = true
    )]
    ca_file: Option<PathBuf>,
}

impl Which {
    /// Asks it something; `path` is below `/emulator/`. Nothing comes of an answer without content.
    pub(super) async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let url = self.url.trim_end_matches('/');
        let request = self
            .client(url)?
            .request(method, format!("{url}/emulator/{path}"))
            .header("x-entra-emulator", "1");
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.with_context(|| {
            format!(
                "no emulator answers at {url}: start one with `entra-emulator`, or say where it is with --url"
            )
        })?;
        let status = response.status();
        if status == reqwest::StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let answer: Value = response
            .json()
            .await
            .with_context(|| format!("what answers at {url} is no entra-emulator ({status})"))?;
        if !status.is_success() {
            let reason = answer["error"].as_str().unwrap_or("no reason given");
            bail!("the emulator at {url} refuses ({status}): {reason}");
        }
        Ok(answer)
    }

    fn client(&self, url: &str) -> anyhow::Result<reqwest::Client> {
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10));
        // A file that another emulator will write may be named in the environment.
        if let Some(path) = self.ca_file.as_ref().filter(|_| url.starts_with("https:")) {
            let wrong = || format!("--ca-file {}", path.display());
            let pem = std::fs::read(path).with_context(wrong)?;
            let certificate = reqwest::Certificate::from_pem(&pem).with_context(wrong)?;
            client = client.tls_certs_merge([certificate]);
        }
        Ok(client.build()?)
    }
}
