//! What a process has used, as Linux tells it in `/proc`: the one safe way to ask about another
//! process that still runs.

use anyhow::Context;
use anyhow::Result;
use std::fs;
use std::time::Duration;
use tokio::time::Instant;

/// CPU time is told in these: `USER_HZ` is 100 wherever weir runs (proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// A process of this machine, by its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process(pub(super) u32);

impl Process {
    /// This one.
    pub(super) fn own() -> Self {
        Self(std::process::id())
    }

    /// User and system time so far, all threads together.
    pub(super) fn cpu(self) -> Result<Duration> {
        let stat = self.read("stat")?;
        Ok(TICK * cpu_ticks(&stat).context("/proc/PID/stat cannot be understood")?)
    }

    /// The most memory it has had at a time (`VmHWM`), in KiB.
    pub(super) fn peak_kib(self) -> Result<u64> {
        let status = self.read("status")?;
        peak_kib(&status).context("/proc/PID/status cannot be understood")
    }

    fn read(self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).with_context(|| format!("{path} cannot be read (benchmarks need Linux)"))
    }
}

/// Fields 14 and 15. The second one, a name in parentheses, may hold spaces and parentheses itself.
fn cpu_ticks(stat: &str) -> Option<u32> {
    let (_, from_third) = stat.rsplit_once(')')?;
    let mut times = from_third.split_whitespace().skip(11).map(str::parse::<u32>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

fn peak_kib(status: &str) -> Option<u64> {
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix(" kB")?.parse().ok()
}

/// Takes wall and CPU time from a moment on, of this process and of one beside it, if any.
pub(super) struct Stopwatch {
    beside: Option<Process>,
    began: Instant,
    own: Duration,
    other: Duration,
}

/// What went by on a stopwatch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) wall: Duration,
    /// CPU time of this process.
    pub(super) own: Duration,
    /// CPU time of the process beside it.
    pub(super) beside: Duration,
}

impl Stopwatch {
    pub(super) fn start(beside: Option<Process>) -> Result<Self> {
        let (own, other) = cpu_of(beside)?;
        Ok(Self { beside, began: Instant::now(), own, other })
    }

    pub(super) fn stop(self) -> Result<Spent> {
        let wall = self.began.elapsed();
        let (own, other) = cpu_of(self.beside)?;
        Ok(Spent { wall, own: own.saturating_sub(self.own), beside: other.saturating_sub(self.other) })
    }
}

fn cpu_of(beside: Option<Process>) -> Result<(Duration, Duration)> {
    let other = beside.map_or(Ok(Duration::ZERO), Process::cpu)?;
    Ok((Process::own().cpu()?, other))
}

/// A time shared out among `count` things, in microseconds each.
pub(super) fn us_each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 3 0 1000 0 0";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("42 (weir) S 1"), None);
    }

    #[test]
    fn peak_memory_is_the_high_water_mark() {
        assert_eq!(peak_kib("Name:\tweir\nVmPeak:\t  9000 kB\nVmHWM:\t   812 kB\nVmRSS:\t   700 kB\n"), Some(812));
        assert_eq!(peak_kib("Name:\tweir\n"), None);
    }
}
