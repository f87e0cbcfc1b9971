//! How a pod ended, and in what two endings are unlike.

use lastwatch::observe::logs::parse::{AgentKind, AgentLine, IstioLine, istio_proxy};
use std::collections::{BTreeMap, BTreeSet};

/// What the agent's lines and the ends of containers may lie apart, in seconds.
const APART: f64 = 0.3;

/// The end of a pod.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) pod: String,
    /// What the agent said, from the first line about the end.
    pub(super) lines: Vec<Line>,
    /// The exit codes of containers that have ended.
    pub(super) codes: BTreeMap<String, i64>,
    /// Seconds from the deletion to the app's end; 0 where nobody deletes the pod.
    pub(super) app: f64,
    /// The same of the agent; `None`: it has not ended.
    pub(super) agent: Option<f64>,
}

/// A line of the agent.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Seconds since the first line that is not a probe's.
    after: f64,
    text: String,
    /// It comes when a probe asks, not when something happens.
    of_probe: bool,
}

impl Line {
    /// The agent's lines after its proxy had become ready; the closing streams count as one.
    pub(super) fn of_the_end(log: &str) -> Vec<Self> {
        let mut told: Vec<(i64, Self)> = Vec::new();
        for line in log.lines() {
            let IstioLine::Agent(line) = istio_proxy(line) else {
                continue;
            };
            if line.kind == AgentKind::Ready {
                told.clear();
                continue;
            }
            let at = line.at.expect("the agent stamps its lines");
            let line = Self::of(&line);
            if told
                .last()
                .is_none_or(|(_, last)| last.text != line.text || line.of_probe)
            {
                told.push((at, line));
            }
        }
        let first = told.iter().find(|(_, line)| !line.of_probe);
        let first = first.map_or(0, |(at, _)| *at);
        // An app that is slow to listen is found so by probes before its sidecar ends.
        let ending = told.into_iter().skip_while(|(_, line)| line.of_probe);
        ending
            .map(|(at, line)| Self {
                after: (at - first) as f64 / 1e9,
                ..line
            })
            .collect()
    }

    fn of(line: &AgentLine<'_>) -> Self {
        let scope = line.scope.as_deref();
        let message = match scope {
            Some("ads") => "ADS: \"\" N terminated".to_owned(),
            _ => without_address(&line.message),
        };
        Self {
            after: 0.0,
            text: format!("{} {} {message}", line.level, scope.unwrap_or("default")),
            of_probe: line.kind == AgentKind::NotReady || scope == Some("probes"),
        }
    }
}

/// The pod's own address reads `POD`.
fn without_address(message: &str) -> String {
    let address = regex::Regex::new(r"10\.244\.\d+\.\d+").expect("an expression");
    address.replace_all(message, "POD").into_owned()
}

impl Ending {
    /// In what this ending is unlike all that were recorded.
    pub(super) fn unlike(&self, recorded: &[Self]) -> Vec<String> {
        let mut faults = self.unlike_lines(recorded);
        faults.extend(self.unlike_probes(recorded));
        if let Some(other) = recorded.iter().find(|other| other.codes != self.codes) {
            faults.push(format!(
                "exit codes {:?}, recorded {:?}",
                self.codes, other.codes
            ));
        }
        faults.extend(self.unlike_ends(recorded));
        faults
    }

    fn told(&self) -> Vec<&Line> {
        self.lines.iter().filter(|line| !line.of_probe).collect()
    }

    fn texts(&self) -> Vec<&str> {
        let told = self.told().into_iter();
        told.map(|line| line.text.as_str()).collect()
    }

    /// The same lines in an order that was recorded, each where it was recorded.
    fn unlike_lines(&self, recorded: &[Self]) -> Vec<String> {
        let orders: BTreeSet<Vec<&str>> = recorded.iter().map(Self::texts).collect();
        if !orders.contains(&self.texts()) {
            return vec![format!("said {:#?}, recorded {orders:#?}", self.texts())];
        }
        let mut faults = Vec::new();
        for line in self.told() {
            let all = recorded.iter().flat_map(Self::told);
            let others = all.filter(|other| other.text == line.text);
            faults.extend(beyond(
                &line.text,
                line.after,
                others.map(|other| other.after),
            ));
        }
        faults
    }

    /// What depends on when a probe asks: the words, and how often within one.
    fn unlike_probes(&self, recorded: &[Self]) -> Vec<String> {
        let count = |ending: &Self, text: &str| {
            let lines = ending.lines.iter();
            lines
                .filter(|line| line.of_probe && line.text == text)
                .count()
        };
        let mut texts: BTreeSet<&str> = BTreeSet::new();
        for ending in recorded.iter().chain([self]) {
            let lines = ending.lines.iter().filter(|line| line.of_probe);
            texts.extend(lines.map(|line| line.text.as_str()));
        }
        let mut faults = Vec::new();
        for text in texts {
            let own = count(self, text);
            let others = recorded.iter().map(|ending| count(ending, text));
            let least = others.clone().min().unwrap_or_default().saturating_sub(1);
            let most = others.max().unwrap_or_default() + 1;
            if !(least..=most).contains(&own) {
                faults.push(format!(
                    "`{text}` {own} times, recorded {least} to {most} times"
                ));
            }
        }
        faults
    }

    /// The order of the containers' ends, and when each was.
    fn unlike_ends(&self, recorded: &[Self]) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(beyond(
            "the app's end",
            self.app,
            recorded.iter().map(|other| other.app),
        ));
        let agents: Vec<_> = recorded.iter().filter_map(|other| other.agent).collect();
        let Some(agent) = self.agent else {
            if !agents.is_empty() {
                faults.push("the agent does not end".to_owned());
            }
            return faults;
        };
        if agents.is_empty() {
            return vec![format!("the agent ends at {agent:.3} s, recorded never")];
        }
        faults.extend(beyond("the agent's end", agent, agents.iter().copied()));
        let lead = |ending: &Self| ending.agent.map(|agent| ending.app - agent);
        let leads: Vec<f64> = recorded.iter().filter_map(lead).collect();
        // Two that get SIGKILL at once end in no order.
        let ordered = leads.iter().all(|lead| lead.abs() > 0.06);
        let own = self.app - agent;
        if ordered && leads.iter().any(|lead| lead.signum() != own.signum()) {
            faults.push(format!(
                "the agent leads by {own:.3} s, recorded {leads:.3?}"
            ));
        }
        faults
    }
}

/// Says that a time lies outside of those recorded.
fn beyond(what: &str, own: f64, recorded: impl Iterator<Item = f64> + Clone) -> Option<String> {
    let least = recorded.clone().fold(f64::INFINITY, f64::min) - APART;
    let most = recorded.fold(f64::NEG_INFINITY, f64::max) + APART;
    let outside = !(least..=most).contains(&own);
    outside.then(|| format!("{what} at {own:.3} s, not within {least:.3} to {most:.3} s"))
}
