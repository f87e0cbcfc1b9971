//! What did the containers of a capture log, and what disturbed them?

use super::gathered::Gathered;
use super::target::Target;
use crate::evidence::{EventKind, RunPhase, Source, StepEvent};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Reads `logs/<pod>/<container>.log`.
pub(super) fn read_all(capture: &Path, gathered: &mut Gathered) {
    let root = capture.join("logs");
    let pods = names(&root);
    if pods.is_empty() {
        gathered.blind("logs", "the capture has no logs");
    }
    for pod in pods {
        for file in names(&root.join(&pod)) {
            let Some(container) = file.strip_suffix(".log") else {
                continue;
            };
            let path = root.join(&pod).join(&file);
            match fs::read(&path) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    let lines = text.lines().map(str::to_owned).collect();
                    gathered
                        .logs
                        .push((pod.clone(), container.to_owned(), lines));
                }
                Err(error) => gathered.fault(&path, 0, error.to_string()),
            }
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| {
            entries
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

/// Reads the command that disturbed and when it ran: one step `external`.
pub(super) fn read_action(capture: &Path, gathered: &mut Gathered) {
    let first = gathered.started_at();
    if first > 0 {
        gathered.push(first, Source::Run, EventKind::Phase(RunPhase::Baseline));
    }
    let text = fs::read_to_string(capture.join("action")).unwrap_or_default();
    let path = capture.join("action.times");
    let Ok(times) = fs::read_to_string(&path) else {
        gathered.blind("action", "the capture does not say when it was disturbed");
        return;
    };
    for (index, line) in times.lines().enumerate() {
        let mut words = line.split_whitespace();
        let state = words.next().unwrap_or_default();
        let micros = words.next().and_then(|word| word.parse::<i64>().ok());
        let (Some(micros), "started" | "ended") = (micros, state) else {
            gathered.fault(
                &path,
                index + 1,
                "expected `started` or `ended` and microseconds",
            );
            continue;
        };
        let at = micros.saturating_mul(1_000);
        if state == "started" {
            gathered.push(at, Source::Run, EventKind::Phase(RunPhase::Disruption));
        }
        let step = StepEvent {
            index: 0,
            step: "external".to_owned(),
            state: state.to_owned(),
            text: text.trim().to_owned(),
        };
        gathered.push(at, Source::Disrupt, EventKind::Step(step));
    }
    let last = gathered.raw.iter().map(|raw| raw.hi).max().unwrap_or(first);
    gathered.push(last, Source::Run, EventKind::Phase(RunPhase::Finished));
}

/// Records the target's containers whose log the capture lacks.
pub(super) fn note_missing(target: &Target, gathered: &mut Gathered) {
    let known: BTreeSet<(String, String)> = gathered
        .logs
        .iter()
        .map(|(pod, container, _)| (pod.clone(), container.clone()))
        .collect();
    for (pod, container) in &target.containers {
        if !known.contains(&(pod.clone(), container.clone())) {
            gathered.blind(
                format!("logs/{pod}/{container}"),
                "the capture has no log of this container",
            );
        }
    }
}
