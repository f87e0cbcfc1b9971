//! What do the logs of the mesh's proxies say: about failed requests, and about the proxies' lives?
//!
//! Of the access lines only those of failed and of marked requests are kept (by request id, with the
//! character that tracing alters left out, facts 4.7); of the others, when an app first and last answered
//! through its proxy. Agent lines give the instants of the proxy's own end.

mod agent;
mod attempts;
mod bounds;
mod understood;

pub(in crate::attribution) use agent::{Wait, Word};

use crate::attribution::NotUnderstood;
use crate::evidence::{ContainerLog, Timeline, is_proxy};
use crate::observe::logs::parse::{AccessLine, AgentKind, IstioLine, Reader, TextFormat};
pub(in crate::attribution) use attempts::{Attempts, Sighting};
pub(super) use bounds::{constraints, started_within};
use std::collections::{HashMap, HashSet};
use understood::Understood;

/// An access line of a request that we know.
#[derive(Clone, Debug)]
pub(in crate::attribution) struct Access {
    /// The pod whose proxy wrote it.
    pub(in crate::attribution) pod: String,
    /// The container, and the index of the line in its log.
    pub(in crate::attribution) container: String,
    pub(in crate::attribution) line: usize,
    /// `start_time`, epoch nanoseconds by the node's clock.
    pub(in crate::attribution) start: Option<i64>,
    /// By how much that is floored.
    pub(in crate::attribution) floor: i64,
    pub(in crate::attribution) duration_ms: Option<u64>,
    pub(in crate::attribution) code: Option<u16>,
    pub(in crate::attribution) flags: Vec<String>,
    /// Response code details and the transport's reason, in one text.
    pub(in crate::attribution) details: String,
    /// The next hop answered.
    pub(in crate::attribution) answered: bool,
    pub(in crate::attribution) upstream_host: Option<String>,
    pub(in crate::attribution) upstream_local: Option<String>,
    pub(in crate::attribution) inbound: bool,
    /// The peer's socket, where the format has it.
    pub(in crate::attribution) downstream_remote: Option<String>,
    pub(in crate::attribution) method: Option<String>,
    pub(in crate::attribution) path: Option<String>,
    /// It carries a request id.
    pub(in crate::attribution) named: bool,
}

impl Access {
    /// It carries this response flag.
    pub(in crate::attribution) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }
}

/// The life of one proxy as its agent tells it, epoch nanoseconds by the node's clock.
#[derive(Clone, Debug, Default)]
pub(in crate::attribution) struct ProxyLife {
    /// Lines of the agent were seen.
    pub(in crate::attribution) agent_seen: bool,
    /// Lines of the access log were seen, and most of it was understood: a request that is in none of
    /// them was not logged.
    pub(in crate::attribution) access_seen: bool,
    /// Too many lines were not understood for that.
    pub(in crate::attribution) hides_requests: bool,
    /// Stamps of its first access line and of its last line of any kind, where the access log was seen.
    pub(in crate::attribution) written: Option<(i64, i64)>,
    /// Envoy served for the first time by then.
    pub(in crate::attribution) ready: Option<i64>,
    /// It was told to drain or to stop.
    pub(in crate::attribution) told: Option<Word>,
    /// How it waits before it ends Envoy.
    pub(in crate::attribution) wait: Option<Wait>,
    /// The agent ends Envoy, or saw it end.
    pub(in crate::attribution) aborted: Option<Word>,
    /// Starts of the requests that the app answered through it, first and last.
    pub(in crate::attribution) served: Option<(i64, i64)>,
}

impl ProxyLife {
    /// The index of the line that tells of its end; of one that was killed before it could say so,
    /// how it was going to wait.
    pub(in crate::attribution) fn last_word(&self) -> Option<usize> {
        let aborted = self.aborted.map(|word| word.line);
        aborted.or_else(|| self.wait.map(|wait| wait.line))
    }
}

/// All proxies of a run.
#[derive(Debug, Default)]
pub(in crate::attribution) struct ProxyLogs {
    /// By pod name.
    pub(in crate::attribution) lives: HashMap<String, ProxyLife>,
    /// Lines of failed and of marked requests by masked id.
    lines: HashMap<String, Vec<Access>>,
    /// Lines of requests that failed, and whose id is nobody's that we know.
    pub(super) orphans: Vec<Access>,
    /// Peers of connections that a pod's proxy refused by its configuration, before any request.
    pub(in crate::attribution) unwanted: HashSet<String>,
    /// What they tell of attempts.
    pub(in crate::attribution) attempts: Attempts,
    /// The logs of which lines were not understood.
    pub(in crate::attribution) not_understood: Vec<NotUnderstood>,
}

/// A request id without the character that tracing alters.
pub(in crate::attribution) fn masked(id: &str) -> String {
    id.char_indices()
        .filter(|(index, _)| *index != 14)
        .map(|(_, char)| char)
        .collect()
}

impl ProxyLogs {
    /// Reads the logs of all proxies.
    pub(super) fn of(timeline: &Timeline, format: Option<&str>) -> Self {
        let failed: HashSet<String> = timeline
            .failed_requests()
            .map(|(_, request)| masked(&request.request_id))
            .collect();
        let marked = timeline.marked_requests();
        let known = marked.map(|request| masked(&request.request_id));
        let known: HashSet<String> = known.chain(failed.iter().cloned()).collect();
        let format = format.and_then(|format| TextFormat::new(format).ok());
        let mut logs = Self::default();
        for (number, log) in timeline.logs.iter().enumerate() {
            if is_proxy(&log.container) {
                logs.read(log, &known, format.clone(), number);
            }
        }
        logs.attempts.leave_out(&failed);
        logs
    }

    fn read(
        &mut self,
        log: &ContainerLog,
        known: &HashSet<String>,
        format: Option<TextFormat>,
        number: usize,
    ) {
        let mut reader = Reader::new(format);
        let mut life = ProxyLife::default();
        let mut understood = Understood::default();
        for (index, entry) in log.lines.iter().enumerate() {
            if let (Some((_, last)), Some(stamp)) = (&mut life.written, entry.stamp) {
                *last = (*last).max(stamp);
            }
            match reader.read_at(&entry.text, entry.stamp).line {
                IstioLine::Access(access) => {
                    understood.access += 1;
                    let written = entry.stamp.map(|stamp| (stamp, stamp));
                    life.written = life.written.or(written);
                    self.access(log, index, &access, known, &mut life);
                    self.attempts.count(&log.pod, number, &access);
                }
                IstioLine::Agent(line) => {
                    life.agent_seen = true;
                    agent::read(&mut life, index, &line, entry.stamp);
                }
                IstioLine::Envoy(line) => {
                    if line.kind == AgentKind::SigtermReceived {
                        agent::read(&mut life, index, &line, entry.stamp);
                    }
                }
                IstioLine::Other => {}
            }
        }
        understood.unknown = reader.unknown;
        self.not_understood.extend(understood.told(log));
        life.hides_requests = understood.hides_requests();
        life.access_seen = understood.access > 0 && !life.hides_requests;
        life.written = life.written.filter(|_| life.access_seen);
        self.lives.insert(log.pod.clone(), life);
    }

    fn access(
        &mut self,
        log: &ContainerLog,
        index: usize,
        line: &AccessLine<'_>,
        known: &HashSet<String>,
        life: &mut ProxyLife,
    ) {
        let inbound = line.is_inbound();
        if line.path.is_none()
            && line.response_flags.iter().any(|flag| flag == "NR")
            && let Some(peer) = line.downstream_remote_address.as_deref()
        {
            self.unwanted.insert(peer.to_owned());
        }
        if inbound
            && line.upstream_service_time_ms.is_some()
            && line.response_flags.is_empty()
            && let Some(start) = line.start
        {
            let (first, last) = life.served.unwrap_or((start, start));
            life.served = Some((first.min(start), last.max(start)));
        }
        let id = line.id().map(masked);
        let owned = id.as_ref().is_some_and(|id| known.contains(id));
        let code = line.response_code.unwrap_or(0);
        if !owned
            && (1..500).contains(&code)
            && !line.response_flags.iter().any(|flag| flag == "DC")
        {
            return;
        }
        let own = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let details = [
            line.response_code_details.as_deref(),
            line.upstream_transport_failure_reason.as_deref(),
        ];
        let access = Access {
            pod: log.pod.clone(),
            container: log.container.clone(),
            line: index,
            start: line.start,
            floor: line.start_floor(),
            duration_ms: line.duration_ms,
            code: line.response_code,
            flags: line.response_flags.iter().map(str::to_owned).collect(),
            details: details
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" ")
                .replace('_', " "),
            answered: line.upstream_service_time_ms.is_some()
                || line.response_code_details.as_deref() == Some("via_upstream"),
            upstream_host: own(&line.upstream_host),
            upstream_local: own(&line.upstream_local_address),
            inbound,
            downstream_remote: own(&line.downstream_remote_address),
            method: own(&line.method),
            path: own(&line.path),
            named: id.is_some(),
        };
        match id.filter(|_| owned) {
            Some(id) => self.lines.entry(id).or_default().push(access),
            None => self.orphans.push(access),
        }
    }

    /// The lines of one failed or marked request, by the time of their start.
    pub(in crate::attribution) fn of_request(&self, id: &str) -> Vec<&Access> {
        let mut lines: Vec<&Access> = self.lines.get(&masked(id)).into_iter().flatten().collect();
        lines.sort_by_key(|line| line.start);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_character_that_tracing_alters_is_left_out() {
        assert_eq!(
            masked("125a4afb-6f55-94ba-ad80-413f09f48a28"),
            masked("125a4afb-6f55-44ba-ad80-413f09f48a28")
        );
        assert_ne!(masked("abc"), masked("abd"));
    }
}
