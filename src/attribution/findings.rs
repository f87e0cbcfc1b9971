//! What does attribution say of a failed request, and of a pod?

use super::cause::{Cause, Modifier};
use crate::evidence::{Clock, Interval};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that attribution found in one timeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// One entry for each stored failed request, in the order of the record.
    pub failures: Vec<Attribution>,
    /// One entry for each pod of the target that was deleted, restarted or has a hazard, by name.
    pub pods: Vec<PodFinding>,
    /// What is known of the clocks.
    pub clocks: Vec<ClockBound>,
    /// Calls of the target's pods that their clients never see, over all pods.
    pub outbound: OutboundSummary,
    /// Requests since the disruption began that were saved by a proxy's retry; `None`: not measured.
    pub masked: Option<u64>,
    /// Such requests of which no clock says whether they came before the disruption, or which may be
    /// among the others.
    #[serde(default)]
    pub masked_unsure: u64,
    /// As many were seen to be saved since then, whether or not all would have been.
    #[serde(default)]
    pub masked_at_least: u64,
    /// Successful requests since then that reached the apps of two pods: what they change was done
    /// twice.
    #[serde(default)]
    pub doubled: u64,
    /// Where masking was not measured: the setting that would show it.
    pub masked_hint: Option<String>,
    /// The proxies' logs of which lines were not understood, by pod.
    #[serde(default)]
    pub logs_not_understood: Vec<NotUnderstood>,
    /// Log lines since the disruption began that match the scenario's patterns.
    pub log_matches: u64,
    /// Such lines of which no clock says whether they came before the disruption.
    #[serde(default)]
    pub log_matches_unsure: u64,
}

/// Why one request failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// The event of the failure (`seq`).
    pub event: u64,
    /// The client.
    pub client: String,
    /// The request.
    pub request_id: String,
    /// The verdict.
    pub cause: Cause,
    /// How sure.
    pub confidence: Confidence,
    /// The hop that broke.
    pub hop: Hop,
    /// The pod, where it is proved.
    pub pod: Option<String>,
    /// The best competitor, and what speaks against it.
    pub runner_up: Option<RunnerUp>,
    /// Circumstances.
    pub modifiers: Vec<Modifier>,
    /// What speaks for the cause, and what refuted the others.
    pub evidence: Vec<Evidence>,
    /// The control explains it: it failed before anything was disturbed, or such failures were as
    /// frequent before the disruption. Without a control nothing is explained by it.
    #[serde(default)]
    pub as_in_control: bool,
}

impl Attribution {
    /// It counts against the rollout: neither the harness nor, where nobody's end is to blame, the
    /// control explains it (design 6).
    pub fn counts_against_rollout(&self) -> bool {
        match self.cause {
            Cause::Harness => false,
            Cause::ApplicationError | Cause::ClientSide => !self.as_in_control,
            _ => true,
        }
    }
}

/// How surely a cause is named (design 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The interval fits entirely and every competitor is refuted.
    Proved,
    /// Intervals overlap, competitors are weaker.
    Consistent,
    /// Two or more fit.
    Ambiguous,
    /// Nothing fits: only with [`Cause::Unexplained`].
    None,
}

/// One stretch of a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hop {
    /// Inside the client.
    Client,
    /// Client to its own sidecar.
    ClientSidecar,
    /// The choice of an endpoint: service proxy or EDS.
    Routing,
    /// Into the pod: its address, or its sidecar's inbound listener.
    Pod,
    /// The server's sidecar to the app.
    ServerSidecar,
    /// The app itself.
    App,
    /// Not known.
    Unknown,
}

/// A cause that did not win.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunnerUp {
    /// The cause.
    pub cause: Cause,
    /// What speaks against it.
    pub against: String,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// For the named cause, or against another.
    pub stance: Stance,
    /// When it happened, where an instant belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Interval>,
    /// In words, with the figures.
    pub text: String,
    /// The events that show it (`seq`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<u64>,
    /// The log line that shows it: `pod/container: text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// What a piece of evidence speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stance {
    /// For the named cause.
    For,
    /// Against the runner-up or another competitor.
    Against,
    /// A circumstance; speaks for neither.
    Context,
}

/// A sidecar that leads by more than so many seconds has left its app alone (design 7).
pub const LEFT_FIRST_S: f64 = 0.5;

/// What is known of one pod's end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodFinding {
    /// Its name.
    pub pod: String,
    /// Exit code by container, also of native sidecars, of the last ended instance.
    pub exit_codes: BTreeMap<String, i32>,
    /// `sigkill:<container>`, `term-signal-unhandled`, `sidecar-exited-first`,
    /// `sidecar-never-ended`, `prestop-failed:<container>`, `prestop-missing`, `thin-margin`.
    pub hazards: Vec<String>,
    /// Calls of its own that it lost after its sidecar had ended; `None`: its log was not seen.
    pub outbound_failures: Option<u64>,
    /// Seconds by which the sidecar ended before the app; negative: after it.
    pub sidecar_lead_s: Option<f64>,
    /// The same at least and at most, as floored stamps and last words leave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar_lead_between_s: Option<(f64, f64)>,
    /// How its sidecar waited after it was told to stop, and how long the app would have needed it;
    /// of a native one only where it left first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<SidecarDrain>,
    /// Milliseconds from the last instant at which it could be sent something to the one at which
    /// it stopped accepting, at worst; negative is where requests die.
    pub margin_ms: Option<i64>,
    /// Its termination window on the harness's clock, where it was deleted.
    pub window: Option<Interval>,
    /// Requests that were started inside its termination window.
    pub exposed: u64,
    /// What shows the hazards.
    pub evidence: Vec<Evidence>,
    /// Its sidecar, where it has one; gates on sidecars are left out where no pod has one.
    pub sidecar: Option<SidecarKind>,
    /// Evidence about this pod that was not seen. A gate that needs it is inconclusive.
    pub missing: Vec<Missing>,
}

/// How the sidecar of a deleted pod waits before it leaves (facts 3.3); a native one has no wait of
/// its own (facts 1.4).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SidecarDrain {
    /// `EXIT_ON_ZERO_ACTIVE_CONNECTIONS`: it leaves when nobody is connected, and ignores
    /// `terminationDrainDuration`.
    pub until_idle: bool,
    /// Seconds that it waits, or with `until_idle` waits at least; `null`: not seen.
    pub period_s: Option<f64>,
    /// Seconds from the moment it was told to stop to the app's end; of a native one from the deletion.
    pub needed_s: f64,
    /// Seconds from the deletion to that moment: its own preStop hook.
    pub prestop_s: f64,
    /// The grace period of the deletion in seconds.
    pub grace_s: f64,
    /// Seconds of `drainDuration`, where the pod has it: a sidecar that drains accepts for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_duration_s: Option<f64>,
    /// `terminationGracePeriodSeconds` of the pod.
    #[serde(default)]
    pub spec_grace_s: f64,
    /// Not its own wait but the end of the grace period ended it.
    #[serde(default)]
    pub ended_by_grace: bool,
    /// What the end of the grace period cut short at the app, which needs longer than was seen then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_cut: Option<CutShort>,
}

/// What the end of a grace period cuts short at an app (facts 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutShort {
    /// Its preStop hook, so many seconds before the hook's end; `null`: its length is not known.
    Prestop {
        /// Seconds.
        left_s: Option<f64>,
    },
    /// The app itself, by SIGKILL.
    App,
}

/// How a sidecar is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SidecarKind {
    /// A container beside the app: nothing orders their ends.
    Classic,
    /// An init container with `restartPolicy: Always`: it is signalled after the app's end.
    Native,
}

/// Evidence that was not seen (design 6, gates).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Missing {
    /// What the clients sent.
    #[serde(rename = "requests")]
    Requests,
    /// The pods' states over a termination.
    #[serde(rename = "pods")]
    Pods,
    /// The endpoint slices.
    #[serde(rename = "slices")]
    Slices,
    /// The app containers' logs.
    #[serde(rename = "app logs")]
    AppLogs,
    /// The lines of the sidecar's agent.
    #[serde(rename = "agent logs")]
    AgentLogs,
    /// The lines of the sidecar's access log.
    #[serde(rename = "access logs")]
    AccessLogs,
    /// How containers ended.
    #[serde(rename = "exit codes")]
    ExitCodes,
}

/// How much of a proxy's log was in no known format. A line that goes on with the message before it is
/// understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotUnderstood {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Lines that were not understood.
    pub lines: u64,
    /// Lines that were read.
    pub of_lines: u64,
}

/// The bound of one clock's offset from the harness's: `clock - harness`, nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockBound {
    /// The clock.
    pub clock: Clock,
    /// At least; `None`: nothing bounds this side.
    pub lo: Option<i64>,
    /// At most; `None`: nothing bounds this side.
    pub hi: Option<i64>,
    /// What bounded it.
    pub method: String,
    /// The bounds contradicted each other: stamps of this clock are not used.
    pub unreliable: bool,
}

/// Outbound calls that the apps lost (design 6).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutboundSummary {
    /// Between the proxy's end and the app's: blamed.
    pub lost: u64,
    /// Matching lines outside that span: blamed on nobody.
    pub elsewhere: u64,
}
