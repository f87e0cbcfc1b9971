//! How does the machine fare that the load comes from?

use std::time::{Duration, Instant, SystemTime};

/// A wall clock that moved by more than this against the monotonic one, within a second, was set.
const STEP: Duration = Duration::from_millis(50);

/// Raises the limit of open files to what the system allows.
pub(super) fn raise_file_limit() {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
            && soft < hard
        {
            // What stays too low shows in `files_left`.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
    }
}

/// File handles left below the limit.
pub(super) fn files_left() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{Resource, getrlimit};
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        let open = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Some(soft.saturating_sub(open))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Ephemeral ports that no connection of this network namespace holds. A port may serve several
/// targets at a time, so more may be left than this tells.
pub(super) fn ports_left() -> Option<u64> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let sockets = std::fs::read_to_string("/proc/self/net/sockstat").ok()?;
    Some(port_range(&range)?.saturating_sub(ports_held(&sockets)?))
}

/// The size of `32768\t60999`.
fn port_range(text: &str) -> Option<u64> {
    let mut bounds = text.split_whitespace().map(str::parse::<u64>);
    let (low, high) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    Some((high + 1).saturating_sub(low))
}

/// Connections and waits after a close in `TCP: inuse 5 orphan 0 tw 3 alloc 7 mem 1`.
fn ports_held(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("TCP:"))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1)?.parse::<u64>().ok()
    };
    Some(value("inuse")? + value("tw")?)
}

/// CPU time that this process has used.
pub(super) fn cpu_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeValLike;
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let used = usage.user_time() + usage.system_time();
        Some(Duration::from_micros(
            u64::try_from(used.num_microseconds()).ok()?,
        ))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Finds steps of the wall clock.
#[derive(Debug)]
pub(super) struct WallWatch {
    last: (Instant, SystemTime),
}

impl WallWatch {
    pub(super) fn new() -> Self {
        Self {
            last: both_clocks(),
        }
    }

    /// By how many milliseconds the wall clock was set since the last look, if it was.
    pub(super) fn step(&mut self) -> Option<i64> {
        let now = both_clocks();
        let then = std::mem::replace(&mut self.last, now);
        step_between(then, now)
    }
}

/// Both clocks at nearly one instant: of a few readings the one with the least time between.
fn both_clocks() -> (Instant, SystemTime) {
    let readings = (0..5).map(|_| {
        let before = Instant::now();
        let wall = SystemTime::now();
        (before.elapsed(), (before, wall))
    });
    let best = readings.min_by_key(|(took, _)| *took);
    best.map_or_else(|| (Instant::now(), SystemTime::now()), |(_, both)| both)
}

fn step_between(then: (Instant, SystemTime), now: (Instant, SystemTime)) -> Option<i64> {
    let passed = now.0.saturating_duration_since(then.0);
    let (ahead, by) = match now.1.duration_since(then.1 + passed) {
        Ok(ahead) => (1, ahead),
        Err(behind) => (-1, behind.duration()),
    };
    (by > STEP).then(|| ahead * i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_wall_clock_is_told_with_its_direction() {
        let (mono, wall) = both_clocks();
        let second = Duration::from_secs(1);
        let later = |by: Duration| (mono + second, wall + by);
        for (by, step) in [
            (second, None),
            (Duration::from_millis(1_040), None),
            (Duration::from_millis(1_200), Some(200)),
            (Duration::from_millis(400), Some(-600)),
            (Duration::from_secs(8), Some(7_000)),
        ] {
            assert_eq!(step_between((mono, wall), later(by)), step, "{by:?}");
        }
    }

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(port_range("32768\t60999\n"), Some(28_232));
        let sockets =
            "sockets: used 300\nTCP: inuse 5 orphan 0 tw 3 alloc 7 mem 1\nUDP: inuse 1 mem 0\n";
        assert_eq!(ports_held(sockets), Some(8));
        assert_eq!(ports_held("UDP: inuse 1"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_open_file_is_one_handle_less() {
        let before = files_left().expect("a limit");
        let files: Vec<_> = (0..50)
            .map(|_| std::fs::File::open("/proc/self/stat").expect("it opens"))
            .collect();
        let during = files_left().expect("a limit");
        // Other tests of this process open and close files meanwhile.
        assert!(during < before, "{during} of {before}");
        drop(files);
        assert!(cpu_time().expect("it is counted") > Duration::ZERO);
        assert!(ports_left().expect("it is counted") > 0);
    }
}
