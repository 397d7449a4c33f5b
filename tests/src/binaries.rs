//! The built binaries, started as a user would start them.

use std::{
    path::PathBuf,
    process::{Command as Blocking, Stdio},
    sync::OnceLock,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a program may take to say what a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The path of a binary of the workspace, built if it is not.
pub fn path(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    // `cargo test` builds binaries of the tested package only, and these belong to others.
    BUILT.get_or_init(|| {
        let status = Blocking::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--workspace",
                "--bins",
                "--all-features",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "the binaries do not build");
    });
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A running program. It is killed when the test ends, whatever way it ends.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    child: Child,
}

impl Program {
    /// Starts a binary of the workspace with nothing in its environment but `environment`.
    pub fn start(name: &'static str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let child = Command::new(path(name))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { name, child }
    }

    /// The first line on stdout in which `find` finds something.
    pub async fn stdout<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        let stdout = self.child.stdout.take().expect("stdout is read once");
        first(self.name, stdout, find).await
    }

    /// The first line on stderr in which `find` finds something.
    pub async fn stderr<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        let stderr = self.child.stderr.take().expect("stderr is read once");
        first(self.name, stderr, find).await
    }

    /// Asks the program to end (SIGTERM) and gives its exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().expect("it runs").to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(asked.unwrap().success());
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends when it is asked to").unwrap().code()
    }
}

async fn first<T>(
    name: &str,
    stream: impl AsyncRead + Unpin + Send + 'static,
    find: impl Fn(&str) -> Option<T>,
) -> T {
    let mut lines = BufReader::new(stream).lines();
    let mut seen = Vec::new();
    let found = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(found) = find(&line) {
                return Some(found);
            }
            seen.push(line);
        }
        None
    });
    let found = found.await.ok().flatten();
    let found = found.unwrap_or_else(|| panic!("{name} did not say it:\n{}", seen.join("\n")));
    // A full pipe would stop the program.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    found
}

/// The first `http://…` of a line, without what follows it.
pub fn url(line: &str) -> Option<String> {
    let start = line.find("http://")?;
    let url = &line[start..];
    let end = url
        .find(|char: char| char.is_whitespace() || matches!(char, '"' | ',' | '\u{1b}'))
        .unwrap_or(url.len());
    Some(url[..end].trim_end_matches('/').to_owned())
}
