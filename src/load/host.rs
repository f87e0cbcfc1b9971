//! How does the machine fare that the load comes from?

use std::time::Duration;

/// Raises the limit of open files to what the system allows. At the start of a run: each log that is
/// followed has a connection of its own, long before there is load.
pub fn raise_file_limit() {
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

#[cfg(test)]
mod tests {
    use super::*;

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
