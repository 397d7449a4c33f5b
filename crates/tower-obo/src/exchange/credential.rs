//! How the middle tier proves to the authorization server who it is.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::grant::Form;
use crate::Secret;

/// The credential of the app registration whose API is called.
///
/// ```
/// use tower_obo::Credential;
///
/// let credential = Credential::secret("never in an argument or in source code");
/// assert_eq!(format!("{credential:?}"), "Credential(secret)");
/// ```
#[derive(Clone)]
pub struct Credential(Arc<Kind>);

enum Kind {
    Secret(Secret),
    SecretFile {
        path: PathBuf,
        last_good: Mutex<Option<Secret>>,
    },
}

impl Credential {
    /// A client secret.
    #[must_use]
    pub fn secret(secret: impl Into<Secret>) -> Self {
        Self(Arc::new(Kind::Secret(secret.into())))
    }

    /// A client secret in a file. The file is read for each exchange, so a new secret is used at
    /// once; while it is empty or cannot be read, the last good secret serves. White space at
    /// either end is not part of the secret.
    #[must_use]
    pub fn secret_file(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Kind::SecretFile {
            path: path.into(),
            last_good: Mutex::default(),
        }))
    }

    /// Whether it is a secret without a character. A file may be filled later.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&*self.0, Kind::Secret(secret) if secret.expose().trim().is_empty())
    }

    /// Adds the client authentication to a token request.
    pub(super) fn write(&self, form: &mut Form) -> Result<(), String> {
        match &*self.0 {
            Kind::Secret(secret) => form.push("client_secret", secret.expose()),
            Kind::SecretFile { path, last_good } => {
                let mut last_good = last_good.lock().unwrap_or_else(PoisonError::into_inner);
                match (read(path), &*last_good) {
                    (Ok(secret), _) => *last_good = Some(secret),
                    (Err(error), Some(_)) => {
                        tracing::warn!(%error, "the last good client secret stays in use");
                    }
                    (Err(error), None) => return Err(error),
                }
                if let Some(secret) = &*last_good {
                    form.push("client_secret", secret.expose());
                }
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    match text.trim() {
        "" => Err(format!("{} is empty", path.display())),
        secret => Ok(Secret::from(secret)),
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Secret(_) => f.write_str("Credential(secret)"),
            Kind::SecretFile { path, .. } => write!(f, "Credential(secret in {})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(credential: &Credential) -> Result<String, String> {
        let mut form = Form::default();
        credential.write(&mut form)?;
        Ok(form.into_body())
    }

    #[test]
    fn a_secret_file_is_read_anew_and_its_last_good_secret_stays() {
        let directory = std::env::temp_dir().join(format!("obo-secret-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("secret");
        let credential = Credential::secret_file(&path);

        assert!(written(&credential).is_err());
        std::fs::write(&path, "first\n").unwrap();
        assert_eq!(written(&credential).unwrap(), "client_secret=first");
        std::fs::write(&path, "second").unwrap();
        assert_eq!(written(&credential).unwrap(), "client_secret=second");
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(written(&credential).unwrap(), "client_secret=second");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_secret_of_white_space_is_none() {
        for (secret, empty) in [("", true), (" \n", true), ("s", false), (" s ", false)] {
            assert_eq!(Credential::secret(secret).is_empty(), empty, "{secret:?}");
        }
        assert!(!Credential::secret_file("/nowhere").is_empty());
    }
}
