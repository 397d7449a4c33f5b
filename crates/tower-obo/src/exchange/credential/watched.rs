//! Files that others replace while we run: in place, by renaming, or as Kubernetes does, by turning
//! a link to another directory.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use zeroize::Zeroizing;

/// Nobody's chain of certificates or token is larger.
const MAX_BYTES: u64 = 1024 * 1024;

/// A file, with the last good thing that was read of it.
pub(super) struct Watched<T> {
    path: PathBuf,
    seen: Mutex<Seen<T>>,
}

struct Seen<T> {
    /// With the state of the file that it was read of, unless that is to be forgotten.
    good: Option<(Option<Stamp>, Arc<T>)>,
    /// The state of the file that has been warned about: once for each change.
    warned: Option<Stamp>,
}

/// Tells two states of a file apart; links are followed. That it is missing is a state, too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    file: (u64, u64),
    is_pipe: bool,
}

/// Whether a file that looks unchanged is read all the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reread {
    IfChanged,
    /// Unless it is a pipe, which has nothing to read any more.
    Always,
}

impl<T> Watched<T> {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            seen: Mutex::new(Seen {
                good: None,
                warned: None,
            }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file counts as changed.
    pub(super) fn forget(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stamp, _)) = &mut seen.good {
            *stamp = None;
        }
    }

    /// What the file holds; the last good thing while it cannot be read or `parse` refuses it.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// What is wrong, when there has never been a good one.
    pub(super) fn current(
        &self,
        reread: Reread,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Arc<T>, String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = fs::metadata(&self.path);
        let stamp = metadata.as_ref().map(Stamp::of).unwrap_or_default();
        if let Some((Some(of), good)) = &seen.good
            && *of == stamp
            && (reread == Reread::IfChanged || stamp.is_pipe)
        {
            return Ok(Arc::clone(good));
        }
        let parsed = read(&self.path).and_then(|bytes| parse(&bytes));
        match parsed.map_err(|error| format!("{} {error}", self.path.display())) {
            Ok(value) => {
                let value = Arc::new(value);
                // A file that was changed while it was read has another stamp the next time.
                seen.good = Some((Some(stamp), Arc::clone(&value)));
                seen.warned = None;
                Ok(value)
            }
            Err(error) => {
                let Some((_, good)) = &seen.good else {
                    return Err(error);
                };
                let good = Arc::clone(good);
                if seen.warned != Some(stamp) {
                    tracing::warn!(%error, "the last good credential stays in use");
                    seen.warned = Some(stamp);
                }
                Ok(good)
            }
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    // Enough room from the beginning: what a vector outgrows is not wiped.
    let room = usize::try_from(length.min(MAX_BYTES)).unwrap_or(0) + 64 * 1024;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.by_ref()
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {MAX_BYTES} bytes"));
    }
    Ok(bytes)
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let file = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let file = (0, 0);
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            file,
            is_pipe: !metadata.is_file() && !metadata.is_dir(),
        }
    }
}
