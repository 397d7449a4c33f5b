use std::{
    fs,
    sync::{
        Mutex as StdMutex,
        atomic::{AtomicBool, AtomicUsize},
        mpsc::{Receiver, Sender, channel},
    },
};

use futures_util::FutureExt as _;

use super::{
    super::tests::{Folder, Lines},
    *,
};

/// Texts, of which those that begin with `bad` are bad.
#[derive(Default)]
struct Text {
    parsed: AtomicUsize,
    /// Until it gives something, a text is being parsed.
    held: StdMutex<Option<Receiver<()>>>,
    /// When all of them end.
    until: Option<Timestamp>,
    /// Whether the file is read even if it looks unchanged.
    always: AtomicBool,
}

impl Format for Text {
    type Value = String;

    fn parse(&self, bytes: &[u8], _: Option<&String>, _: Timestamp) -> Result<Parsed<String>, Bad> {
        self.parsed.fetch_add(1, Ordering::SeqCst);
        if let Some(held) = self.held.lock().unwrap().take() {
            let _ = held.recv();
        }
        let value = String::from_utf8(bytes.to_vec()).unwrap();
        if value.starts_with("bad") {
            return Err("is bad".into());
        }
        Ok(Parsed {
            value,
            until: self.until,
        })
    }

    fn reads_always(&self, _: Option<Timestamp>, _: Timestamp) -> bool {
        self.always.load(Ordering::SeqCst)
    }
}

type File = Arc<Watched<Text>>;

const NOW: Timestamp = Timestamp::from_unix(1_000_000);

fn file(path: PathBuf) -> File {
    Arc::new(Watched::new(path, Text::default()))
}

fn hold(file: &File) -> Sender<()> {
    let (go_on, held) = channel();
    *file.format.held.lock().unwrap() = Some(held);
    go_on
}

fn parsed(file: &File) -> usize {
    file.format.parsed.load(Ordering::SeqCst)
}

async fn used(file: &File, now: Timestamp) -> String {
    file.current(now).await.unwrap().to_string()
}

/// Until everything waits for something other than another task.
async fn settled() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Whoever reads it hangs as with a file system of the network, until somebody writes.
struct Pipe(PathBuf);

impl Pipe {
    fn at(path: &Path) -> Self {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
        Self(path.to_path_buf())
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }
}

impl Drop for Pipe {
    /// A test that fails leaves no reader behind, for which its runtime would wait.
    fn drop(&mut self) {
        let _ = fs::File::options().read(true).write(true).open(&self.0);
    }
}

/// A refusal sends one request to the file. Where that has nothing better, the others do not queue up
/// for another look.
#[tokio::test(start_paused = true)]
async fn after_a_refusal_one_look_is_enough() {
    for (after, looks) in [("bad", 2), ("old", 1)] {
        let folder = Folder::new();
        let path = folder.put("f", "old");
        let file = file(path.clone());
        assert_eq!(used(&file, NOW).await, "old");
        fs::write(&path, after).unwrap();
        file.refused(|_| true);
        assert_eq!(used(&file, NOW).await, "old", "{after}");
        let looking = file.hold();
        let begun = tokio::time::Instant::now();
        assert_eq!(used(&file, NOW).await, "old", "{after}");
        assert_eq!(begun.elapsed(), Duration::ZERO, "{after}");
        drop(looking);
        assert_eq!(parsed(&file), looks, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn cf_06_a_file_that_hangs_keeps_one_request_for_a_second_and_nobody_else() {
    let folder = Folder::new();
    let path = folder.put("f", "old");
    let file = file(path.clone());
    assert_eq!(used(&file, NOW).await, "old");

    fs::remove_file(&path).unwrap();
    let pipe = Pipe::at(&path);
    let first = tokio::spawn({
        let file = Arc::clone(&file);
        async move { used(&file, NOW).await }
    });
    settled().await;
    for _ in 0..100 {
        let others = file
            .current(NOW)
            .now_or_never()
            .expect("it should not wait");
        assert_eq!(*others.unwrap(), "old");
    }
    assert!(!first.is_finished());
    tokio::time::advance(PATIENCE).await;
    assert_eq!(first.await.unwrap(), "old");
    let others = file.current(NOW).now_or_never().expect("it hangs still");
    assert_eq!(*others.unwrap(), "old");

    pipe.write("new");
    while used(&file, NOW).await != "new" {
        tokio::task::yield_now().await;
    }
}

/// It began before the refusal, and may have seen what was there before.
#[tokio::test(start_paused = true)]
async fn ex_05_a_look_that_takes_too_long_does_not_bring_a_refused_value_back() {
    let folder = Folder::new();
    let path = folder.put("f", "old");
    let file = file(path.clone());
    assert_eq!(used(&file, NOW).await, "old");
    fs::remove_file(&path).unwrap();
    let pipe = Pipe::at(&path);
    let first = tokio::spawn({
        let file = Arc::clone(&file);
        async move { used(&file, NOW).await }
    });
    settled().await;
    file.refused(|_| true);
    tokio::time::advance(PATIENCE).await;
    assert_eq!(first.await.unwrap(), "old");
    assert!(file.usable(NOW).is_none());
    // Who was refused waits for a look of its own, and then there is nothing else.
    let second = tokio::spawn({
        let file = Arc::clone(&file);
        async move { used(&file, NOW).await }
    });
    settled().await;
    assert!(!second.is_finished());
    tokio::time::advance(LIMIT).await;
    assert_eq!(second.await.unwrap(), "old");
    assert!(file.usable(NOW).is_some());
    pipe.write("new");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_hangs_from_the_beginning_is_not_there_at_present() {
    let folder = Folder::new();
    let path = folder.path("f");
    let pipe = Pipe::at(&path);
    let file = file(path.clone());
    let first = tokio::spawn({
        let file = Arc::clone(&file);
        async move { file.current(NOW).await }
    });
    settled().await;
    tokio::time::advance(LIMIT).await;
    let late = first.await.unwrap().unwrap_err();
    let text = format!("{} could not be read in time", path.display());
    assert_eq!(late, CredentialError::Unavailable(text));
    pipe.write("new");
    assert_eq!(used(&file, NOW).await, "new");
}

#[tokio::test]
async fn a_bad_file_is_read_once_for_each_change_and_a_minute_later() {
    let folder = Folder::new();
    let file = file(folder.put("f", "bad"));
    for _ in 0..3 {
        assert!(file.current(NOW).await.is_err());
    }
    assert_eq!(parsed(&file), 1);
    folder.put("f", "old");
    assert_eq!(used(&file, NOW).await, "old");
    folder.put("f", "bad");
    for _ in 0..3 {
        assert_eq!(used(&file, NOW).await, "old");
        file.refused(|_| true);
    }
    assert_eq!(parsed(&file), 3);
    folder.put("f", "bad again");
    assert_eq!(used(&file, NOW).await, "old");
    assert_eq!(parsed(&file), 4);
    let minute = NOW + REREAD;
    assert_eq!(used(&file, minute).await, "old");
    assert_eq!(used(&file, minute).await, "old");
    assert_eq!(parsed(&file), 5);
}

/// Another text of the same length, of which the file's time does not tell.
fn rewrite(path: &Path, text: &str) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, text).unwrap();
    let opened = fs::File::options().write(true).open(path).unwrap();
    opened.set_modified(modified).unwrap();
}

/// Near the end of what is in use, a second look is worth more than what it costs.
#[tokio::test]
async fn what_is_always_read_is_read_whether_it_looks_unchanged_or_was_bad() {
    for first in ["old", "bad"] {
        let folder = Folder::new();
        let path = folder.put("f", "use");
        let file = file(path.clone());
        assert_eq!(used(&file, NOW).await, "use");
        folder.put("f", first);
        let _ = used(&file, NOW).await;
        rewrite(&path, "new");
        assert_ne!(used(&file, NOW).await, "new", "{first}");
        file.format.always.store(true, Ordering::SeqCst);
        assert_eq!(used(&file, NOW).await, "new", "{first}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_used_by_nobody_while_somebody_looks_for_another() {
    let folder = Folder::new();
    let end = NOW + Duration::from_secs(10);
    let text = Text {
        until: Some(end),
        ..Text::default()
    };
    let file = Arc::new(Watched::new(folder.put("f", "old"), text));
    assert_eq!(used(&file, NOW).await, "old");
    let looking = file.hold();
    let late = file.current(end).await;
    assert!(late.is_err(), "{late:?}");
    drop(looking);
}

/// The refused one is used on where the file gives nothing in time: who comes later does not wait as long
/// again.
#[tokio::test(start_paused = true)]
async fn after_a_refusal_a_file_that_hangs_is_waited_for_once() {
    let folder = Folder::new();
    let path = folder.put("f", "old");
    let file = file(path.clone());
    assert_eq!(used(&file, NOW).await, "old");
    fs::remove_file(&path).unwrap();
    let pipe = Pipe::at(&path);
    file.refused(|_| true);
    let first = tokio::spawn({
        let file = Arc::clone(&file);
        async move { used(&file, NOW).await }
    });
    settled().await;
    tokio::time::advance(LIMIT).await;
    assert_eq!(first.await.unwrap(), "old");
    let next = file.current(NOW).now_or_never().expect("it hangs still");
    assert_eq!(*next.unwrap(), "old");
    pipe.write("new");
}

/// Texts of one length, in a file whose time does not tell them apart.
#[tokio::test]
async fn cf_06_a_file_that_looks_unchanged_is_read_a_minute_later() {
    let folder = Folder::new();
    let path = folder.put("f", "old");
    let file = file(path.clone());
    assert_eq!(used(&file, NOW).await, "old");
    rewrite(&path, "new");
    let last = NOW + (REREAD - Duration::from_secs(1));
    assert_eq!(used(&file, last).await, "old");
    assert_eq!(used(&file, NOW + REREAD).await, "new");
    // What has not changed is not parsed again.
    assert_eq!(used(&file, NOW + REREAD * 2).await, "new");
    assert_eq!(parsed(&file), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_who_are_refused_with_the_old_one_none_discards_the_new_one() {
    let folder = Folder::new();
    let file = file(folder.put("f", "old"));
    let old = file.current(NOW).await.unwrap();
    folder.put("f", "new");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (file, old) = (Arc::clone(&file), Arc::clone(&old));
        tasks.spawn(async move {
            file.refused(|value| Arc::ptr_eq(value, &old));
            used(&file, NOW).await
        });
    }
    for text in tasks.join_all().await {
        assert_eq!(text, "new");
    }
    assert_eq!(parsed(&file), 2);
    assert!(file.refusals.load(Ordering::SeqCst) <= 1);
}

#[tokio::test]
async fn after_a_refusal_a_look_that_had_begun_before_is_not_enough() {
    let folder = Folder::new();
    let file = file(folder.put("f", "old"));
    let old = file.current(NOW).await.unwrap();
    let go_on = hold(&file);
    folder.put("f", "new");
    let current = || {
        let file = Arc::clone(&file);
        tokio::spawn(async move { used(&file, NOW).await })
    };
    let before = current();
    while parsed(&file) < 2 {
        tokio::task::yield_now().await;
    }
    file.refused(|value| Arc::ptr_eq(value, &old));
    let after = current();
    settled().await;
    folder.put("f", "newer");
    go_on.send(()).unwrap();
    assert_ne!(before.await.unwrap(), "old");
    assert_eq!(after.await.unwrap(), "newer");
}

#[test]
fn cf_06_each_change_to_something_bad_is_one_line_of_the_log() {
    let lines = Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let folder = Folder::new();
    // There is no good one that would stay in use: whoever asks gets to know.
    let file = file(folder.put("f", "bad from the beginning"));
    assert!(file.check(NOW).is_err());
    let good = |text: &str, now: Timestamp| {
        folder.put("f", text);
        file.check(now).unwrap();
    };
    good("good", NOW);
    assert_eq!(lines.take(), [""; 0]);

    let warning = format!(
        "WARN message=the last good credential stays in use error=\"{} is bad\"",
        file.path().display()
    );
    for bad in ["bad s3cret", "bad in another way"] {
        good(bad, NOW);
        assert_eq!(lines.take(), [&*warning], "{bad}");
        for now in [NOW, NOW + REREAD] {
            file.check(now).unwrap();
        }
        assert_eq!(lines.take(), [""; 0], "{bad}: again");
    }
    good("good again", NOW + REREAD);
    assert_eq!(lines.take(), [""; 0]);
    fs::remove_file(file.path()).unwrap();
    file.check(NOW + REREAD).unwrap();
    let said = lines.take();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("cannot be read"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn cf_06_a_file_that_hangs_is_said() {
    let lines = Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    let folder = Folder::new();
    let path = folder.put("f", "old");
    let file = file(path.clone());
    assert_eq!(used(&file, NOW).await, "old");
    fs::remove_file(&path).unwrap();
    let pipe = Pipe::at(&path);
    let first = tokio::spawn({
        let file = Arc::clone(&file);
        async move { used(&file, NOW).await }
    });
    settled().await;
    tokio::time::advance(PATIENCE).await;
    assert_eq!(first.await.unwrap(), "old");
    pipe.write("new");
    assert_eq!(
        lines.take(),
        [format!(
            "WARN message=the last good credential stays in use error=\"{} could not be read in time\"",
            path.display()
        )]
    );
}
