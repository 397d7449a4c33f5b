//! What the process of a gateway takes, from its beginning to its end.

use std::{
    fmt, fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{self, Instant},
};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// More memory than that, in the last third beside the second, is growth.
const SHARE: f64 = 1.10;
const MIB: u64 = 2;

#[derive(Clone, Copy, Debug)]
struct Sample {
    after: Duration,
    kib: u64,
    files: u64,
    threads: u64,
}

/// A process that is being looked at.
pub(crate) struct Samples {
    pid: u32,
    begun: Instant,
    time: Duration,
    taken: Arc<Mutex<Vec<Sample>>>,
    looking: JoinHandle<()>,
}

impl Samples {
    pub(crate) fn begin(pid: u32, time: Duration) -> Self {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (shared, begun) = (Arc::clone(&taken), Instant::now());
        let looking = tokio::spawn(async move {
            let mut ticks = time::interval(EVERY);
            loop {
                ticks.tick().await;
                let sample = look(pid, begun.elapsed());
                shared.lock().unwrap().push(sample);
            }
        });
        Self {
            pid,
            begun,
            time,
            taken,
            looking,
        }
    }

    /// One last look.
    pub(crate) fn end(self) -> Resources {
        self.looking.abort();
        let last = look(self.pid, self.begun.elapsed());
        let taken = self.taken.lock().unwrap().clone();
        let third = |number: u32| {
            let from = self.time * number / 3;
            let to = self.time * (number + 1) / 3;
            let of = taken
                .iter()
                .filter(|sample| (from..to).contains(&sample.after));
            Third::of(of.copied().collect())
        };
        Resources {
            thirds: [third(0), third(1), third(2)],
            last,
        }
    }
}

fn look(pid: u32, after: Duration) -> Sample {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the gateway runs");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("the gateway runs");
    Sample {
        after,
        kib: field("VmRSS:"),
        files: files.count() as u64,
        threads: field("Threads:"),
    }
}

/// Of a third of the time: the median of the memory, and the most of everything.
#[derive(Clone, Copy, Debug, Default)]
struct Third {
    kib: u64,
    most_kib: u64,
    files: u64,
    threads: u64,
}

impl Third {
    fn of(mut samples: Vec<Sample>) -> Self {
        samples.sort_by_key(|sample| sample.kib);
        let most = |of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or(0);
        Self {
            kib: samples
                .get(samples.len() / 2)
                .map_or(0, |sample| sample.kib),
            most_kib: most(|sample| sample.kib),
            files: most(|sample| sample.files),
            threads: most(|sample| sample.threads),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Resources {
    thirds: [Third; 3],
    last: Sample,
}

impl Resources {
    /// What has grown after the first third, which is for warming up.
    pub(crate) fn growth(&self) -> Vec<String> {
        let [_, second, third] = self.thirds;
        let mut found = Vec::new();
        if third.kib as f64 > (second.kib as f64).mul_add(SHARE, (MIB * 1024) as f64) {
            found.push(format!(
                "memory grew from {} to {} KiB",
                second.kib, third.kib
            ));
        }
        // As many callers, as many connections; a few are made while others are being closed.
        if third.files > second.files + 16 {
            found.push(format!(
                "open files grew from {} to {}",
                second.files, third.files
            ));
        }
        // Threads that may block come and go.
        if third.threads > second.threads + 4 {
            found.push(format!(
                "threads grew from {} to {}",
                second.threads, third.threads
            ));
        }
        // Without callers there are fewer, whatever is kept for the next.
        if self.last.files > second.files {
            found.push(format!(
                "{} files are open after the last caller",
                self.last.files
            ));
        }
        found
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| the gateway that ran all the time | memory, median MiB | at most | open files, at most | threads |\n|---|---|---|---|---|"
        )?;
        let mib = |kib: u64| kib as f64 / 1024.0;
        for (name, third) in ["first third", "second", "last"]
            .into_iter()
            .zip(self.thirds)
        {
            let (median, most) = (mib(third.kib), mib(third.most_kib));
            let (files, threads) = (third.files, third.threads);
            writeln!(
                f,
                "| {name} | {median:.1} | {most:.1} | {files} | {threads} |"
            )?;
        }
        let last = self.last;
        let (now, files, threads) = (mib(last.kib), last.files, last.threads);
        writeln!(
            f,
            "| after the last caller | {now:.1} | | {files} | {threads} |"
        )
    }
}
