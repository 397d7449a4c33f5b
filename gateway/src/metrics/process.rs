//! What the system says of the process. Only Linux says it so.

/// Memory in bytes, open files, threads; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    pub(super) memory: Option<u64>,
    pub(super) files: Option<u64>,
    pub(super) threads: Option<u64>,
}

impl Process {
    pub(super) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let files = std::fs::read_dir("/proc/self/fd").ok();
        Self {
            memory: field(&status, "VmRSS:").and_then(|kib| kib.checked_mul(1024)),
            threads: field(&status, "Threads:"),
            // One of them is the folder itself.
            files: files.map(|files| (files.count() as u64).saturating_sub(1)),
        }
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_says_how_much_of_everything_there_is() {
        let process = Process::now();
        assert!(process.memory.unwrap() > 100_000, "{process:?}");
        assert!(process.files.unwrap() >= 3, "{process:?}");
        assert!(process.threads.unwrap() >= 1, "{process:?}");
    }
}
