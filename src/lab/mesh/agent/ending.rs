//! In which order does a proxy end (facts 3.3, 9)?

use super::admin;
use super::log::AgentLog;
use super::options::{Drain, Options};
use super::proxy::Envoy;
use super::status::Why;
use std::time::Duration;

/// The agent counts connections this often.
const COUNT: Duration = Duration::from_secs(1);

/// After so many counts in a row that failed it waits no longer.
const MOST_FAILED: u32 = 5;

/// Ends Envoy after a SIGTERM or a request to quit. `drained`: `/drain` or `/quitquitquit` came
/// before, so nothing is waited for.
pub(super) async fn terminate(
    options: &Options,
    log: &AgentLog,
    envoy: &mut Envoy,
    why: Why,
    drained: bool,
) {
    log.info("Agent draining Proxy for termination");
    if drained {
        log.info("Agent already drained, exiting immediately");
        // pilot-agent's main routine does not wait for the one that kills Envoy: after a SIGTERM it
        // is the faster one in every recording, after a request to quit the slower one.
        if why == Why::Signal {
            log.info("Agent has successfully terminated");
        }
        log.warn("Aborting proxy");
        kill(log, envoy).await;
        if why == Why::Quit {
            log.info("Agent has successfully terminated");
        }
        close_streams(log);
        return;
    }
    if let Err(error) = admin::drain(false).await {
        log.warn(&format!(
            "Error in invoking drain listeners endpoint: {error}"
        ));
    }
    let died = tokio::select! {
        () = wait_out(&options.drain, log) => None,
        status = envoy.wait() => Some(status),
    };
    if let Some(status) = died {
        log.info(&format!("Envoy exited with status {status}"));
        log.info("Graceful termination logic ended prematurely, envoy process terminated early");
        log.info("Agent has successfully terminated");
        return;
    }
    log.warn("Aborting proxy");
    kill(log, envoy).await;
    log.info("Envoy aborted normally");
    log.warn("Aborted proxy instance");
    log.info("Agent has successfully terminated");
    close_streams(log);
}

/// What the agent says when Envoy's end closes the streams over which it got its secrets.
fn close_streams(log: &AgentLog) {
    for stream in [2, 1] {
        log.scoped("info", "ads", &format!("ADS: \"\" {stream} terminated"));
    }
}

async fn kill(log: &AgentLog, envoy: &mut Envoy) {
    if let Err(error) = envoy.kill().await {
        log.info(&format!("killing proxy caused an error {error}"));
    }
}

/// The time that connections are given.
async fn wait_out(drain: &Drain, log: &AgentLog) {
    if !drain.until_idle {
        let time = go(drain.termination);
        log.info(&format!(
            "Graceful termination period is {time}, starting..."
        ));
        tokio::time::sleep(drain.termination).await;
        log.info("Graceful termination period complete, terminating remaining proxies.");
        return;
    }
    let time = go(drain.minimum);
    log.info(&format!(
        "Agent draining proxy for {time}, then waiting for active connections to terminate..."
    ));
    tokio::time::sleep(drain.minimum).await;
    log.info("Checking for active connections...");
    let mut failed = 0;
    loop {
        tokio::time::sleep(COUNT).await;
        let count = admin::active_connections().await;
        if let Err(error) = &count {
            log.error(&format!(
                "unable to get listener stats from Envoy : {error}"
            ));
        }
        let said = say(count.ok(), &mut failed);
        if said.warns {
            log.warn(&said.text);
        } else {
            log.info(&said.text);
        }
        if said.over {
            return;
        }
    }
}

/// What the agent says of a count.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    text: String,
    warns: bool,
    /// It waits no longer.
    over: bool,
}

/// Tells of a count of connections. The outer `None`: Envoy could not be asked, as in the `failed`
/// questions before; the inner one: it counts none of them.
fn say(count: Option<Option<u64>>, failed: &mut u32) -> Said {
    let before = std::mem::take(failed);
    let (over, text) = match count {
        Some(Some(0)) => (
            true,
            "There are no more active connections. terminating proxy...".to_owned(),
        ),
        Some(Some(count)) => (false, format!("There are still {count} active connections")),
        Some(None) => (true, "downstream_cx_active are not available. This either means there are no downstream connection established yet or the stats are not enabled. Skipping active connections check...".to_owned()),
        None => {
            *failed = before + 1;
            if *failed < MOST_FAILED {
                (false, format!("Retrying ({failed} attempt) to obtain active connections..."))
            } else {
                (true, format!("Graceful termination logic ended prematurely, error while obtaining downstream_cx_active stat (Max retry {failed} exceeded)"))
            }
        }
    };
    Said {
        text,
        warns: count.is_none(),
        over,
    }
}

/// A duration as Go prints it: `5s`, `1m30s`.
fn go(time: Duration) -> String {
    let (minutes, seconds) = (time.as_secs() / 60, time.as_secs_f64() % 60.0);
    if minutes == 0 {
        format!("{seconds}s")
    } else {
        format!("{minutes}m{seconds}s")
    }
}

/// Says that Envoy has ended by itself.
pub(super) fn tell_exit(log: &AgentLog, status: &str) {
    if status.is_empty() {
        log.info("Envoy exited normally");
        return;
    }
    if status == "signal: killed" {
        log.warn("Envoy may have been out of memory killed. Check memory usage and limits.");
    }
    log.error(&format!("Envoy exited with error: {status}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_pilot_agent_prints_them() {
        assert_eq!(go(Duration::from_secs(5)), "5s");
        assert_eq!(go(Duration::from_millis(1_500)), "1.5s");
        assert_eq!(go(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn the_agent_counts_until_nobody_is_connected_or_five_counts_in_a_row_have_failed() {
        let unread: &[Option<Option<u64>>] = &[None; 5];
        let unread_again = [&unread[..4], &[Some(Some(2))], unread].concat();
        for (counts, last, warns) in [
            (&[Some(Some(3)), Some(Some(0))][..], "no more active", false),
            (&[None, Some(None)], "are not available", false),
            (unread, "(Max retry 5 exceeded)", true),
            (&unread_again, "(Max retry 5 exceeded)", true),
        ] {
            let mut failed = 0;
            let said: Vec<Said> = counts
                .iter()
                .map(|count| say(*count, &mut failed))
                .collect();
            let (end, waits) = said.split_last().unwrap();
            assert!(end.over && end.text.contains(last), "{end:?}");
            assert_eq!(end.warns, warns, "{end:?}");
            assert!(waits.iter().all(|said| !said.over), "{waits:?}");
        }
        let mut failed = 0;
        let texts = [None, None].map(|count| say(count, &mut failed).text);
        assert_eq!(
            texts,
            [1, 2].map(|attempt| format!(
                "Retrying ({attempt} attempt) to obtain active connections..."
            ))
        );
    }
}
