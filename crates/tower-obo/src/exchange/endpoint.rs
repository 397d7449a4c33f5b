//! The token endpoint: of Entra ID, or of another provider.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    Credential, ExchangeError, ExchangeErrorKind, ExchangeRequest, Exchanging, TokenExchange,
    TokenResponse,
    credential::{Audience, CredentialError, Proof},
    grant::{Form, encode},
};
use crate::{Clock, Provider, Secret, http_client::HttpClient, provider::Which};

/// Asks the provider for downstream tokens, by the grant that the request names.
#[derive(Clone, Debug)]
pub(crate) struct TokenEndpoint(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    provider: Provider,
    client_id: Arc<str>,
    credential: Credential,
    http: HttpClient,
    clock: Arc<dyn Clock>,
    retry_pause: Duration,
}

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const RETURN_CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("return-client-request-id");

impl TokenEndpoint {
    pub(crate) fn new(
        provider: Provider,
        client_id: &str,
        credential: Credential,
        http: HttpClient,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            provider,
            client_id: client_id.into(),
            credential,
            http,
            clock,
            retry_pause: Duration::from_secs(1),
        }))
    }
}

impl TokenExchange for TokenEndpoint {
    fn exchange(&self, request: ExchangeRequest) -> Exchanging {
        let endpoint = Arc::clone(&self.0);
        Box::pin(async move { endpoint.exchange(&request).await })
    }
}

impl Inner {
    /// One attempt, and a second where it can help: after 1 s when the server timed out or had a
    /// fault without saying how long to wait, at once when it refused our assertion, or a secret whose
    /// file holds another one by now. A 429 is never retried: that lengthens the penalty.
    async fn exchange(&self, request: &ExchangeRequest) -> Result<TokenResponse, ExchangeError> {
        use ExchangeErrorKind as K;
        let (audience, proof) = self.prove(request).await?;
        match self.attempt(request, &audience, &proof).await {
            // Of another provider every wrong credential looks the same; a secret is not tried again.
            Err(error)
                if error.refuses_credential()
                    && (self.provider.entra().is_some() || !matches!(proof, Proof::Secret(_))) =>
            {
                self.credential.refused(&audience, &proof);
            }
            Err(error) if error.refuses_client() && matches!(proof, Proof::Secret(_)) => {
                self.credential.refused(&audience, &proof);
                return match self.prove(request).await {
                    Ok((audience, now)) if now.is_another_secret_than(&proof) => {
                        self.attempt(request, &audience, &now).await
                    }
                    _ => Err(error),
                };
            }
            Err(error)
                if matches!(error.kind(), K::Timeout | K::Unavailable)
                    && error.retry_after().is_none() =>
            {
                tokio::time::sleep(self.retry_pause).await;
            }
            result => return result,
        }
        let (audience, proof) = self.prove(request).await?;
        self.attempt(request, &audience, &proof).await
    }

    /// Proves who we are. What fails here has been tried again where that helps.
    async fn prove(&self, request: &ExchangeRequest) -> Result<(Audience, Proof), ExchangeError> {
        let audience = Audience {
            token_endpoint: self.address(request)?,
            client_id: Arc::clone(&self.client_id),
            now: self.clock.now(),
            single_use: self.provider.entra().is_none(),
        };
        let proof = self
            .credential
            .prove(&audience)
            .await
            .map_err(CredentialError::into_exchange_error)?;
        Ok((audience, proof))
    }

    async fn attempt(
        &self,
        request: &ExchangeRequest,
        audience: &Audience,
        proof: &Proof,
    ) -> Result<TokenResponse, ExchangeError> {
        let mut form = Form::default();
        let mut headers = HeaderMap::new();
        match (&self.provider.0, proof) {
            (Which::Oidc(oidc), Proof::Secret(secret)) if oidc.secret_in_header => {
                headers.insert(AUTHORIZATION, basic(&self.client_id, secret)?);
            }
            _ => {
                form.push("client_id", &self.client_id);
                proof.write(&mut form);
            }
        }
        let grant = request.grant.implementation();
        grant
            .write(request, &mut form)
            .map_err(|reason| ExchangeError::new(ExchangeErrorKind::Misconfigured, reason))?;

        if self.provider.entra().is_some()
            && let Ok(id) = HeaderValue::from_str(&request.correlation_id)
        {
            headers.insert(CLIENT_REQUEST_ID, id);
            headers.insert(RETURN_CLIENT_REQUEST_ID, HeaderValue::from_static("true"));
        }
        let answer = self
            .http
            .post_form(&audience.token_endpoint, headers, form.into_body())
            .await
            .map_err(ExchangeError::from_call)?;
        if answer.status != StatusCode::OK {
            let (status, headers, now) = (answer.status, &answer.headers, self.clock.now());
            return Err(match self.provider.0 {
                Which::Entra(_) => {
                    let error = ExchangeError::from_answer(status, headers, &answer.body, now);
                    let is_ours = error.aadsts() == Some(super::error::MALFORMED)
                        && matches!(proof, Proof::Assertion(_));
                    if is_ours {
                        error.of_our_assertion()
                    } else {
                        error
                    }
                }
                Which::Oidc(_) => {
                    let meaning = |error: &str| grant.meaning(error);
                    ExchangeError::from_standard_answer(status, headers, &answer.body, now, meaning)
                }
            });
        }
        read_token(&answer.body, |answer| grant.check(answer))
            .map_err(|reason| ExchangeError::new(ExchangeErrorKind::UnusableAnswer, reason))
    }

    /// Where the token is asked for.
    fn address(&self, request: &ExchangeRequest) -> Result<Arc<str>, ExchangeError> {
        match &self.provider.0 {
            // The tenant was checked to be a GUID when the caller's token was validated.
            Which::Entra(_) => {
                let authority = self.provider.name();
                Ok(format!("{authority}/{}/oauth2/v2.0/token", request.tenant).into())
            }
            Which::Oidc(oidc) => match &*oidc.token_endpoint.load() {
                Some(url) => Ok(url.as_str().into()),
                None => Err(ExchangeError::new(
                    ExchangeErrorKind::Unavailable,
                    "the provider's document, which names its token endpoint, is not there yet",
                )),
            },
        }
    }
}

/// Client id and secret, form-encoded each (RFC 6749 §2.3.1).
fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, ExchangeError> {
    // Room for all of it, so that no copy of the secret is left behind.
    let longest = 3 * (client_id.len() + secret.expose().len()) + 1;
    let mut pair = Zeroizing::new(String::with_capacity(longest));
    encode(client_id, &mut pair);
    pair.push(':');
    encode(secret.expose(), &mut pair);
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
    let mut value = HeaderValue::try_from(text.as_str()).map_err(|_| {
        let reason = "the client credential cannot be used";
        ExchangeError::new(ExchangeErrorKind::Misconfigured, reason)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a successful answer (RFC 6749 §5.1). Numbers may come as strings, as Microsoft's own
/// libraries accept them.
fn read_token(
    body: &[u8],
    check: impl FnOnce(&Value) -> Result<(), &'static str>,
) -> Result<TokenResponse, &'static str> {
    let body: Value =
        serde_json::from_slice(body).map_err(|_| "the token endpoint's answer is no JSON")?;
    check(&body)?;
    let token = match &body["access_token"] {
        Value::String(token) if is_header_safe(token) => Secret::from(token.as_str()),
        Value::String(_) => return Err("the access_token holds characters that no token has"),
        _ => return Err("the answer has no access_token"),
    };
    match &body["token_type"] {
        Value::String(kind) if kind.eq_ignore_ascii_case("bearer") => {}
        _ => return Err("the token_type is not Bearer"),
    }
    let expires_in = seconds(&body["expires_in"]).ok_or("the answer has no usable expires_in")?;
    Ok(TokenResponse {
        access_token: token,
        expires_in,
        refresh_in: seconds(&body["refresh_in"]),
    })
}

/// At least one second and at most a year, or none.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    (1..=365 * 24 * 3600)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

fn is_header_safe(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_token(body: &[u8]) -> Result<TokenResponse, &'static str> {
        super::read_token(body, |_| Ok(()))
    }

    use serde_json::json;

    fn answer() -> Value {
        json!({"token_type": "Bearer", "access_token": "a.b", "expires_in": 3599})
    }

    #[test]
    fn numbers_may_be_strings() {
        let mut body = answer();
        body["expires_in"] = "3599".into();
        body["refresh_in"] = "1800".into();
        let token = read_token(body.to_string().as_bytes()).unwrap();
        assert_eq!(token.expires_in, Duration::from_secs(3599));
        assert_eq!(token.refresh_in, Some(Duration::from_secs(1800)));
    }

    #[test]
    fn answers_that_are_no_token_are_refused() {
        for (member, value) in [
            ("access_token", json!(null)),
            ("access_token", json!("a b")),
            ("access_token", json!("a\r\nb")),
            ("access_token", json!("")),
            ("token_type", json!("mac")),
            ("token_type", json!(null)),
            ("expires_in", json!(0)),
            ("expires_in", json!(-5)),
            ("expires_in", json!(null)),
            ("expires_in", json!("x")),
        ] {
            let mut body = answer();
            body[member] = value.clone();
            let result = read_token(body.to_string().as_bytes());
            assert!(result.is_err(), "{member}: {value}");
        }
        assert!(read_token(b"<html>").is_err());
    }

    #[test]
    fn a_token_lives_a_second_at_least_and_a_year_at_most() {
        let year = 365 * 24 * 3600;
        for (value, read) in [
            (0, None),
            (1, Some(1)),
            (year, Some(year)),
            (year + 1, None),
        ] {
            let read = read.map(Duration::from_secs);
            assert_eq!(seconds(&json!(value)), read, "{value}");
            assert_eq!(seconds(&json!(value.to_string())), read, "{value}");
        }
    }

    #[test]
    fn a_secret_in_the_header_is_encoded_so_that_its_colon_is_none() {
        let value = basic("shop api", &Secret::from("a:b%c/é")).unwrap();
        assert!(value.is_sensitive());
        let text = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        let pair = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        assert_eq!(pair, "shop+api:a%3Ab%25c%2F%C3%A9");
    }
}
