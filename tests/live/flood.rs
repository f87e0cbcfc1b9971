//! What if a container writes 100,000 lines a second?

use crate::practice::{Practice, wait_for};
use crate::shown::shown;
use crate::{NO_EXPOSURE, begin, phase, phases};
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

const SECONDS: usize = 5;
const PER_SECOND: usize = 100_000;
const PODS: [&str; 2] = ["demo-1-a", "demo-1-b"];

/// The most memory that a process has had, in MiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap() / 1024
}

#[test]
fn a_flood_of_lines_is_kept_whole_or_its_loss_recorded_and_costs_little_memory() {
    let practice = Practice::start();
    let scenario = practice.scenario("[{wait: 12s}]", NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    let pid = run.id();
    practice.wait_for_event("disruption", phase("disruption"));
    let before = peak(pid);
    let begun = Instant::now();
    for hundredth in 0..SECONDS * 100 {
        practice
            .logs
            .write_many(PER_SECOND / PODS.len() / 100, hundredth);
        let due = Duration::from_millis(10) * u32::try_from(hundredth + 1).unwrap();
        // The pace of the writer, on which nobody waits.
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    let mut after = before;
    // Judging reads the whole record, and is not meant.
    wait_for("the end of the run", || {
        after = peak(pid);
        let phases = phases(&practice);
        let over = phases.last().is_some_and(|phase| phase == "finished");
        over.then_some(()).ok_or_else(|| format!("{phases:?}"))
    });
    let text = shown(&run.wait_with_output().unwrap());
    for pod in PODS {
        let file = practice.run_directory().join(format!("logs/{pod}/app.log"));
        let file = BufReader::new(std::fs::File::open(file).unwrap());
        let flood = file
            .lines()
            .map(Result::unwrap)
            .filter(|line| line.contains(" flood "));
        let (count, blind) = (flood.count(), practice.blind(&format!("logs/{pod}/app")));
        assert!(
            count == SECONDS * PER_SECOND / PODS.len() || !blind.is_empty(),
            "{pod}: {count} lines and {blind:?}: {text}"
        );
    }
    assert!(after - before < 150, "{before} MiB, then {after} MiB");
}
