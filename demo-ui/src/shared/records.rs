//! Accounts and sign-ins as they are kept. What the API did last for a user is not: each process
//! remembers what it has seen.

use oauth2::{AccessToken, CsrfToken, PkceCodeVerifier, RefreshToken};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::account::Account;
use crate::clock;
use crate::entra::{Proofs, Tokens, User};
use crate::login::{Intent, Login};
use crate::return_path::return_path;

#[derive(Deserialize, Serialize)]
pub(crate) struct AccountRecord {
    issuer: String,
    tid: String,
    id: String,
    name: String,
    username: Option<String>,
    logout_hint: Option<String>,
    csrf: String,
    step_ups: u32,
    turned_down: Option<IntentRecord>,
    /// When the user has to sign in again.
    until: i64,
}

/// The tokens of an account: a record of their own, so that who writes down something else about the
/// account does not put the tokens of before back in place of those that another machine has renewed.
#[derive(Deserialize, Serialize)]
pub(crate) struct TokensRecord {
    access: String,
    refresh: Option<String>,
    expires: i64,
    renew: i64,
}

#[derive(Deserialize, Serialize)]
struct IntentRecord {
    return_to: String,
    claims: Option<String>,
    step_ups: u32,
    login_hint: Option<String>,
    select_account: bool,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct LoginRecord {
    session: String,
    state: String,
    verifier: String,
    nonce: String,
    intent: IntentRecord,
    /// Until when it can be finished.
    until: i64,
}

impl AccountRecord {
    pub(crate) fn of(account: &Account) -> Self {
        let User {
            issuer,
            tid,
            id,
            name,
            username,
            logout_hint,
        } = account.user.clone();
        Self {
            issuer,
            tid,
            id,
            name,
            username,
            logout_hint,
            csrf: account.csrf.secret().clone(),
            step_ups: account.step_ups(),
            turned_down: account.turned_down().as_ref().map(IntentRecord::of),
            until: account.until.unix_timestamp(),
        }
    }

    /// `None` where its time is over: Redis lets go of it by then, but whoever restores a copy of Redis does
    /// not.
    pub(crate) fn account(self, tokens: Tokens) -> Option<Account> {
        let until = time(self.until).filter(|until| *until > clock::now())?;
        let user = User {
            issuer: self.issuer,
            tid: self.tid,
            id: self.id,
            name: self.name,
            username: self.username,
            logout_hint: self.logout_hint,
        };
        let account = Account::restored(
            user,
            CsrfToken::new(self.csrf),
            tokens,
            self.step_ups,
            until,
        );
        account.set_turned_down(self.turned_down.map(IntentRecord::intent));
        // As it is in the store.
        account.take_changes();
        Some(account)
    }
}

impl TokensRecord {
    pub(crate) fn of(tokens: Tokens) -> Self {
        let (expires, renew) = tokens.times();
        Self {
            access: tokens.access.into_secret(),
            refresh: tokens.refresh.map(RefreshToken::into_secret),
            expires: expires.unix_timestamp(),
            renew: renew.unix_timestamp(),
        }
    }

    pub(crate) fn tokens(self) -> Option<Tokens> {
        Some(Tokens::restored(
            AccessToken::new(self.access),
            self.refresh.map(RefreshToken::new),
            (time(self.expires)?, time(self.renew)?),
        ))
    }
}

fn time(seconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

impl IntentRecord {
    fn of(intent: &Intent) -> Self {
        Self {
            return_to: intent.return_to.to_owned(),
            claims: intent.claims.clone(),
            step_ups: intent.step_ups,
            login_hint: intent.login_hint.clone(),
            select_account: intent.prompt.is_some(),
        }
    }

    fn intent(self) -> Intent {
        Intent {
            return_to: return_path(Some(&self.return_to)),
            claims: self.claims,
            step_ups: self.step_ups,
            login_hint: self.login_hint,
            prompt: self.select_account.then_some(crate::login::SELECT_ACCOUNT),
        }
    }
}

impl LoginRecord {
    pub(crate) fn of(login: &Login, until: OffsetDateTime) -> Self {
        let (verifier, nonce) = login.proofs.secrets();
        Self {
            session: login.session.clone(),
            state: login.proofs.state.secret().clone(),
            verifier: verifier.to_owned(),
            nonce: nonce.to_owned(),
            intent: IntentRecord::of(&login.intent),
            until: until.unix_timestamp(),
        }
    }

    /// `None` where its time is over.
    pub(crate) fn login(self) -> Option<Login> {
        if self.until <= clock::now().unix_timestamp() {
            return None;
        }
        Some(Login {
            session: self.session,
            proofs: Proofs::restored(
                CsrfToken::new(self.state),
                PkceCodeVerifier::new(self.verifier),
                CsrfToken::new(self.nonce),
            ),
            intent: self.intent.intent(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let now = clock::now();
        Tokens::restored(AccessToken::new("a".to_owned()), None, (now, now))
    }

    fn account(until: OffsetDateTime) -> Account {
        let user = User {
            issuer: "i".to_owned(),
            tid: "t".to_owned(),
            id: "o".to_owned(),
            name: "Alice".to_owned(),
            username: None,
            logout_hint: None,
        };
        Account::new(user, tokens(), 0, until)
    }

    #[test]
    fn ui_05_what_is_put_back_into_redis_is_over_when_it_would_have_been() {
        let later = clock::now() + time::Duration::minutes(1);
        let before = clock::now() - time::Duration::seconds(1);
        let kept = |until| AccountRecord::of(&account(until)).account(tokens());
        assert!(kept(later).is_some());
        assert!(kept(before).is_none());

        let login = |until| {
            let proofs = Proofs::restored(
                CsrfToken::new("s".to_owned()),
                PkceCodeVerifier::new("v".to_owned()),
                CsrfToken::new("n".to_owned()),
            );
            let login = Login {
                session: "one".to_owned(),
                proofs,
                intent: Intent::default(),
            };
            LoginRecord::of(&login, until).login()
        };
        assert!(login(later).is_some());
        assert!(login(before).is_none());
    }
}
