//! What does a run leave behind that panics, whichever of its tasks that is?

use crate::node::Node;
use crate::practice::{NAMESPACE, Practice};
use crate::shown::shown;
use crate::{NO_EXPOSURE, is_one, phases};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Request;
use kube::client::Body;
use lastwatch::cluster::{Cluster, Reach, ResolvedTarget};
use lastwatch::evidence::RunPhase;
use lastwatch::run::live::{Ended, Halt, LiveRun, Progress, drive};
use lastwatch::scenario;
use lastwatch::task::{Panics, Shutdown};
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::sync::watch;

const STEPS: &str = "[{scale: {to: 1}}, {wait: 60s}]";

/// A panic is heard by every run of this process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Which call of the API panics, in the task that makes it; or which part of the ending.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Task {
    Watch,
    Log,
    Clock,
    Lease,
    Step,
    Undo,
    Finish,
    BreakOff,
}

impl Task {
    fn makes(self, request: &Request<Body>) -> bool {
        let (method, path) = (request.method().as_str(), request.uri().path());
        match self {
            Self::Watch => path.ends_with("/endpointslices"),
            Self::Log => path.ends_with("/log"),
            Self::Clock => path == "/version",
            Self::Lease => method != "DELETE" && path.contains("/leases/lastwatch-"),
            Self::Step | Self::Undo => method == "PATCH",
            Self::Finish | Self::BreakOff => false,
        }
    }

    /// The phase that is told by the part of the ending that panics.
    const fn phase(self) -> Option<RunPhase> {
        match self {
            Self::Finish => Some(RunPhase::Finished),
            Self::BreakOff => Some(RunPhase::Interrupted),
            _ => None,
        }
    }
}

/// The way to the practice cluster, on which the chosen call panics once it is armed.
fn treacherous(cluster: &Cluster, task: Task, armed: &Arc<AtomicBool>) -> Cluster {
    let (client, armed) = (cluster.client(), Arc::clone(armed));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, armed) = (client.clone(), Arc::clone(&armed));
        async move {
            if task.makes(&request) && armed.swap(false, Ordering::Relaxed) {
                panic!("on purpose, in {task:?}");
            }
            client.send(request).await
        }
    });
    let client = kube::Client::new(service, NAMESPACE);
    Cluster::new(client, cluster.context(), cluster.server(), NAMESPACE)
}

/// Looks on at a run, and panics as it is told of a phase: that is in the task that tells it.
struct Onlooker {
    task: Task,
    phase: RunPhase,
    progress: watch::Receiver<Progress>,
    next: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl Wake for Onlooker {
    fn wake(self: Arc<Self>) {
        let mut progress = self.progress.clone();
        let phase = progress.borrow_and_update().phase;
        assert_ne!(phase, self.phase, "on purpose, in {:?}", self.task);
        let mut next = async move { drop(progress.changed().await) }.boxed();
        let waker = Waker::from(Arc::clone(&self));
        if next
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_pending()
        {
            *self.next.lock().unwrap() = Some(next);
        }
    }
}

/// Runs the practice scenario in this process, with something that panics.
async fn run(
    practice: &Practice,
    scenario: &Path,
    task: Task,
    armed: &Arc<AtomicBool>,
    shutdown: &Shutdown,
) -> Ended {
    let plan = scenario::read(scenario, &|_| None).unwrap();
    let reach = Reach {
        kubeconfig: Some(practice.kubeconfig()),
        ..Reach::default()
    };
    let cluster = Cluster::connect(&reach).await.unwrap();
    let target = ResolvedTarget::resolve(&cluster, &plan.target)
        .await
        .unwrap();
    let run = LiveRun {
        id: format!("panic-{task:?}"),
        directory: practice.run_directory(),
        argv: Vec::new(),
        plan,
        cluster: treacherous(&cluster, task, armed),
        target,
        pod: None,
    };
    let (progress, looking) = watch::channel(Progress::default());
    if let Some(phase) = task.phase() {
        let onlooker = Onlooker {
            task,
            phase,
            progress: looking,
            next: Mutex::default(),
        };
        Arc::new(onlooker).wake();
    }
    drive(run, shutdown, &Panics::listen(), progress)
        .await
        .unwrap()
}

fn ended_well(what: Task, ended: &Ended) {
    let Some(Halt::Panicked(words)) = &ended.halt else {
        panic!("{what:?}: {ended:?}");
    };
    assert!(
        words.contains(&format!("on purpose, in {what:?}")),
        "{words}"
    );
    let report = &ended.conclusion.as_ref().unwrap().report;
    assert_eq!(report.verdict.to_string(), "INCONCLUSIVE", "{what:?}");
    let told = report.reasons.join("\n");
    assert!(
        told.contains("a part of this program panicked"),
        "{what:?}: {told}"
    );
    assert!(ended.stored.is_ok() && ended.recorded.is_ok(), "{what:?}");
}

#[test]
fn a_panic_in_whichever_task_undoes_and_reports() {
    let _alone = ALONE.lock();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for task in [Task::Watch, Task::Log, Task::Clock, Task::Lease, Task::Step] {
        let practice = Practice::alive(&Node::new(Duration::from_millis(200)));
        let before = practice.at_rest();
        let scenario = practice.scenario(STEPS, NO_EXPOSURE);
        let armed = Arc::new(AtomicBool::new(task == Task::Step));
        let ended = std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                runtime.block_on(run(
                    &practice,
                    &scenario,
                    task,
                    &armed,
                    &Shutdown::default(),
                ))
            });
            if task != Task::Step {
                practice.wait_for_demo("change", is_one);
                armed.store(true, Ordering::Relaxed);
                practice.api.cut_watches();
            }
            running.join().expect("no panic gets so far")
        });
        ended_well(task, &ended);
        assert!(ended.undo.is_clean(), "{task:?}: {}", ended.undo);
        assert_eq!(practice.at_rest(), before, "{task:?}: {}", ended.undo);
        assert_eq!(phases(&practice).last().unwrap(), "interrupted", "{task:?}");
    }
}

#[test]
fn a_panic_of_the_undo_itself_is_told_and_restore_finishes_it() {
    let _alone = ALONE.lock();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let practice = Practice::alive(&Node::new(Duration::from_millis(200)));
    let before = practice.at_rest();
    let scenario = practice.scenario("[{scale: {to: 1}}]", NO_EXPOSURE);
    let armed = Arc::new(AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let shutdown = Shutdown::default();
            runtime.block_on(run(&practice, &scenario, Task::Undo, &armed, &shutdown))
        });
        practice.wait_for_demo("change", is_one);
        armed.store(true, Ordering::Relaxed);
        running.join().expect("no panic gets so far")
    });
    assert!(matches!(ended.halt, Some(Halt::Panicked(_))), "{ended:?}");
    assert!(!ended.undo.is_clean(), "{}", ended.undo);
    assert!(ended.stored.is_ok(), "a report all the same");
    drop(ended);
    let restored = practice.restore();
    assert!(restored.status.success(), "{}", shown(&restored));
    assert_eq!(practice.at_rest(), before, "{}", shown(&restored));
}

#[test]
fn a_panic_of_the_ending_leaves_the_undoing_and_the_report_as_they_are() {
    let _alone = ALONE.lock();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (task, steps) in [
        (Task::Finish, "[{scale: {to: 1}}]"),
        (Task::BreakOff, STEPS),
    ] {
        let practice = Practice::alive(&Node::new(Duration::from_millis(200)));
        let before = practice.at_rest();
        let scenario = practice.scenario(steps, NO_EXPOSURE);
        let (armed, shutdown) = (Arc::default(), Shutdown::default());
        let ended = std::thread::scope(|scope| {
            let running = scope
                .spawn(|| runtime.block_on(run(&practice, &scenario, task, &armed, &shutdown)));
            practice.wait_for_demo("change", is_one);
            if task == Task::BreakOff {
                shutdown.stop.cancel();
            }
            running.join().expect("no panic gets so far")
        });
        if task == Task::Finish {
            ended_well(task, &ended);
        } else {
            assert_eq!(
                ended.halt,
                Some(Halt::Interrupted),
                "the first reason counts"
            );
        }
        assert!(ended.stored.is_ok() && ended.undo.is_clean(), "{ended:?}");
        assert_eq!(practice.at_rest(), before, "{task:?}: {}", ended.undo);
    }
}

/// Where the program that panics finds its command line.
const WORDS: &str = "LASTWATCH_PANICKING";

#[test]
fn a_program_that_panics_in_mid_run_exits_70_with_a_report() {
    let practice = Practice::alive(&Node::new(Duration::from_millis(200)));
    let before = practice.at_rest();
    let scenario = practice.scenario(STEPS, NO_EXPOSURE);
    let command = practice.command(&scenario);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words
        .map(|word| word.to_str().unwrap())
        .chain(["--yes"])
        .collect();
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "panics::panicking", "--ignored", "--nocapture"])
        .env(WORDS, serde_json::to_string(&words).unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    practice.wait_for_demo("change", is_one);
    program.stdin.take().unwrap().write_all(b"now\n").unwrap();
    let output = program.wait_with_output().unwrap();
    let text = shown(&output);
    assert!(output.status.success(), "the exit code was 70: {text}");
    assert!(text.contains("on purpose"), "{text}");
    assert!(
        text.contains("restored: deployment/demo spec.replicas"),
        "{text}"
    );
    assert_eq!(practice.at_rest(), before, "{text}");
    assert!(practice.report().is_object(), "{text}");
}

/// The program as users start it, beside a thread of its own that panics when it is told to.
#[test]
#[ignore = "started by the test above"]
fn panicking() {
    let Ok(words) = std::env::var(WORDS) else {
        return;
    };
    std::thread::spawn(|| {
        std::io::stdin().read_line(&mut String::new()).unwrap();
        panic!("on purpose");
    });
    let words: Vec<String> = serde_json::from_str(&words).unwrap();
    let code = lastwatch::cli::run(words.into_iter().map(Into::into));
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(70)));
}
