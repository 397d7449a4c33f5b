//! The file itself: whether it is another one than before, and what it holds.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _},
    path::Path,
    time::SystemTime,
};

use zeroize::Zeroizing;

/// Nobody's chain of certificates or token is larger.
const MAX_BYTES: u64 = 1024 * 1024;

/// Tells two states of a file, and of the one beside it, apart; links are followed. That one is missing is
/// a state, too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Stamp {
    own: One,
    beside: One,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct One {
    modified: Option<SystemTime>,
    length: u64,
    file: (u64, u64),
    is_pipe: bool,
}

impl Stamp {
    /// Asks the file system, which may hang.
    pub(super) fn of(path: &Path, beside: Option<&Path>) -> Self {
        let one = |path| {
            let metadata = fs::metadata(path);
            metadata.as_ref().map(One::of).unwrap_or_default()
        };
        Self {
            own: one(path),
            beside: beside.map(one).unwrap_or_default(),
        }
    }

    /// What has been read from it is gone.
    pub(super) const fn is_pipe(&self) -> bool {
        self.own.is_pipe
    }
}

impl One {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let file = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let file = (0, 0);
        let is_pipe = !metadata.is_file() && !metadata.is_dir();
        Self {
            // A pipe's changes with every use, and it holds nothing more for that.
            modified: (!is_pipe).then(|| metadata.modified().ok()).flatten(),
            length: if is_pipe { 0 } else { metadata.len() },
            file,
            is_pipe,
        }
    }
}

/// All of a file, wiped when it is dropped.
pub(in super::super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
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
