//! Resource usage of processes: CPU time and memory, read from `/proc`.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, Result};

/// A process and its descendants.
///
/// nginx and httpd work in children of the process that was started.
pub fn tree(root: u32) -> Result<Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process that has ended since has no line any more.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = vec![root];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        if let Some(more) = children.remove(pid) {
            all.extend(more);
        }
        next += 1;
    }
    Ok(all)
}

/// The parent in a line of `/proc/PID/stat`; the name before it may contain any character.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// CPU time (user and system) of the threads of a process and its descendants, in nanoseconds'
/// resolution.
///
/// From the scheduler's own account. Threads that have ended are not in it: what is measured here
/// works with threads that stay.
pub fn cpu(root: u32) -> Result<Duration> {
    let mut sum = 0;
    for pid in tree(root)? {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
                continue;
            };
            sum += run_time(&text).context("/proc/PID/schedstat is not understood")?;
        }
    }
    Ok(Duration::from_nanos(sum))
}

fn run_time(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// CPU time of all processes of this machine, in hundredths of a second's resolution.
pub fn machine() -> Result<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks = busy(&stat).context("/proc/stat is not understood")?;
    Ok(TICK * ticks)
}

/// User, nice, system, irq and softirq time of all CPUs.
fn busy(stat: &str) -> Option<u32> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u32> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    [0, 1, 2, 5, 6]
        .iter()
        .map(|at| fields.get(*at).copied())
        .sum()
}

/// Resident memory of one process in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} has ended"))?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kibibytes.context("a process without VmRSS")? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_a_name_with_brackets() {
        assert_eq!(parent("7 (a) b (c)) S 42 7 7 0"), Some(42));
    }

    #[test]
    fn busy_time_leaves_idle_and_waiting_out() {
        assert_eq!(busy("cpu  1 2 4 1000 2000 8 16 0 0 0\ncpu0 1"), Some(31));
    }

    #[test]
    fn this_process_is_in_its_own_tree_and_has_memory() {
        let own = std::process::id();
        assert!(tree(own).unwrap().contains(&own));
        assert!(resident(own).unwrap() > 0);
    }
}
