//! What does PID 1 of `istio-proxy` do? What pilot-agent does (facts 3, 9).
//!
//! [`main`] starts Envoy, answers on 15020, and on SIGTERM, `/drain` and `/quitquitquit` goes the
//! way that its settings say ([`ending`]). Its lines are pilot-agent's own, word for word, as far
//! as they are about the life of the proxy.

mod admin;
mod ending;
mod log;
mod options;
mod probing;
mod proxy;
mod status;

use log::AgentLog;
use options::Options;
use proxy::Envoy;
use status::{Shared, Why};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

pub(super) use log::write_line;

use super::xds::{HEALTH_PORT, STATUS_PORT};
use crate::task::wait_until;

/// How often the agent looks whether its first files have come.
const FILES_POLL: Duration = Duration::from_millis(20);

/// The agent: lives as long as its Envoy.
pub fn main() -> ExitCode {
    let options = match Options::from_env(|name| std::env::var(name).ok()) {
        Ok(options) => options,
        Err(error) => {
            write_line(&error.to_string());
            return ExitCode::from(255);
        }
    };
    match runtime() {
        Ok(runtime) => runtime.block_on(run(options)),
        Err(error) => {
            write_line(&format!("failed to start the agent: {error}"));
            ExitCode::from(255)
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Asks the agent of the own pod something: `POST drain`.
pub fn request(method: &str, path: &str) -> ExitCode {
    let Ok(runtime) = runtime() else {
        return ExitCode::from(1);
    };
    let path = format!("/{}", path.trim_start_matches('/'));
    match runtime.block_on(admin::ask(STATUS_PORT, method, &path)) {
        Ok((200, _)) => ExitCode::SUCCESS,
        Ok((code, body)) => {
            write_line(&format!("failed to {method} {path}: {code} {body}"));
            ExitCode::from(1)
        }
        Err(error) => {
            write_line(&format!("failed to {method} {path}: {error}"));
            ExitCode::from(1)
        }
    }
}

/// How often and how long the postStart hook asks for the proxy's readiness.
const WAIT_EVERY: Duration = Duration::from_millis(500);
const WAIT_PATIENCE: Duration = Duration::from_secs(60);

/// Comes back when the proxy of the own pod is ready: the hook for which an app is held.
pub fn wait() -> ExitCode {
    let log = AgentLog::new(0);
    let Ok(runtime) = runtime() else {
        return ExitCode::from(1);
    };
    log.info(&format!(
        "Waiting for Envoy proxy to be ready (timeout: {} seconds)...",
        WAIT_PATIENCE.as_secs()
    ));
    let ready = runtime.block_on(wait_until("Envoy", WAIT_PATIENCE, WAIT_EVERY, || async {
        let asking = admin::ask(HEALTH_PORT, "GET", "/healthz/ready");
        match tokio::time::timeout(WAIT_EVERY, asking).await {
            Ok(Ok((200, _))) => Ok(()),
            Ok(Ok((code, _))) => Err(format!("HTTP status code {code}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }));
    match ready {
        Ok(()) => {
            log.info("Envoy is ready!");
            ExitCode::SUCCESS
        }
        Err(error) => {
            log.error(&format!(
                "timeout waiting for Envoy proxy to become ready. Last error: {error}"
            ));
            ExitCode::from(1)
        }
    }
}

async fn run(options: Options) -> ExitCode {
    let log = AgentLog::new(options.clock_offset);
    // Handlers first: a SIGTERM that comes while Envoy starts is not lost.
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        log.error("failed to install signal handlers");
        return ExitCode::from(255);
    };
    options.introduce(&log);
    let listener = match TcpListener::bind(("0.0.0.0", STATUS_PORT)).await {
        Ok(listener) => listener,
        Err(error) => {
            log.error(&format!("listen tcp :{STATUS_PORT}: {error}"));
            return ExitCode::from(255);
        }
    };
    log.info(&format!("Opening status port {STATUS_PORT}"));
    let (shared, mut told) = Shared::new(options.clone(), log.clone());
    let shared = Arc::new(shared);
    let serving = tokio::spawn(status::serve(listener, Arc::clone(&shared)));
    let started = async {
        while !options.files_are_there() {
            tokio::time::sleep(FILES_POLL).await;
        }
        Envoy::start(&options, &log)
    };
    let why = tokio::select! {
        started = started => match started {
            Ok(envoy) => Err(envoy),
            Err(error) => {
                log.error(&format!("Envoy exited with error: {error}"));
                return ExitCode::from(1);
            }
        },
        _ = terminate.recv() => Ok(Why::Signal),
        _ = interrupt.recv() => Ok(Why::Signal),
    };
    let mut envoy = match why {
        Err(envoy) => envoy,
        Ok(_) => {
            log.info("Agent has successfully terminated");
            return ExitCode::SUCCESS;
        }
    };
    let why = tokio::select! {
        _ = terminate.recv() => Why::Signal,
        _ = interrupt.recv() => Why::Signal,
        Some(why) = told.recv() => why,
        status = envoy.wait() => {
            ending::tell_exit(&log, &status);
            return ExitCode::SUCCESS;
        }
    };
    shared.terminated(why);
    // The port is closed at once; whoever is connected to it is still answered.
    serving.abort();
    log.info("Status server has successfully terminated");
    let drained = shared.is_drained();
    ending::terminate(&options, &log, &mut envoy, why, drained).await;
    ExitCode::SUCCESS
}
