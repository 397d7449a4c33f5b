//! How the gateway proves to the identity provider who it is.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use tower_obo::Timestamp;
use zeroize::Zeroizing;

use super::{Origin, keys};

/// How the gateway proves to the identity provider who it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential {
    /// A client secret.
    Secret(Secret),
    /// A file that holds the client secret.
    SecretFile(SecretFile),
    /// A certificate, a federated token, or a managed identity.
    Other(OtherCredential),
}

impl Credential {
    /// Which one it is, and the variable that told of it, for a log: never what it holds.
    #[must_use]
    pub fn describe(&self) -> String {
        let text = self.for_library().describe();
        match self.place() {
            (Origin::Environment(name), _) => format!("{text} ({name})"),
            _ => text,
        }
    }

    pub(crate) fn for_library(&self) -> tower_obo::Credential {
        match self {
            Self::Secret(secret) => tower_obo::Credential::secret(secret.expose()),
            Self::SecretFile(file) => tower_obo::Credential::secret_file(file.path()),
            Self::Other(other) => other.credential.clone(),
        }
    }

    /// Whether it proves the same by the same means, wherever the configuration names it.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(own), Self::Secret(other)) => own.expose() == other.expose(),
            (Self::SecretFile(own), Self::SecretFile(other)) => own.path() == other.path(),
            (Self::Other(own), Self::Other(other)) => {
                let paths = |of: &OtherCredential| of.private_files.clone();
                own.credential.describe() == other.credential.describe()
                    && own.sends_chain == other.sends_chain
                    && paths(own) == paths(other)
            }
            _ => false,
        }
    }

    /// Reads its files once, only to see whether they are good.
    ///
    /// # Errors
    ///
    /// What is wrong with them, for a person.
    pub(crate) fn look(&self) -> Result<(), String> {
        match self {
            Self::Secret(_) => Ok(()),
            Self::SecretFile(file) => file.look(),
            Self::Other(other) => other.credential.check(),
        }
    }

    /// When the certificate in use ends, if it is one and has been read.
    pub(crate) fn certificate_expires(&self) -> Option<Timestamp> {
        match self {
            Self::Other(other) => other.credential.certificate_expires(),
            Self::Secret(_) | Self::SecretFile(_) => None,
        }
    }

    /// Where the configuration names it.
    pub(super) fn place(&self) -> (Origin, &'static str) {
        match self {
            Self::Secret(secret) => (secret.origin.clone(), keys::SECRET),
            Self::SecretFile(file) => (file.origin().clone(), keys::SECRET_FILE),
            Self::Other(other) => (other.origin.clone(), other.key),
        }
    }

    /// The files that nobody else should read.
    pub(super) fn private_files(&self) -> Vec<(Origin, &'static str, &Path)> {
        match self {
            Self::Secret(_) => Vec::new(),
            Self::SecretFile(file) => {
                vec![(file.origin().clone(), keys::SECRET_FILE, file.path())]
            }
            Self::Other(other) => {
                let files = other.private_files.iter();
                files
                    .map(|(key, path)| (other.origin.clone(), *key, path.as_path()))
                    .collect()
            }
        }
    }
}

/// A credential as the library has it.
#[derive(Clone, Debug)]
pub struct OtherCredential {
    credential: tower_obo::Credential,
    key: &'static str,
    origin: Origin,
    /// Its files that nobody else should read, with the settings that name them.
    private_files: Vec<(&'static str, PathBuf)>,
    /// Whether a certificate's chain goes with what it signs.
    sends_chain: bool,
}

impl OtherCredential {
    pub(super) fn new(
        key: &'static str,
        origin: Origin,
        credential: tower_obo::Credential,
    ) -> Self {
        Self {
            credential,
            key,
            origin,
            private_files: Vec::new(),
            sends_chain: false,
        }
    }

    pub(super) const fn with_chain(mut self) -> Self {
        self.sends_chain = true;
        self
    }

    pub(super) fn with_private_file(mut self, key: &'static str, path: impl Into<PathBuf>) -> Self {
        self.private_files.push((key, path.into()));
        self
    }
}

/// A client secret, which no message shows.
#[derive(Clone)]
pub struct Secret {
    text: String,
    origin: Origin,
}

impl Secret {
    /// Takes the secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self {
            text: secret.into(),
            origin: Origin::Nowhere,
        }
    }

    pub(super) fn told_by(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    pub(crate) fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A file that holds the client secret, and where the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    path: PathBuf,
    origin: Origin,
}

impl SecretFile {
    pub(super) fn new(path: impl Into<PathBuf>, origin: Origin) -> Self {
        Self {
            path: path.into(),
            origin,
        }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Reads the file once, only to see whether there is a secret in it.
    ///
    /// A pipe is believed: what is read from it is gone for whoever needs it.
    ///
    /// # Errors
    ///
    /// Why there is none, for a person.
    pub(crate) fn look(&self) -> Result<(), String> {
        let path = self.path.display();
        let unreadable = |error: io::Error| format!("{path} cannot be read: {error}");
        let metadata = fs::metadata(&self.path).map_err(unreadable)?;
        if !metadata.is_file() && !metadata.is_dir() {
            return Ok(());
        }
        let text = fs::read_to_string(&self.path)
            .map(Zeroizing::new)
            .map_err(unreadable)?;
        if text.trim().is_empty() {
            return Err(format!("{path} is empty; it must hold the client secret"));
        }
        Ok(())
    }
}

/// Whether a file's mode lets every user of the machine read it.
#[cfg(unix)]
pub(super) fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub(super) fn is_open_to_all(_: &Path) -> bool {
    false
}

impl From<PathBuf> for SecretFile {
    fn from(path: PathBuf) -> Self {
        Self::new(path, Origin::Nowhere)
    }
}
