//! A token of another issuer in a file: workload identity, as Kubernetes projects it.
//!
//! <https://learn.microsoft.com/entra/workload-id/workload-identity-federation>

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    LEEWAY, secret,
    watched::{Bad, Format, Parsed},
};
use crate::{Secret, Timestamp};

/// From this long before its end the file is read each time, whether it looks changed or not.
const NEAR: Duration = Duration::from_secs(300);
/// What the audience of such tokens begins with, in every cloud, unless the registration says otherwise.
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// How it is read.
pub(super) struct FederatedToken;

pub(super) struct Token {
    pub(super) jwt: Secret,
    is_for_exchange: bool,
}

impl Format for FederatedToken {
    type Value = Token;

    /// A JWT that is valid by its times; who signed it is for Entra ID to judge.
    fn parse(
        &self,
        bytes: &[u8],
        before: Option<&Token>,
        now: Timestamp,
    ) -> Result<Parsed<Token>, Bad> {
        let jwt = secret::parse(bytes)?;
        let claims = claims(jwt.expose()).ok_or("is no JWT")?;
        let until = time(&claims["exp"]).ok_or("is no JWT with a time of expiry")?;
        if until <= now {
            return Err("holds a token that has expired".into());
        }
        match &claims["nbf"] {
            Value::Null => {}
            nbf => {
                let from = time(nbf).ok_or("holds a token whose `nbf` is no time")?;
                if from > now + LEEWAY {
                    return Err(Bad::early("token", from.saturating_sub(LEEWAY), now));
                }
            }
        }
        let audiences = audiences(&claims["aud"]);
        if audiences.is_empty() {
            return Err("holds a token without an audience".into());
        }
        let is_for_exchange = audiences.iter().any(|name| name.starts_with(EXCHANGE));
        // Another mount at the same place, such as a token for the cluster itself, is nothing to
        // send to Entra ID. A registration may have an audience of its own: the first one is taken.
        if !is_for_exchange && before.is_some_and(|before| before.is_for_exchange) {
            return Err(
                "holds a token for another audience than api://AzureADTokenExchange, \
                        which the last one was for"
                    .into(),
            );
        }
        let value = Token {
            jwt,
            is_for_exchange,
        };
        Ok(Parsed {
            value,
            until: Some(until),
        })
    }

    fn reads_always(&self, until: Option<Timestamp>, now: Timestamp) -> bool {
        until.is_some_and(|until| until <= now + NEAR)
    }
}

/// The claims of a JWT.
fn claims(jwt: &str) -> Option<Value> {
    let is_part = |part: &&str| {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
        !part.is_empty() && part.bytes().all(is_safe)
    };
    let mut parts = jwt.split('.');
    let (header, payload, _) = (
        parts.next().filter(is_part)?,
        parts.next().filter(is_part)?,
        parts.next().filter(is_part)?,
    );
    if parts.next().is_some() {
        return None;
    }
    let json = |part: &str| -> Option<Value> {
        let part = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&part).ok()
    };
    json(header)?.as_object()?;
    json(payload)
}

fn time(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_u64().or_else(|| Some(value.as_f64()? as u64))?;
    Some(Timestamp::from_unix(seconds))
}

/// One, or a list.
fn audiences(aud: &Value) -> Vec<&str> {
    let list = aud
        .as_array()
        .map_or(std::slice::from_ref(aud), Vec::as_slice);
    let names = list.iter().filter_map(Value::as_str);
    names.filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests;
