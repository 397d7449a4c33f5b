//! The configuration's file, and when it is another.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    path::PathBuf,
    time::Duration,
};

use tokio::{task, time};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Says when a file has changed.
///
/// What it holds is compared, not its times, and by its path each time: Kubernetes mounts files as links
/// into a directory that it exchanges. Nothing is said before a change has stayed the same for a second look, a second
/// later, since a file is seldom written in one moment.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    /// Stands for what was taken last.
    known: u64,
    /// Stands for what was seen last.
    seen: u64,
    hasher: RandomState,
}

impl ConfigFile {
    /// A file, as it is now.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let mut file = Self {
            path: path.into(),
            known: 0,
            seen: 0,
            hasher: RandomState::new(),
        };
        file.known = file.read();
        file.seen = file.known;
        file
    }

    /// Waits until the file holds something else, or cannot be read any more. Nothing is missed where the future is
    /// dropped. Needs a Tokio runtime with timers.
    pub async fn changed(&mut self) {
        loop {
            time::sleep(LOOK).await;
            let mut looking = self.clone();
            // A file system may hang; whoever waits for a signal must not.
            let looked = task::spawn_blocking(move || {
                let changed = looking.look();
                (looking, changed)
            });
            if let Ok((looked, changed)) = looked.await {
                *self = looked;
                if changed {
                    return;
                }
            }
        }
    }

    /// Whether there is something to take; it counts as taken.
    fn look(&mut self) -> bool {
        let found = self.read();
        let settled = std::mem::replace(&mut self.seen, found) == found;
        let changed = settled && found != self.known;
        if changed {
            self.known = found;
        }
        changed
    }

    fn read(&self) -> u64 {
        let read = fs::read(&self.path).map_err(|error: io::Error| error.kind());
        self.hasher.hash_one(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("obo-gateway-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_change_is_said_once_and_only_when_it_has_settled() {
        let folder = Folder::new("config-file");
        let path = folder.0.join("gateway.toml");
        fs::write(&path, "one").unwrap();
        let mut file = ConfigFile::new(&path);
        assert!(!file.look());
        fs::write(&path, "tw").unwrap();
        assert!(!file.look(), "it may not have settled");
        fs::write(&path, "two").unwrap();
        assert!(!file.look(), "it had not");
        assert!(file.look());
        assert!(!file.look(), "it has been said");
        fs::write(&path, "two").unwrap();
        assert!(!file.look() && !file.look(), "the same was written");
        fs::remove_file(&path).unwrap();
        assert!(!file.look());
        assert!(file.look(), "it is gone");
        fs::write(&path, "two").unwrap();
        assert!(!file.look());
        assert!(file.look(), "it is there again");
    }

    #[cfg(unix)]
    #[test]
    fn cf_06_a_link_that_is_exchanged_as_kubernetes_does_is_a_change() {
        use std::os::unix::fs::symlink;
        let folder = Folder::new("config-link");
        let at = |name: &str| folder.0.join(name);
        for (name, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("gateway.toml"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/gateway.toml", at("gateway.toml")).unwrap();
        let mut file = ConfigFile::new(at("gateway.toml"));
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(!file.look());
        assert!(file.look());
    }
}
