//! What does an agent say of its proxy: when it served first, when it was told to end, how it waits,
//! when it ends Envoy?

use super::ProxyLife;
use crate::evidence::go_duration;
use crate::observe::logs::parse::{AgentKind, AgentLine};

/// A line of an agent: when it was written, and its index in the log.
#[derive(Clone, Copy, Debug)]
pub(in crate::attribution) struct Word {
    pub(in crate::attribution) at: i64,
    pub(in crate::attribution) line: usize,
}

/// How an agent waits before it ends Envoy (facts 3.3), as it says itself.
#[derive(Clone, Copy, Debug)]
pub(in crate::attribution) struct Wait {
    /// Until nobody is connected, after a minimum.
    pub(in crate::attribution) until_idle: bool,
    /// The period, or the minimum; nanoseconds.
    pub(in crate::attribution) period: Option<i64>,
    /// The index of the line that says so.
    pub(in crate::attribution) line: usize,
}

/// Adds what a line of an agent says; a line without a stamp of its own has that of the runtime.
pub(super) fn read(life: &mut ProxyLife, index: usize, line: &AgentLine<'_>, stamp: Option<i64>) {
    let at = line.at.or(stamp);
    let word = at.map(|at| Word { at, line: index });
    match line.kind {
        // A restarted proxy begins anew.
        AgentKind::Start if life.aborted.is_some() => {
            life.told = None;
            life.wait = None;
            life.aborted = None;
        }
        AgentKind::Ready => life.ready = life.ready.or(at),
        AgentKind::SigtermReceived
        | AgentKind::DrainStart
        | AgentKind::DrainEndpoint
        | AgentKind::Quitquitquit => life.told = life.told.or(word),
        AgentKind::DrainWait => life.wait = life.wait.or_else(|| wait(&line.message, index)),
        AgentKind::EnvoyAborted | AgentKind::EnvoyExited | AgentKind::AgentTerminated => {
            life.aborted = life.aborted.or(word);
        }
        _ => {}
    }
}

/// `Graceful termination period is 5s, starting...` or `Agent draining proxy for 5s, then waiting
/// for active connections to terminate...`.
fn wait(message: &str, line: usize) -> Option<Wait> {
    let (until_idle, rest) = match message.strip_prefix("Graceful termination period is ") {
        Some(rest) => (false, rest),
        None => (true, message.strip_prefix("Agent draining proxy for ")?),
    };
    let period = rest.split(',').next().and_then(go_duration);
    Some(Wait {
        until_idle,
        period,
        line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_says_how_it_waits() {
        for (message, expected) in [
            (
                "Graceful termination period is 10s, starting...",
                Some((false, Some(10))),
            ),
            (
                "Agent draining proxy for 1m5s, then waiting for active connections to terminate...",
                Some((true, Some(65))),
            ),
            (
                "Graceful termination period is soon, starting...",
                Some((false, None)),
            ),
            ("Aborting proxy", None),
        ] {
            let found = wait(message, 0).map(|wait| (wait.until_idle, wait.period));
            let expected = expected
                .map(|(idle, period)| (idle, period.map(|seconds: i64| seconds * 1_000_000_000)));
            assert_eq!(found, expected, "{message}");
        }
    }
}
