//! What does a run leave behind that panics, whichever of its tasks that is?

use crate::node::Node;
use crate::practice::{NAMESPACE, Practice};
use crate::shown::shown;
use crate::{NO_EXPOSURE, is_one, phases};
use http::Request;
use kube::client::Body;
use lastwatch::cluster::{Cluster, Reach, ResolvedTarget};
use lastwatch::run::live::{Ended, Halt, LiveRun, Progress, drive};
use lastwatch::scenario;
use lastwatch::task::{Panics, Shutdown};
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

const STEPS: &str = "[{scale: {to: 1}}, {wait: 60s}]";

/// A panic is heard by every run of this process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Which call of the API panics, in the task that makes it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Task {
    Watch,
    Log,
    Clock,
    Lease,
    Step,
    Undo,
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

/// Runs the practice scenario in this process, with a client that panics.
async fn run(practice: &Practice, scenario: &Path, task: Task, armed: &Arc<AtomicBool>) -> Ended {
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
    let (progress, _looking) = watch::channel(Progress::default());
    drive(run, &Shutdown::default(), &Panics::listen(), progress)
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
            let running = scope.spawn(|| runtime.block_on(run(&practice, &scenario, task, &armed)));
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
        let running =
            scope.spawn(|| runtime.block_on(run(&practice, &scenario, Task::Undo, &armed)));
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
