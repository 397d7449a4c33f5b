//! Authorization codes and refresh tokens that were handed out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::aadsts;
use crate::claims_request::ClaimsRequest;
use crate::encoding::random;
use crate::error::AadError;

/// Entra's codes live ten minutes.
const CODE_LIFETIME: i64 = 600;
/// Entra's refresh tokens live 90 days.
const REFRESH_LIFETIME: i64 = 90 * 86_400;
/// Beyond so many of a kind, the expired are swept out, then all of them.
const KEPT: usize = 100_000;

/// What a user allowed a client.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) client_id: String,
    pub(crate) tenant: String,
    pub(crate) oid: String,
    /// The user's count of revocations when it was given.
    pub(crate) revocations: u32,
    pub(crate) mfa: bool,
    pub(crate) scope: String,
    pub(crate) claims: ClaimsRequest,
    pub(crate) issued: i64,
}

/// An authorization code's side of the bargain.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) grant: Grant,
    pub(crate) redirect_uri: String,
    pub(crate) code_challenge: Option<String>,
    pub(crate) nonce: Option<String>,
    redeemed: bool,
}

impl Code {
    pub(crate) fn new(
        grant: Grant,
        redirect_uri: String,
        code_challenge: Option<String>,
        nonce: Option<String>,
    ) -> Self {
        Self {
            grant,
            redirect_uri,
            code_challenge,
            nonce,
            redeemed: false,
        }
    }
}

/// All that is out there.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    codes: Mutex<HashMap<String, Code>>,
    refresh_tokens: Mutex<HashMap<String, Grant>>,
}

impl Grants {
    pub(crate) fn new_code(&self, code: Code) -> String {
        let name = format!("1.{}", random(96));
        let now = code.grant.issued;
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        sweep(&mut codes, |code| code.grant.issued + CODE_LIFETIME > now);
        codes.insert(name.clone(), code);
        name
    }

    /// The code's grant, once. `check` runs before the code counts as used, under the lock: of two
    /// that come at once exactly one gets it.
    pub(crate) fn redeem(
        &self,
        name: &str,
        now: i64,
        check: impl FnOnce(&Code) -> Result<(), AadError>,
    ) -> Result<Code, AadError> {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let code = codes.get_mut(name).ok_or_else(aadsts::invalid_grant)?;
        if code.redeemed {
            return Err(aadsts::code_redeemed());
        }
        if code.grant.issued + CODE_LIFETIME <= now {
            return Err(aadsts::grant_expired());
        }
        check(code)?;
        code.redeemed = true;
        Ok(code.clone())
    }

    pub(crate) fn new_refresh_token(&self, grant: Grant) -> String {
        let name = format!("1.{}", random(128));
        let now = grant.issued;
        let mut tokens = self
            .refresh_tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sweep(&mut tokens, |grant| grant.issued + REFRESH_LIFETIME > now);
        tokens.insert(name.clone(), grant);
        name
    }

    /// A refresh token's grant. It stays usable after a new one was given, as Entra's does.
    pub(crate) fn refresh_token(&self, name: &str, now: i64) -> Result<Grant, AadError> {
        let tokens = self
            .refresh_tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let grant = tokens.get(name).ok_or_else(aadsts::invalid_grant)?;
        if grant.issued + REFRESH_LIFETIME <= now {
            return Err(aadsts::grant_expired());
        }
        Ok(grant.clone())
    }
}

fn sweep<T>(all: &mut HashMap<String, T>, keep: impl Fn(&T) -> bool) {
    if all.len() < KEPT {
        return;
    }
    all.retain(|_, one| keep(one));
    if all.len() >= KEPT {
        all.clear();
    }
}
