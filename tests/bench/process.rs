//! What a process and those that it has started cost, as the kernel counts it.

use std::{
    fs,
    process::{Child, Command},
    time::Duration,
};

/// A server, which is asked to end when it is dropped: killed, nginx would leave its workers behind.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn start(command: &mut Command) -> Self {
        let program = command.get_program().to_owned();
        let started = command.spawn();
        Self(started.unwrap_or_else(|error| panic!("{}: {error}", program.display())))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        if asked.is_ok_and(|status| status.success()) {
            let _ = self.0.wait();
        }
    }
}

/// The kernel counts in these: `getconf CLK_TCK` is 100 wherever Linux runs today.
const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Cpu {
    /// Of a process and its children, from their start on.
    pub(crate) fn of(pid: u32) -> Self {
        let mut sum = Self::default();
        for pid in family(pid) {
            let Some(stat) = stat(pid) else { continue };
            let ticks = |field: usize| stat[field].parse::<u32>().unwrap_or(0);
            sum.user += TICK * ticks(11);
            sum.system += TICK * ticks(12);
        }
        sum
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }
}

/// Memory that is theirs, in KiB; what several share counts in parts (PSS).
pub(crate) fn memory(pid: u32) -> u64 {
    let of = |pid: u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    family(pid).into_iter().filter_map(of).sum()
}

fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    family.extend(ids.filter(|id| stat(*id).is_some_and(|stat| stat[1] == pid.to_string())));
    family
}

/// The fields behind the name, which may hold anything (proc_pid_stat(5)): state, parent, …
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}
