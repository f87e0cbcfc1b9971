//! Which calls of a terminating pod were lost that its client never sees (design 6)?
//!
//! A line of an app container, stamped between its proxy's end and its own, that matches one of the
//! outbound patterns, is one lost call. The same lines outside that span are blamed on nobody.

use super::missing::app_logs_unseen;
use super::sidecar::Lead;
use super::{line, shows};
use crate::attribution::Evidence;
use crate::attribution::scene::{Pod, Scene};
use crate::evidence::Role;
use regex::{Regex, RegexSet, RegexSetBuilder};
use std::sync::LazyLock;

/// A question to the proxy's own status ports is no call to anybody.
static PROXY_PORTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r":150(00|20|21|90)\b").expect("the pattern is a constant"));

/// What a pod lost.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) lost: u64,
    pub(super) elsewhere: u64,
    pub(super) evidence: Vec<Evidence>,
}

/// The patterns of the plan, whatever their case; one that is no regular expression is left out
/// (a scenario that has one is refused before it runs).
pub(super) fn patterns(patterns: &[String]) -> RegexSet {
    let valid = patterns
        .iter()
        .filter(|pattern| regex::Regex::new(pattern).is_ok());
    RegexSetBuilder::new(valid)
        .case_insensitive(true)
        .build()
        .unwrap_or_else(|_| RegexSet::empty())
}

/// Counts the lost calls; `None` where the app's log was not seen, and where calls failed of which
/// nobody can say whether the proxy was still there. Where only a part of it was seen, or the record
/// ends while the pod is ending, the calls of that part are a lower bound, and none is no count.
pub(super) fn of(
    scene: &Scene<'_>,
    pod: &Pod,
    lead: Option<Lead>,
    patterns: &RegexSet,
) -> Option<Lost> {
    let mut found = Lost::default();
    let hole = still_ending(pod)
        || pod
            .ending()
            .is_some_and(|ending| app_logs_unseen(scene, pod, ending));
    let apps = pod
        .life
        .containers
        .iter()
        .filter(|spec| spec.role == Role::App);
    let mut first = None;
    for spec in apps {
        let Some(log) = scene.timeline.log(&pod.life.name, &spec.name) else {
            continue;
        };
        for entry in &log.lines {
            if !patterns.is_match(&entry.text) || PROXY_PORTS.is_match(&entry.text) {
                continue;
            }
            let within = pod.deleted.is_some()
                && lead
                    .zip(entry.stamp)
                    .is_some_and(|(lead, stamp)| stamp >= lead.proxy.0 && stamp <= lead.app.1);
            if within {
                found.lost += 1;
                first.get_or_insert((spec.name.as_str(), entry));
            } else if proxy_end_unknown(pod, lead) {
                return None;
            } else {
                found.elsewhere += 1;
            }
        }
    }
    if let Some((container, entry)) = first {
        let at_least = if hole { "at least " } else { "" };
        let text = format!(
            "{at_least}{} calls failed after the proxy's end; the first of them",
            found.lost
        );
        let mut shown = shows(pod.proxy_end.map(|end| end.at), text, Vec::new());
        shown.line = line(&pod.life.name, container, &entry.text);
        found.evidence.push(shown);
    }
    (found.lost > 0 || !hole).then_some(found)
}

/// The record ends before the app of a deleted pod does, which may outlive its proxy yet.
fn still_ending(pod: &Pod) -> bool {
    let ended = |name: &str| pod.life.ended(name).is_some();
    let app = pod.life.app().is_some_and(|app| ended(&app.name));
    let proxy = pod.life.sidecar().is_some();
    pod.deleted.is_some() && pod.gone.is_none() && proxy && !app
}

/// The proxy of a pod that was deleted has ended, and nobody can say whether before its app. One
/// that was there to the end of the record has outlived whatever the app called.
fn proxy_end_unknown(pod: &Pod, lead: Option<Lead>) -> bool {
    let Some(proxy) = pod.life.sidecar() else {
        return false;
    };
    let ended = pod.gone.is_some() || pod.life.unseen || pod.life.end_of(&proxy.name).is_some();
    pod.deleted.is_some() && lead.is_none() && ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ObservePlan;

    fn is_lost_call(line: &str) -> bool {
        let defaults = ObservePlan::default().outbound_patterns;
        assert!(defaults.iter().all(|pattern| Regex::new(pattern).is_ok()));
        patterns(&defaults).is_match(line)
    }

    #[test]
    fn a_refused_or_cut_call_is_known_in_the_words_of_each_client() {
        for line in [
            r#"notify 3 failed: Post "http://peer/": dial tcp 10.0.0.9:80: connect: connection refused"#,
            r#"notify 3 failed: Post "http://peer/": EOF"#,
            r#"{"level":"error","msg":"Post \"http://peer/\": EOF"}"#,
            r#"Get "https://peer:8443/a?b=c": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"#,
            r#"Get "http://peer/": http: server closed idle connection: EOF"#,
            "rpc error: code = Unavailable desc = connection error",
            "java.net.ConnectException: Connection refused (Connection refused)",
            "Caused by: io.netty.channel.AbstractChannel$AnnotatedConnectException: Connection refused: peer/10.0.0.9:80",
            "requests.exceptions.ConnectionError: [Errno 111] Connection refused",
            "ConnectionRefusedError: [Errno 111] Connect call failed ('10.0.0.9', 80)",
            "httpx.ConnectError: All connection attempts failed",
            "http.client.RemoteDisconnected: Remote end closed connection without response",
            "Error: connect ECONNREFUSED 10.0.0.9:80",
            "{ code: 'ECONNREFUSED', syscall: 'connect' }",
            "Error: socket hang up",
            "curl: (7) Failed to connect to peer port 80 after 0 ms: Couldn't connect to server",
            "curl: (7) Failed to connect to peer port 80 after 0 ms: Could not connect to server",
            "curl: (52) Empty reply from server",
            "error trying to connect: tcp connect error: Connection refused (os error 111)",
        ] {
            assert!(is_lost_call(line), "{line}");
        }
    }

    #[test]
    fn what_an_app_says_of_itself_is_no_lost_call() {
        for line in [
            "shutdown: context deadline exceeded",
            "http: Server.Shutdown: context deadline exceeded",
            "read request body: EOF",
            "EOF",
            "reached EOF of input.csv",
            r#"10.0.0.9 "GET /status HTTP/1.1" status 503"#,
            "readiness probe answered with status 503",
            r#"serving "http://demo/": ready"#,
            r#"fetched "http://peer/eof": 200"#,
            "received SIGTERM",
            "drained",
            "shutdown complete",
            "listening on :8080",
        ] {
            assert!(!is_lost_call(line), "{line}");
        }
    }
}
