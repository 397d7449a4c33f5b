//! One request for a token, and what a refusal of it says.

use tower_obo::{Aadsts, ConfigErrors, Core, Downstream, ExchangeErrorKind, Rejection};

use super::{
    advice,
    report::{Finding, Outcome},
};

/// Why there was no token.
pub(super) struct Refusal(Why);

enum Why {
    Refused(Rejection),
    /// It could not even be asked for.
    Config(ConfigErrors),
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The client: who it is, or how it proves that.
    Client,
    /// The way to the provider, or the provider.
    Provider,
    /// The API that the token would be for, or what is asked of it.
    Api,
}

/// Asks for a token of the application itself.
pub(super) async fn application(
    core: &Core,
    tenant: Option<&str>,
    scopes: &[String],
) -> Result<(), Refusal> {
    const NAME: &str = "check";
    let downstream = Downstream::client_credentials(NAME, scopes.iter().map(String::as_str));
    let downstreams = match tenant {
        Some(tenant) => core.application_in(tenant, [downstream]),
        None => core.application([downstream]),
    };
    let downstreams = downstreams.map_err(|errors| Refusal(Why::Config(errors)))?;
    match downstreams.get(NAME).await {
        Ok(_) => Ok(()),
        Err(rejection) => Err(rejection.into()),
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self(Why::Refused(rejection))
    }
}

impl Refusal {
    fn error(&self) -> Option<&tower_obo::ExchangeError> {
        match &self.0 {
            Why::Refused(rejection) => rejection.exchange_error(),
            Why::Config(_) => None,
        }
    }

    pub(super) fn aadsts(&self) -> Option<u32> {
        self.error().and_then(tower_obo::ExchangeError::aadsts)
    }

    pub(super) fn oauth_error(&self) -> Option<&str> {
        self.error().and_then(tower_obo::ExchangeError::oauth_error)
    }

    pub(super) fn about(&self) -> About {
        use ExchangeErrorKind as K;
        let Some(error) = self.error() else {
            return About::Api;
        };
        if error.credential_problem().is_some() || advice::is_of_client(error.aadsts()) {
            return About::Client;
        }
        match error.kind() {
            K::CredentialUnavailable => About::Client,
            K::Throttled | K::Timeout | K::Unavailable | K::UntrustedServer | K::UnusableAnswer => {
                About::Provider
            }
            _ if error.oauth_error() == Some("invalid_client") => About::Client,
            _ => About::Api,
        }
    }

    /// What was said, with the code and its meaning.
    pub(super) fn message(&self) -> String {
        let rejection = match &self.0 {
            Why::Config(errors) => return errors.to_string(),
            Why::Refused(rejection) => rejection,
        };
        let Some(error) = rejection.exchange_error() else {
            return rejection.detail().to_owned();
        };
        if let Some(problem) = error.credential_problem() {
            return problem.to_owned();
        }
        match (error.aadsts(), error.oauth_error()) {
            (Some(code), _) => match Aadsts::find(code) {
                Some(known) => format!("AADSTS{code}: {}", known.meaning),
                None => format!("AADSTS{code}: {}", rejection.detail()),
            },
            (None, Some(word)) => format!("{error} (`{word}`)"),
            (None, None) => error.to_string(),
        }
    }

    /// As a finding.
    pub(super) fn failed(&self, subject: impl Into<String>) -> Finding {
        let advice = self.error().and_then(advice::of_error);
        // Of a request that reached nobody there is nothing to look up.
        let answered = self.error().filter(|error| error.oauth_error().is_some());
        Finding::new(subject, Outcome::Failed, self.message())
            .with_advice(advice)
            .with_correlation_id(answered.and_then(tower_obo::ExchangeError::correlation_id))
    }
}
