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

use super::{CALLERS, gateways::Gateway};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A gateway says what it has within that, or does not.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of the looks that a third has time for, so many must have been; else its figures say nothing.
const SEEN: f64 = 0.9;

/// More memory than that, in the last third beside the second, is growth.
const SHARE: f64 = 1.10;
const MIB: u64 = 2;

/// So many files or tasks more are none that were forgotten: somebody asks for the figures, say.
const FEW: u64 = 16;

#[derive(Clone, Copy, Debug)]
struct Sample {
    after: Duration,
    kib: u64,
    files: u64,
    threads: u64,
    /// Of the gateway's runtimes, as it tells of them.
    tasks: u64,
}

/// A process that is being looked at.
pub(crate) struct Samples {
    gateway: Watched,
    begun: Instant,
    time: Duration,
    taken: Arc<Mutex<Vec<Sample>>>,
    looking: JoinHandle<()>,
}

impl Samples {
    pub(crate) fn begin(gateway: &Gateway, time: Duration) -> Self {
        let gateway = Watched {
            pid: gateway.id(),
            metrics: format!("{}/metrics", gateway.admin),
            client: reqwest::Client::builder()
                .timeout(PATIENCE)
                .build()
                .expect("a client"),
        };
        let watched = gateway.clone();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (shared, begun) = (Arc::clone(&taken), Instant::now());
        let looking = tokio::spawn(async move {
            let mut ticks = time::interval(EVERY);
            loop {
                ticks.tick().await;
                let sample = watched.look(begun.elapsed()).await;
                shared.lock().unwrap().push(sample);
            }
        });
        Self {
            gateway,
            begun,
            time,
            taken,
            looking,
        }
    }

    /// One last look.
    pub(crate) async fn end(self) -> Resources {
        assert!(
            !self.looking.is_finished(),
            "looking at a gateway has ended"
        );
        self.looking.abort();
        let last = self.gateway.look(self.begun.elapsed()).await;
        let taken = self.taken.lock().unwrap().clone();
        let third = |number: u32| {
            let from = self.time * number / 3;
            let to = self.time * (number + 1) / 3;
            let of = taken
                .iter()
                .filter(|sample| (from..to).contains(&sample.after));
            Third::of(of.copied().collect())
        };
        let most = (self.time / 3).as_secs_f64() / EVERY.as_secs_f64();
        Resources {
            first: taken.first().copied().unwrap_or(last),
            wanted: (most * SEEN) as usize,
            thirds: [third(0), third(1), third(2)],
            last,
        }
    }
}

#[derive(Clone, Debug)]
struct Watched {
    pid: u32,
    metrics: String,
    client: reqwest::Client,
}

impl Watched {
    async fn look(&self, after: Duration) -> Sample {
        let pid = self.pid;
        let tasks = self.tasks().await;
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
            tasks,
        }
    }

    async fn tasks(&self) -> u64 {
        let answer = self.client.get(&self.metrics).send().await;
        let text = answer.expect("it tells of itself").text().await.unwrap();
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix("obo_tasks "));
        line.expect("it tells of its tasks").parse().unwrap()
    }
}

/// Of a third of the time: medians, and the most of everything. How many requests run at once, and so connections
/// and tasks, is chance for a moment; what is never given back shows in the median.
#[derive(Clone, Copy, Debug, Default)]
struct Third {
    /// How often it was looked at.
    looks: usize,
    kib: u64,
    most_kib: u64,
    files: u64,
    most_files: u64,
    threads: u64,
    tasks: u64,
    most_tasks: u64,
}

impl Third {
    fn of(samples: Vec<Sample>) -> Self {
        let sorted = |of: fn(&Sample) -> u64| {
            let mut values: Vec<u64> = samples.iter().map(of).collect();
            values.sort_unstable();
            values
        };
        let median = |of| sorted(of).get(samples.len() / 2).copied().unwrap_or(0);
        let most = |of| sorted(of).last().copied().unwrap_or(0);
        Self {
            looks: samples.len(),
            kib: median(|sample| sample.kib),
            most_kib: most(|sample| sample.kib),
            files: median(|sample| sample.files),
            most_files: most(|sample| sample.files),
            threads: most(|sample| sample.threads),
            tasks: median(|sample| sample.tasks),
            most_tasks: most(|sample| sample.tasks),
        }
    }
}

const NAMES: [&str; 3] = ["first", "second", "last"];

#[derive(Debug)]
pub(crate) struct Resources {
    /// Before the first caller.
    first: Sample,
    /// So many looks at least say something of a third.
    wanted: usize,
    thirds: [Third; 3],
    last: Sample,
}

impl Resources {
    /// What has grown after the first third, which is for warming up, or was not seen.
    pub(crate) fn growth(&self) -> Vec<String> {
        let [_, second, third] = self.thirds;
        let mut found = Vec::new();
        for (name, third) in NAMES.into_iter().zip(self.thirds) {
            if third.looks < self.wanted {
                found.push(format!(
                    "it was looked at {} times in the {name} third, and not {}",
                    third.looks, self.wanted
                ));
            }
        }
        if third.kib as f64 > (second.kib as f64).mul_add(SHARE, (MIB * 1024) as f64) {
            found.push(format!(
                "memory grew from {} to {} KiB",
                second.kib, third.kib
            ));
        }
        // As many requests, as many connections, more or less.
        let more = |than: u64| (than as f64).mul_add(SHARE, FEW as f64) as u64;
        if third.files > more(second.files) {
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
        if third.tasks > more(second.tasks) {
            found.push(format!(
                "tasks grew from {} to {}",
                second.tasks, third.tasks
            ));
        }
        // Without callers it is as it was before the first of them, but for connections to Entra ID: as many as
        // callers have waited for one at once, which are kept for a minute and a half.
        let kept = CALLERS as u64 + FEW;
        for (what, first, last) in [
            ("files are open", self.first.files, self.last.files),
            ("tasks run", self.first.tasks, self.last.tasks),
        ] {
            if last > first + kept {
                found.push(format!(
                    "{last} {what} after the last caller, and {first} before the first"
                ));
            }
        }
        found
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| the gateway that ran all the time | memory, median MiB | at most | open files, median | at most | tasks, median | at most | threads |\n|---|---|---|---|---|---|---|---|"
        )?;
        let mib = |kib: u64| kib as f64 / 1024.0;
        for (name, third) in NAMES.into_iter().zip(self.thirds) {
            let (median, most) = (mib(third.kib), mib(third.most_kib));
            let Third {
                files,
                most_files,
                threads,
                tasks,
                most_tasks,
                ..
            } = third;
            writeln!(
                f,
                "| {name} third | {median:.1} | {most:.1} | {files} | {most_files} | {tasks} | {most_tasks} | {threads} |"
            )?;
        }
        for (when, sample) in [
            ("before the first caller", self.first),
            ("after the last", self.last),
        ] {
            let Sample {
                kib,
                files,
                threads,
                tasks,
                ..
            } = sample;
            writeln!(
                f,
                "| {when} | {:.1} | | {files} | | {tasks} | | {threads} |",
                mib(kib)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Sample = Sample {
        after: Duration::ZERO,
        kib: 10_000,
        files: 20,
        threads: 4,
        tasks: 30,
    };

    fn resources(looks: [usize; 3], last: Sample) -> Resources {
        let third = |looks: usize, sample| Third::of(vec![sample; looks]);
        Resources {
            first: SAMPLE,
            wanted: 18,
            thirds: [
                third(looks[0], SAMPLE),
                third(looks[1], SAMPLE),
                third(looks[2], last),
            ],
            last: SAMPLE,
        }
    }

    #[test]
    fn what_has_grown_is_found_and_so_is_what_was_not_seen() {
        assert_eq!(
            resources([20, 18, 19], SAMPLE).growth(),
            Vec::<String>::new()
        );
        let grown = Sample {
            kib: 14_000,
            ..SAMPLE
        };
        assert_eq!(
            resources([20; 3], grown).growth(),
            ["memory grew from 10000 to 14000 KiB"]
        );
        // A gateway that said nothing has not stayed as it was.
        assert_eq!(
            resources([20, 17, 0], SAMPLE).growth(),
            [
                "it was looked at 17 times in the second third, and not 18",
                "it was looked at 0 times in the last third, and not 18"
            ]
        );
    }
}
