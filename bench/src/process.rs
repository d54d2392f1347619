//! What a broker's processes use of the machine, read from /proc.
//!
//! A broker is started in a process group of its own; its usage is that of every process in it.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A broker's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessGroup {
    /// Every process of this group.
    Group(u32),
    /// One process, of a broker that somebody else started.
    Single(u32),
}

/// CPU and memory at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time so far.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
}

impl ProcessGroup {
    /// The processes that live now.
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        let group = match *self {
            ProcessGroup::Single(process) => return Ok(vec![process]),
            ProcessGroup::Group(group) => group,
        };
        let mut members = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            if Stat::read(process).is_some_and(|stat| stat.group == group) {
                members.push(process);
            }
        }
        Ok(members)
    }

    /// The sum over all of them; processes that end meanwhile count as nothing.
    pub fn usage(&self) -> io::Result<Usage> {
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        let mut usage = Usage::default();
        for process in self.processes()? {
            let Some(stat) = Stat::read(process) else {
                continue;
            };
            usage.cpu_seconds += stat.ticks as f64 / ticks_per_second;
            usage.resident_bytes += resident_bytes(process).unwrap_or_default();
        }
        Ok(usage)
    }
}

struct Stat {
    group: u32,
    ticks: u64,
}

impl Stat {
    fn read(process: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The command's name stands in parentheses and may hold anything; fields count from after it.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Stat {
            group: number(2)? as u32,
            ticks: number(11)? + number(12)?,
        })
    }
}

fn resident_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

/// Counts a broker's system calls for a while, by `perf stat` beside it.
#[derive(Debug)]
pub struct SystemCalls {
    perf: Child,
}

impl SystemCalls {
    /// Begins to count.
    pub fn count(process: &ProcessGroup, duration: Duration) -> io::Result<SystemCalls> {
        let processes: Vec<String> = process.processes()?.iter().map(u32::to_string).collect();
        let perf = Command::new("perf")
            .args([
                "stat",
                "-x",
                ",",
                "-e",
                "raw_syscalls:sys_enter",
                "-p",
                &processes.join(","),
            ])
            .args(["--", "sleep", &duration.as_secs_f64().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(SystemCalls { perf })
    }

    /// Waits for the end of that time; returns calls per second.
    pub fn per_second(self, duration: Duration) -> io::Result<f64> {
        let output = self.perf.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let count = text
            .lines()
            .find(|line| line.contains("sys_enter"))
            .and_then(|line| line.split(',').next())
            .and_then(|count| count.parse::<f64>().ok())
            .ok_or_else(|| {
                io::Error::other(format!("perf does not count system calls: {}", text.trim()))
            })?;
        Ok(count / duration.as_secs_f64())
    }
}
