//! After `kill -9` at a random instant, `lastwatch restore` leaves nothing changed.
//!
//! The API server and the controllers are the lab's, the node is played here. A second process (this
//! test again) carries steps out and undoes them until it is killed; then the program restores from
//! the run directory, twice, and the workload is as it was.
//!
//! `LASTWATCH_KILLS` says how often (10), `LASTWATCH_SEED` repeats a run.

use crate::shop::{Shop, all_steps, open_run};
use lastwatch::evidence::RunDir;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The process to be killed goes through all its steps in about this time.
const WHOLE: Duration = Duration::from_millis(4_200);

/// Where the process to be killed finds its run directory.
const RUN: &str = "LASTWATCH_KILLED_RUN";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_changed_after_kill_9_and_restore() {
    let kills: u32 = number("LASTWATCH_KILLS").unwrap_or(10);
    let seed: u64 = number("LASTWATCH_SEED").unwrap_or_else(rand::random);
    println!("LASTWATCH_SEED={seed} LASTWATCH_KILLS={kills}");
    let mut random = StdRng::seed_from_u64(seed);
    let shop = Shop::open().await;
    let mut restored = 0;
    for kill in 0..kills {
        let instant = WHOLE.mul_f64(random.random());
        let restore_killed = random.random_bool(0.3);
        let before = shop.at_rest().await;
        let run = shop.folder.path().join(format!("run-{kill}"));
        shop.run_and_kill(&run, instant).await;
        if RunDir::new(&run).info().is_err() {
            // Killed before the run began: nothing can have been changed.
            assert_eq!(
                shop.at_rest().await,
                before,
                "kill {kill} after {instant:?}"
            );
            continue;
        }
        if restore_killed {
            let instant = Duration::from_millis(random.random_range(0..400));
            shop.restore_and_kill(&run, instant).await;
        }
        let what = format!("kill {kill} after {instant:?}, restore killed: {restore_killed}");
        let first = shop.restore(&run).await;
        assert!(first.status.success(), "{what}: {first:?}");
        assert_eq!(shop.at_rest().await, before, "{what}: {first:?}");
        let said = String::from_utf8_lossy(&first.stdout).into_owned();
        println!("{what}: {}", said.replace('\n', "; "));
        restored += u32::from(said.contains("restored:"));
        let second = shop.restore(&run).await;
        assert!(second.status.success(), "{what}: {second:?}");
        let said = String::from_utf8_lossy(&second.stdout).into_owned();
        assert!(!said.contains("restored:"), "{what}: {said}");
        assert_eq!(shop.at_rest().await, before, "{what}");
    }
    assert!(
        restored > 0 || kills < 10,
        "no kill met a change: the test shows nothing"
    );
    shop.close().await;
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

impl Shop {
    async fn run_and_kill(&self, run: &Path, after: Duration) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "kill::killed", "--ignored", "--nocapture"])
            .env(RUN, run)
            .env("KUBECONFIG", &self.kubeconfig);
        kill_after(command, after).await;
    }

    fn restoring(&self, run: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
        command
            .arg("restore")
            .arg(run)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig);
        command
    }

    async fn restore_and_kill(&self, run: &Path, after: Duration) {
        kill_after(self.restoring(run), after).await;
    }

    pub(crate) async fn restore(&self, run: &Path) -> Output {
        let mut command = self.restoring(run);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }
}

async fn kill_after(mut command: Command, after: Duration) {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    tokio::time::sleep(after).await;
    child.kill().unwrap();
    tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap();
}

/// The process that is killed: every kind of step, then the undo.
#[tokio::test]
#[ignore = "started and killed by the test above"]
async fn killed() {
    let Ok(run) = std::env::var(RUN) else {
        return;
    };
    let kubeconfig = PathBuf::from(std::env::var("KUBECONFIG").unwrap());
    let (mut executor, _facts) = open_run(&kubeconfig, Path::new(&run)).await;
    let stop = CancellationToken::new();
    for (index, step) in all_steps().iter().enumerate() {
        executor.run_step(index, step, &stop).await.unwrap();
    }
    executor.undo(Duration::from_secs(30)).await;
    // Killed after the undo as well: then there is nothing left to do.
    tokio::time::sleep(Duration::from_secs(60)).await;
}
