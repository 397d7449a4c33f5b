//! Where traces go, and which.

use url::Url;

use super::{problem::Origin, resolve::Resolver};

/// Where traces go (OTLP over HTTP), and which of those that begin here.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Traces {
    /// The whole address, `http://127.0.0.1:4318/v1/traces` for instance.
    pub endpoint: Url,
    /// The share of the traces that begin here that is told of, from 0 to 1. Whoever calls with a context
    /// decides for itself.
    pub ratio: f64,
}

/// What stands behind the collector's address.
const PATH: &str = "/v1/traces";

/// The one variable of OpenTelemetry that gives the whole address.
const WHOLE: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

impl Resolver<'_> {
    pub(super) fn traces(&mut self) -> Option<Traces> {
        let ratio = self.ratio();
        let given = self.settings.text("traces.endpoint")?;
        let is_whole = matches!(given.origin, Origin::Environment(WHOLE));
        match endpoint(given.value, is_whole) {
            Ok(endpoint) => Some(Traces { endpoint, ratio }),
            Err(message) => {
                self.problems.push(given.origin, "traces.endpoint", message);
                None
            }
        }
    }

    fn ratio(&mut self) -> f64 {
        let Some(given) = self.settings.text("traces.ratio") else {
            return 1.;
        };
        match given.value.parse() {
            Ok(ratio) if (0. ..=1.).contains(&ratio) => ratio,
            _ => {
                let message = format!("{:?} is no number from 0 to 1", given.value);
                self.problems.push(given.origin, "traces.ratio", message);
                1.
            }
        }
    }
}

fn endpoint(text: &str, is_whole: bool) -> Result<Url, String> {
    let wanted = "http://127.0.0.1:4318 for instance is wanted";
    let mut url =
        Url::parse(text).map_err(|error| format!("{text:?} is no address ({error}): {wanted}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("{text:?} is not http or https: {wanted}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "an address with a password in it: put it into OTEL_EXPORTER_OTLP_HEADERS; {wanted}"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("an address with a query: {wanted}"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if !is_whole && !path.ends_with(PATH) {
        url.set_path(&format!("{path}{PATH}"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Problems, Sources};

    fn read(traces: &str) -> Result<Config, Problems> {
        let guid = "00000000-0000-0000-0000-000000000001";
        let text = format!(
            "upstream = 'http://127.0.0.1:9'\naccept.scopes = ['s']\n[entra]\ntenant = '{guid}'\n\
             client_id = '{guid}'\ncredential = {{ secret_file = '/nowhere' }}\n[traces]\n{traces}"
        );
        Sources::new().file("gw.toml", text).load()
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        for (ratio, value) in [("", 1.), ("ratio = 0", 0.), ("ratio = 0.25", 0.25)] {
            let config = read(&format!("endpoint = 'http://c'\n{ratio}")).unwrap();
            assert!(
                (config.traces.unwrap().ratio - value).abs() < 1e-9,
                "{ratio}"
            );
        }
        for bad in ["1.5", "-1", "nan", "'half'", "true"] {
            let problems = read(&format!("endpoint = 'http://c'\nratio = {bad}")).unwrap_err();
            assert!(problems.to_string().contains("from 0 to 1"), "{problems}");
        }
        assert!(
            read("ratio = 0.5").unwrap().traces.is_none(),
            "nobody to tell"
        );
    }

    #[test]
    fn the_address_of_a_collector_and_the_whole_one_lead_to_the_same() {
        for (given, is_whole, whole) in [
            ("http://c:4318", false, "http://c:4318/v1/traces"),
            ("http://c:4318/", false, "http://c:4318/v1/traces"),
            ("https://c/otlp", false, "https://c/otlp/v1/traces"),
            (
                "https://c/otlp/v1/traces",
                false,
                "https://c/otlp/v1/traces",
            ),
            ("https://c/mine", true, "https://c/mine"),
        ] {
            assert_eq!(
                endpoint(given, is_whole).unwrap().as_str(),
                whole,
                "{given}"
            );
        }
        for bad in [
            "c:4318",
            "grpc://c",
            "http://u:secret@c",
            "http://c?q",
            "http://",
        ] {
            let error = endpoint(bad, false).unwrap_err();
            assert!(
                error.contains("is wanted") && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
