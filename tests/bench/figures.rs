//! What was measured, as a table.

use std::{fmt::Write as _, time::Duration};

use super::{load::Seen, process::Cpu, proxies::Proxy, rig::Rig, start::STARTS};

/// One measurement of one proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Microseconds a request.
    user: f64,
    system: f64,
    per_second: f64,
    median: u64,
    slowest_of_100: u64,
    pub(crate) bad: u64,
    idle: u64,
    after: u64,
}

impl Sample {
    pub(crate) fn new(seen: &Seen, cpu: Cpu, idle: u64, after: u64) -> Self {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / seen.requests as f64;
        Self {
            user: each(cpu.user),
            system: each(cpu.system),
            per_second: seen.requests as f64 / seen.took.as_secs_f64(),
            median: seen.median,
            slowest_of_100: seen.slowest_of_100,
            bad: seen.bad,
            idle,
            after,
        }
    }

    pub(crate) fn micros(&self) -> f64 {
        self.user + self.system
    }

    pub(crate) const fn per_second(&self) -> f64 {
        self.per_second
    }
}

/// All of them, in the order of the proxies.
pub(crate) struct Figures {
    rows: Vec<Row>,
    /// From the gateway's start until it is ready.
    start: Duration,
}

struct Row {
    name: &'static str,
    does: &'static str,
    samples: Vec<Sample>,
}

impl Row {
    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<_> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

impl Figures {
    pub(crate) fn new(proxies: &[Proxy], start: Duration) -> Self {
        let row = |proxy: &Proxy| Row {
            name: proxy.name,
            does: proxy.does,
            samples: Vec::new(),
        };
        Self {
            rows: proxies.iter().map(row).collect(),
            start,
        }
    }

    pub(crate) fn add(&mut self, place: usize, sample: Sample) {
        self.rows[place].samples.push(sample);
    }

    pub(crate) fn any_bad(&self) -> bool {
        let mut samples = self.rows.iter().flat_map(|row| &row.samples);
        samples.any(|sample| sample.bad > 0)
    }

    /// Name, microseconds of the program itself and of the kernel.
    pub(crate) fn bars(&self) -> Vec<(&'static str, f64, f64)> {
        let bar = |row: &Row| {
            let user = row.median(|sample| sample.user);
            (row.name, user, row.median(|sample| sample.system))
        };
        self.rows.iter().map(bar).collect()
    }

    pub(crate) fn table(&self) -> String {
        let mut table = String::from(
            "| proxy | what it does | CPU µs/request (user/system) | beside HAProxy | requests/s of the whole rig | \
             p50/p99 ms | MiB idle/after |\n|---|---|---|---|---|---|---|\n",
        );
        let first = self.rows[0].median(Sample::micros);
        for row in &self.rows {
            let millis = |of: fn(&Sample) -> u64| row.median(|sample| of(sample) as f64) / 1e3;
            let mib = |of: fn(&Sample) -> u64| row.median(|sample| of(sample) as f64) / 1024.0;
            writeln!(
                table,
                "| {} | {} | {:.1} ({:.1}/{:.1}) | {:.2} | {:.0} | {:.1}/{:.1} | {:.1}/{:.1} |",
                row.name,
                row.does,
                row.median(Sample::micros),
                row.median(|sample| sample.user),
                row.median(|sample| sample.system),
                row.median(Sample::micros) / first,
                row.median(Sample::per_second),
                millis(|sample| sample.median),
                millis(|sample| sample.slowest_of_100),
                mib(|sample| sample.idle),
                mib(|sample| sample.after),
            )
            .unwrap();
        }
        table
    }

    pub(crate) fn start(&self) -> String {
        let start = self.start.as_secs_f64() * 1e3;
        format!(
            "From its start until it is ready, the keys fetched over loopback, obo-gateway takes {start:.0} ms (median of {STARTS} starts)."
        )
    }

    /// The page for the documentation.
    pub(crate) fn page(&self, rig: &Rig, rounds: usize, seconds: usize) -> String {
        format!(
            "# A load test beside HAProxy and nginx\n\n\
             Made by `DOCS=1 make bench`, which anybody can run (Debian's HAProxy, nginx and wrk). 64 connections over loopback, \
             {} RS256 tokens of {} bytes, all seen\nbefore, an answer of 200 bytes; medians of {rounds} interleaved rounds of \
             {seconds} s. Load generator, proxy and upstream share the machine's cores, so that\nCPU time of the proxy's own \
             processes is what to compare, within one run. Differences under 15 % are noise.\n\n{}\n{}\n\n\
             ![CPU time a request](bench.svg)\n\nWhat else was measured, and what the time goes into: [performance.md](performance.md).\n",
            rig.tokens,
            rig.token_bytes,
            self.table(),
            self.start(),
        )
    }
}
