use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::FutureExt as _;

use super::*;
use crate::SystemClock;
pub(super) use crate::lines::Lines;

/// A directory of its own, gone with the test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("obo-credential-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces a file as editors do.
    pub(super) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let beside = self.path("beside");
        fs::write(&beside, content).unwrap();
        fs::rename(beside, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn audience() -> Audience {
    Audience {
        token_endpoint: Arc::from("https://login.example/tenant/oauth2/v2.0/token"),
        client_id: Arc::from("11111111-0000-4000-8000-000000000001"),
        now: SystemClock.now(),
        single_use: false,
    }
}

pub(super) async fn written(credential: &Credential) -> Result<String, CredentialError> {
    let mut form = Form::default();
    credential.prove(&audience()).await?.write(&mut form);
    Ok(form.into_body().to_string())
}

fn unusable<T>(path: &Path, problem: &str) -> Result<T, CredentialError> {
    let text = format!("{} {problem}", path.display());
    Err(CredentialError::Unusable(text))
}

#[tokio::test]
async fn a_secret_file_is_read_anew_and_its_last_good_secret_stays() {
    let folder = Folder::new();
    let path = folder.path("secret");
    let credential = Credential::secret_file(&path);

    let missing = written(&credential).await.unwrap_err();
    assert!(matches!(missing, CredentialError::Unusable(text) if text.contains("cannot be read")));
    fs::write(&path, " \n").unwrap();
    assert_eq!(written(&credential).await, unusable(&path, "is empty"));
    fs::write(&path, b"\xff").unwrap();
    assert_eq!(written(&credential).await, unusable(&path, "is no UTF-8"));
    let large = vec![b'x'; 1024 * 1024 + 1];
    fs::write(&path, large).unwrap();
    let problem = "is larger than 1048576 bytes";
    assert_eq!(written(&credential).await, unusable(&path, problem));

    fs::write(&path, "first\n").unwrap();
    let first = Ok("client_secret=first".to_owned());
    assert_eq!(written(&credential).await, first);
    fs::write(&path, "other\n").unwrap();
    let other = Ok("client_secret=other".to_owned());
    assert_eq!(written(&credential).await, other);
    fs::write(&path, " \n").unwrap();
    assert_eq!(written(&credential).await, other);
    fs::remove_file(&path).unwrap();
    assert_eq!(written(&credential).await, other);
}

#[tokio::test]
async fn cf_06_a_secret_that_was_refused_is_not_used_again_before_its_file_was_looked_at() {
    let folder = Folder::new();
    let path = folder.put("secret", "old");
    let credential = Credential::secret_file(path);
    let audience = audience();
    let Kind::SecretFile(file) = &*credential.kind else {
        panic!("{credential:?}");
    };
    let old = credential.prove(&audience).await.unwrap();
    folder.put("secret", "new");
    let looking = file.hold();
    // While somebody looks, the others go on with what there is.
    let others = credential.prove(&audience).now_or_never().unwrap().unwrap();
    assert!(!others.is_another_secret_than(&old));
    credential.refused(&audience, &old);
    let mut next = Box::pin(credential.prove(&audience));
    assert!((&mut next).now_or_never().is_none());
    drop(looking);
    let next = next.await.unwrap();
    assert!(next.is_another_secret_than(&old));
    // The refusal of the old one comes again, and is no news.
    credential.refused(&audience, &old);
    let _looking = file.hold();
    assert!(credential.prove(&audience).now_or_never().is_some());
}

#[test]
fn a_secret_of_white_space_is_none() {
    for (secret, empty) in [("", true), (" \n", true), ("s", false), (" s ", false)] {
        let problem = Credential::secret(secret).problem();
        assert_eq!(problem.is_some(), empty, "{secret:?}");
    }
    assert!(Credential::secret_file("/nowhere").problem().is_none());
}
