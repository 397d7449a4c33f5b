//! The configuration's file, and when it is another.

use std::{
    fs, future,
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Mutex, task, time};

use crate::reload::FILES;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long a file stays the same that is read because somebody asks for it.
const REST: Duration = Duration::from_millis(100);

/// How often it is looked at for that.
const LOOKS: usize = 50;

/// What the configuration's file holds, and when that is something else.
///
/// What it holds is compared, not its times, and by its path each time: Kubernetes mounts files as links
/// into a directory that it exchanges. Nothing is taken before it has stayed the same for a second look, since
/// a file is seldom written in one moment, and half of one may be valid. What was seen twice is what is given.
///
/// A pipe, or anything else that is no file, is read at the start only.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    /// Whether it can be read more than once.
    stays: bool,
    /// Stands for what was taken last.
    known: u64,
    /// Stands for what was seen last.
    seen: u64,
    hasher: RandomState,
    /// Who has it reads: a file system that hangs keeps one thread and no more.
    reading: Arc<Mutex<()>>,
}

impl ConfigFile {
    /// A file, and what it holds now, which counts as taken.
    pub fn open(path: impl Into<PathBuf>) -> (Self, io::Result<String>) {
        let path = path.into();
        // One that is not there yet is none of those that can be read once.
        let stays = fs::metadata(&path).map_or(true, |metadata| metadata.is_file());
        let text = fs::read_to_string(&path);
        let mut file = Self {
            path,
            stays,
            known: 0,
            seen: 0,
            hasher: RandomState::new(),
            reading: Arc::default(),
        };
        file.take(&text);
        (file, text)
    }

    /// Waits until the file holds something else, or cannot be read any more, and gives what it holds; that counts as
    /// taken. Nothing is missed where the future is dropped. Needs a Tokio runtime with timers.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub async fn changed(&mut self) -> io::Result<String> {
        if !self.stays {
            return future::pending().await;
        }
        loop {
            time::sleep(LOOK).await;
            let found = self.read_in_time().await;
            if matches!(&found, Err(error) if error.kind() == io::ErrorKind::TimedOut) {
                // That took long enough to be sure of it.
                self.seen = self.stands_for(&found);
            }
            if self.look(&found) {
                return found;
            }
        }
    }

    /// Gives what the file holds, once that has stayed the same for a moment; it counts as taken.
    ///
    /// # Errors
    ///
    /// It cannot be read, or only once, or does not stay the same.
    pub async fn settled(&mut self) -> io::Result<String> {
        if !self.stays {
            let why =
                "it is no regular file, so that it is read when the gateway starts and not again";
            return Err(io::Error::other(why));
        }
        let mut found = self.read_in_time().await;
        for _ in 0..LOOKS {
            time::sleep(REST).await;
            let before = self.stands_for(&found);
            found = self.read_in_time().await;
            if self.stands_for(&found) == before {
                self.take(&found);
                return found;
            }
        }
        Err(io::Error::other("it does not stay the same for 100 ms"))
    }

    fn take(&mut self, found: &io::Result<String>) {
        self.known = self.stands_for(found);
        self.seen = self.known;
    }

    /// Whether there is something to take; it counts as taken.
    fn look(&mut self, found: &io::Result<String>) -> bool {
        let found = self.stands_for(found);
        let settled = std::mem::replace(&mut self.seen, found) == found;
        let changed = settled && found != self.known;
        if changed {
            self.known = found;
        }
        changed
    }

    fn stands_for(&self, found: &io::Result<String>) -> u64 {
        self.hasher
            .hash_one(found.as_deref().map_err(io::Error::kind))
    }

    async fn read_in_time(&self) -> io::Result<String> {
        let read = time::timeout(FILES, self.read()).await;
        read.unwrap_or_else(|_| {
            let why = "its file system does not answer";
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        })
    }

    /// A file system may hang; whoever waits for a signal must not.
    async fn read(&self) -> io::Result<String> {
        let reading = Arc::clone(&self.reading).lock_owned().await;
        let path = self.path.clone();
        let read = task::spawn_blocking(move || {
            let _reading = reading;
            again(&path)
        });
        read.await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// Reads a file that may have become something else: opening a pipe would wait for whoever writes.
fn again(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file any more"));
    }
    fs::read_to_string(path)
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

    impl ConfigFile {
        fn sees(&mut self) -> bool {
            self.look(&again(&self.path))
        }
    }

    #[test]
    fn a_change_is_said_once_and_only_when_it_has_settled() {
        let folder = Folder::new("config-file");
        let path = folder.0.join("gateway.toml");
        fs::write(&path, "one").unwrap();
        let (mut file, text) = ConfigFile::open(&path);
        assert_eq!(text.unwrap(), "one");
        assert!(!file.sees());
        fs::write(&path, "tw").unwrap();
        assert!(!file.sees(), "it may not have settled");
        fs::write(&path, "two").unwrap();
        assert!(!file.sees(), "it had not");
        assert!(file.sees());
        assert!(!file.sees(), "it has been said");
        fs::write(&path, "two").unwrap();
        assert!(!file.sees() && !file.sees(), "the same was written");
        fs::remove_file(&path).unwrap();
        assert!(!file.sees());
        assert!(file.sees(), "it is gone");
        fs::write(&path, "two").unwrap();
        assert!(!file.sees());
        assert!(file.sees(), "it is there again");
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
        let mut file = ConfigFile::open(at("gateway.toml")).0;
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(!file.sees());
        assert!(file.sees());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_is_no_change_afterwards() {
        let folder = Folder::new("config-asked");
        let path = folder.0.join("gateway.toml");
        fs::write(&path, "one").unwrap();
        let (mut file, _) = ConfigFile::open(&path);
        fs::write(&path, "two").unwrap();
        assert!(!file.sees());
        assert_eq!(file.settled().await.unwrap(), "two");
        assert!(!file.sees() && !file.sees(), "it has been taken");
        fs::write(&path, "three").unwrap();
        assert_eq!(file.changed().await.unwrap(), "three");
    }

    #[tokio::test(start_paused = true)]
    async fn cf_04_half_of_a_file_is_not_taken_by_who_asks_for_it() {
        let folder = Folder::new("config-half");
        let path = folder.0.join("gateway.toml");
        fs::write(&path, "one").unwrap();
        let (mut file, _) = ConfigFile::open(&path);
        fs::write(&path, "tw").unwrap();
        let written = path.clone();
        let rest = async move {
            time::sleep(REST / 2).await;
            fs::write(&written, "two").unwrap();
        };
        let (taken, ()) = tokio::join!(file.settled(), rest);
        assert_eq!(taken.unwrap(), "two");
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_pipe_is_read_once_and_whoever_asks_for_it_again_is_told_so() {
        let folder = Folder::new("config-pipe");
        let path = folder.0.join("gateway.toml");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let into = path.clone();
        let writer = std::thread::spawn(move || fs::write(into, "one"));
        let (mut file, text) = ConfigFile::open(&path);
        writer.join().unwrap().unwrap();
        assert_eq!(text.unwrap(), "one");
        let error = file.settled().await.unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
        let waited = time::timeout(LOOK * 5, file.changed()).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_pipe_in_the_place_of_the_file_keeps_nobody() {
        let folder = Folder::new("config-replaced");
        let path = folder.0.join("gateway.toml");
        fs::write(&path, "one").unwrap();
        let (mut file, _) = ConfigFile::open(&path);
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let error = file.settled().await.unwrap_err();
        assert!(error.to_string().contains("any more"), "{error}");
    }
}
