//! What does the built-in test app (image `lastwatch/lab-app`) do?
//!
//! [`main`] is the whole program: it reads [`Settings`] from the environment, serves HTTP/1.1 and
//! shuts down as its settings say, from the model pupil (`ON_TERM=drain`) to the deaf one
//! (`ignore`). It takes no shortcut through the lab: its sockets, signals and exit codes are as
//! real as those of any other program in a pod.
//!
//! | path | answer |
//! |---|---|
//! | `/` | 200, a share `ERROR_RATE` of them 500; a POST tells how often its id has had its effect |
//! | `/healthz` | 200, 503 for `READY_AFTER` and where it refuses |
//! | `/delay?ms=N` | 200 after N ms |
//! | `/status?code=N` | that status |
//! | `/call` | what a POST to `CALL_URL` comes to: 200, or 502 and a line in the log |
//! | `/busy` | the requests that have no answer yet |
//!
//! With `ECHO_ATTEMPTS=true` each answer tells the attempt count that its request came with.

mod clock;
mod notify;
mod server;
mod settings;
mod shutdown;

use clock::AppLog;
use server::Server;
pub use settings::SettingsError;
use settings::{OnTerm, Settings};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Serves until it is told to stop, or crashes as its settings want it to.
pub fn main() -> ExitCode {
    let settings = match Settings::from_env(|name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(error) => {
            AppLog::new(0).say(&format!("fatal: {error}"));
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            AppLog::new(0).say(&format!("fatal: {error}"));
            return ExitCode::from(2);
        }
    };
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> ExitCode {
    let log = AppLog::new(settings.clock_offset);
    // A handler is installed at once: a SIGTERM that comes before the listener is not lost.
    // An app that is to ignore SIGTERM installs none, and stays deaf as any PID 1 does.
    let mut terminate = None;
    if settings.on_term != OnTerm::Ignore {
        match signal(SignalKind::terminate()) {
            Ok(signal) => terminate = Some(signal),
            Err(error) => {
                log.say(&format!("fatal: no signal handler: {error}"));
                return ExitCode::from(2);
            }
        }
    }
    let server = Server::new(settings.clone(), log.clone());
    let started = async {
        tokio::time::sleep(settings.listen_after).await;
        server.listen().await
    };
    let listening = tokio::select! {
        listening = started => listening,
        () = received(&mut terminate) => {
            log.say("received SIGTERM");
            return ExitCode::SUCCESS;
        }
    };
    if let Err(error) = listening {
        log.say(&format!("fatal: listen :{}: {error}", settings.port));
        return ExitCode::from(2);
    }
    log.say(&format!("listening on :{}", settings.port));
    tokio::select! {
        code = server.crashed() => code,
        () = received(&mut terminate) => {
            log.say("received SIGTERM");
            tokio::select! {
                code = server.crashed() => code,
                () = shutdown::shut_down(&settings, &server, &log) => ExitCode::SUCCESS,
            }
        }
    }
}

async fn received(terminate: &mut Option<tokio::signal::unix::Signal>) {
    match terminate {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
