//! What does a user see before and while a run goes on?

use crate::cli::Printer;
use crate::evidence::RunPhase;
use crate::report::thousands;
use crate::run::live::{LiveRun, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the line on a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a line is written where there is no terminal.
const PLAIN: Duration = Duration::from_secs(5);

/// One line: what is done to whom.
pub(super) fn opening(run: &LiveRun) -> String {
    format!(
        "{}: {} in namespace {} of {} ({})",
        run.plan.name,
        run.target.workload,
        run.target.namespace,
        run.cluster.context(),
        run.cluster.server()
    )
}

/// Shows the progress until the run's end is closed.
pub(super) async fn progress(mut progress: watch::Receiver<Progress>, printer: Printer) {
    if std::io::stderr().is_terminal() {
        drawn(&mut progress).await;
    } else {
        written(&mut progress, printer).await;
    }
}

/// A line that is redrawn.
async fn drawn(progress: &mut watch::Receiver<Progress>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid");
    bar.set_style(style);
    let mut ticks = interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        bar.set_message(line(&progress.borrow_and_update()));
        bar.tick();
        if progress.has_changed().is_err() {
            break;
        }
    }
    bar.finish_and_clear();
}

/// A line every few seconds, and one whenever something new begins.
async fn written(progress: &mut watch::Receiver<Progress>, printer: Printer) {
    // The first state is the opening line's.
    let first = progress.borrow_and_update().clone();
    let mut last = Some((first.phase, first.step, first.note));
    let mut written_at = Instant::now();
    loop {
        let now = progress.borrow_and_update().clone();
        let what = (now.phase, now.step.clone(), now.note.clone());
        if last.as_ref() != Some(&what) || written_at.elapsed() >= PLAIN {
            printer.say(&line(&now));
            last = Some(what);
            written_at = Instant::now();
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
}

/// `00:12 disruption, step 1 of 2: rollingRestart | sent 2,431, failed 12, p99 4 ms | pods ..`.
fn line(now: &Progress) -> String {
    let seconds = now.elapsed.as_secs();
    let mut line = format!(
        "{:02}:{:02} {}",
        seconds / 60,
        seconds % 60,
        name(now.phase)
    );
    if now.round.1 > 1 {
        let _ = write!(line, ", round {} of at most {}", now.round.0, now.round.1);
    }
    if let Some(step) = &now.step {
        let _ = write!(line, ", step {} of {}: {}", step.number, step.of, step.name);
    }
    if !now.note.is_empty() {
        let _ = write!(line, ": {}", now.note);
    }
    if now.load.sent > 0 {
        let (sent, failed) = (thousands(now.load.sent), thousands(now.load.failed));
        let _ = write!(line, " | sent {sent}, failed {failed}");
        if now.load.dropped > 0 {
            let _ = write!(line, ", not sent {}", thousands(now.load.dropped));
        }
        if let Some(p99) = now.load.p99 {
            let _ = write!(line, ", p99 {}", millis(p99));
        }
    }
    let pods = now.pods;
    if pods.old + pods.new + pods.terminating > 0 {
        let _ = write!(line, " | pods: {} old", pods.old);
        let _ = write!(line, ", {} new, {} terminating", pods.new, pods.terminating);
    }
    line
}

const fn name(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::SelfProof => "self-proof",
        RunPhase::Baseline => "baseline",
        RunPhase::Disruption => "disruption",
        RunPhase::Settle => "settling",
        RunPhase::Finished => "reading the last logs",
        RunPhase::Interrupted => "stopping and undoing",
    }
}

fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    if millis < 10.0 {
        format!("{millis:.1} ms")
    } else {
        format!("{millis:.0} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use crate::observe::PodSummary;
    use crate::run::live::StepNow;

    #[test]
    fn a_progress_line_tells_time_phase_step_load_and_pods() {
        let now = Progress {
            elapsed: Duration::from_secs(72),
            phase: RunPhase::Disruption,
            step: Some(StepNow {
                number: 1,
                of: 2,
                name: "rollingRestart",
            }),
            load: load::Progress {
                sent: 12_431,
                failed: 12,
                p99: Some(Duration::from_micros(4_120)),
                ..load::Progress::default()
            },
            pods: PodSummary {
                old: 1,
                new: 2,
                terminating: 1,
                ready: 3,
            },
            ..Progress::default()
        };
        assert_eq!(
            line(&now),
            "01:12 disruption, step 1 of 2: rollingRestart | sent 12,431, failed 12, p99 4.1 ms \
             | pods: 1 old, 2 new, 1 terminating"
        );
        let proving = Progress {
            note: "looking for the target".to_owned(),
            ..Progress::default()
        };
        assert_eq!(line(&proving), "00:00 self-proof: looking for the target");
    }
}
