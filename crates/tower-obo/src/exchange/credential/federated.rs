//! A token of another issuer in a file: workload identity, as Kubernetes projects it.
//!
//! <https://learn.microsoft.com/entra/workload-id/workload-identity-federation>

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    CredentialError, secret,
    watched::{Reread, Watched},
};
use crate::{Secret, Timestamp};

/// From this long before its end the file is read each time, whether it looks changed or not.
const NEAR: Duration = Duration::from_secs(300);

pub(super) struct FederatedFile(Watched<Token>);

struct Token {
    jwt: Secret,
    expires: Timestamp,
}

impl FederatedFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Watched::new(path))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn assertion(&self, now: Timestamp) -> Result<Secret, CredentialError> {
        let read = |reread| {
            self.0
                .current(reread, |bytes| parse(bytes, now))
                .map_err(CredentialError::Unusable)
        };
        let mut token = read(Reread::IfChanged)?;
        if token.expires <= now + NEAR {
            token = read(Reread::Always)?;
        }
        if token.expires <= now {
            return Err(CredentialError::Unavailable(format!(
                "the token in {} has expired, and no new one has come",
                self.path().display()
            )));
        }
        Ok(token.jwt.clone())
    }

    pub(super) fn forget(&self) {
        self.0.forget();
    }
}

/// A JWT that has not expired; who signed it is for Entra ID to judge.
fn parse(bytes: &[u8], now: Timestamp) -> Result<Token, String> {
    let jwt = secret::parse(bytes)?;
    let expires = expiry(jwt.expose()).ok_or("is no JWT with a time of expiry")?;
    if expires <= now {
        return Err("holds a token that has expired".to_owned());
    }
    Ok(Token { jwt, expires })
}

/// The `exp` of a JWT.
fn expiry(jwt: &str) -> Option<Timestamp> {
    let is_part = |part: &&str| {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
        !part.is_empty() && part.bytes().all(is_safe)
    };
    let mut parts = jwt.split('.');
    let (_, payload, _) = (
        parts.next().filter(is_part)?,
        parts.next().filter(is_part)?,
        parts.next().filter(is_part)?,
    );
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let exp = &claims["exp"];
    let seconds = exp.as_u64().or_else(|| Some(exp.as_f64()? as u64))?;
    Some(Timestamp::from_unix(seconds))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::{
        super::tests::{Folder, audience},
        *,
    };

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn until(expires: Timestamp, id: u32) -> String {
        jwt(&json!({"exp": expires.as_unix(), "jti": id}))
    }

    #[test]
    fn cf_06_a_new_token_is_used_at_once_and_a_bad_one_not_at_all() {
        let now = audience().now;
        let hour = now + Duration::from_secs(3600);
        let folder = Folder::new();
        let (old, new) = (until(hour, 1), until(hour, 2));
        let path = folder.put("token", old.clone() + "\n");
        let file = FederatedFile::new(path.clone());
        let used = || file.assertion(now).unwrap().expose().to_owned();
        assert_eq!(used(), old);

        for bad in [
            String::new(),
            " \n".to_owned(),
            "no token".to_owned(),
            "a.b".to_owned(),
            "e30.e30.c2ln".to_owned(),
            format!("{new}.more"),
            new.replace('.', " ."),
            jwt(&json!({"exp": "soon"})),
            until(now, 3),
        ] {
            folder.put("token", &bad);
            assert_eq!(used(), old, "{bad}");
            let first = FederatedFile::new(path.clone());
            let refused = first.assertion(now);
            assert!(
                matches!(refused, Err(CredentialError::Unusable(_))),
                "{bad}"
            );
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(used(), old);
        folder.put("token", &new);
        assert_eq!(used(), new);
    }

    #[test]
    fn cf_06_the_last_good_token_serves_while_it_is_valid() {
        let now = audience().now;
        let end = now + Duration::from_secs(600);
        let folder = Folder::new();
        let old = until(end, 1);
        let file = FederatedFile::new(folder.put("token", &old));
        assert_eq!(file.assertion(now).unwrap().expose(), old);
        folder.put("token", "");
        let last = end.saturating_sub(Duration::from_secs(1));
        assert_eq!(file.assertion(last).unwrap().expose(), old);
        let lost = file.assertion(end);
        assert!(matches!(lost, Err(CredentialError::Unavailable(_))));
        let new = until(end + Duration::from_secs(1), 2);
        folder.put("token", &new);
        assert_eq!(file.assertion(end).unwrap().expose(), new);
    }

    /// Two tokens of one length, in a file whose time does not tell them apart.
    #[test]
    fn close_to_its_end_and_after_a_refusal_a_token_is_read_though_it_looks_unchanged() {
        let now = audience().now;
        let end = now + Duration::from_secs(3600);
        let folder = Folder::new();
        let (old, new) = (until(end, 1), until(end, 2));
        let path = folder.put("token", &old);
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let rewrite = |text: &str| {
            fs::write(&path, text).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(modified).unwrap();
        };
        let near = end.saturating_sub(NEAR);
        let far = near.saturating_sub(Duration::from_secs(1));

        let file = FederatedFile::new(path.clone());
        assert_eq!(file.assertion(now).unwrap().expose(), old);
        rewrite(&new);
        assert_eq!(file.assertion(far).unwrap().expose(), old);
        assert_eq!(file.assertion(near).unwrap().expose(), new);

        rewrite(&old);
        let file = FederatedFile::new(path.clone());
        assert_eq!(file.assertion(now).unwrap().expose(), old);
        rewrite(&new);
        file.forget();
        assert_eq!(file.assertion(now).unwrap().expose(), new);
    }
}
