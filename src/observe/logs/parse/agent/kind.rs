//! What does a line tell about the life of the proxy (facts 3.2)?

/// What a line tells about the life of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AgentKind {
    /// The agent or Envoy starts.
    Start,
    /// Envoy serves.
    Ready,
    /// Envoy does not serve.
    NotReady,
    /// A SIGTERM has arrived.
    SigtermReceived,
    /// Listeners are told to drain.
    DrainStart,
    /// A drain period begins.
    DrainWait,
    /// Connections are counted.
    ActiveConnections,
    /// None is left.
    NoActiveConnections,
    /// The drain period is over.
    GraceComplete,
    /// The agent ends Envoy.
    EnvoyAborted,
    /// Envoy ended by itself.
    EnvoyExited,
    /// The agent's last word.
    AgentTerminated,
    /// `/quitquitquit` was called.
    Quitquitquit,
    /// `/drain` was called.
    DrainEndpoint,
    /// Nothing of these.
    Other,
}

/// Beginnings of lines, the more special ones first.
const BEGINNINGS: &[(&str, AgentKind)] = &[
    ("FLAG: ", AgentKind::Start),
    ("Version ", AgentKind::Start),
    ("Proxy role", AgentKind::Start),
    ("Effective config", AgentKind::Start),
    ("Apply ", AgentKind::Start),
    ("Starting proxy agent", AgentKind::Start),
    ("Envoy command", AgentKind::Start),
    ("Opening status port", AgentKind::Start),
    ("Waiting for Envoy", AgentKind::Start),
    (
        "Received new config, creating new Envoy epoch",
        AgentKind::Start,
    ),
    ("Envoy proxy is ready", AgentKind::Ready),
    ("Envoy is ready", AgentKind::Ready),
    ("Readiness succeeded", AgentKind::Ready),
    ("Initialization took", AgentKind::Ready),
    ("Envoy proxy is NOT ready", AgentKind::NotReady),
    (
        "Status server has successfully terminated",
        AgentKind::SigtermReceived,
    ),
    ("caught SIGTERM", AgentKind::SigtermReceived),
    ("caught ENVOY_SIGTERM", AgentKind::SigtermReceived),
    ("Agent draining Proxy", AgentKind::DrainStart),
    ("Agent draining proxy for", AgentKind::DrainWait),
    ("Agent draining proxy", AgentKind::DrainStart),
    ("Graceful termination period is", AgentKind::DrainWait),
    (
        "Graceful termination period complete",
        AgentKind::GraceComplete,
    ),
    (
        "Graceful termination logic ended prematurely",
        AgentKind::EnvoyExited,
    ),
    (
        "Checking for active connections",
        AgentKind::ActiveConnections,
    ),
    ("There are still", AgentKind::ActiveConnections),
    (
        "downstream_cx_active are not available",
        AgentKind::ActiveConnections,
    ),
    (
        "There are no more active connections",
        AgentKind::NoActiveConnections,
    ),
    ("Aborting proxy", AgentKind::EnvoyAborted),
    ("Agent already drained", AgentKind::EnvoyAborted),
    ("killing proxy caused", AgentKind::EnvoyAborted),
    ("Aborted", AgentKind::EnvoyAborted),
    ("Aborting epoch", AgentKind::EnvoyAborted),
    ("Envoy aborted", AgentKind::EnvoyAborted),
    ("Envoy exited", AgentKind::EnvoyExited),
    (
        "Envoy may have been out of memory killed",
        AgentKind::EnvoyExited,
    ),
    ("No more active epochs", AgentKind::AgentTerminated),
    (
        "Agent has successfully terminated",
        AgentKind::AgentTerminated,
    ),
    ("handling /quitquitquit", AgentKind::Quitquitquit),
    ("handling /drain", AgentKind::DrainEndpoint),
];

impl AgentKind {
    /// Its name in the output of `lastwatch parse`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Ready => "ready",
            Self::NotReady => "not_ready",
            Self::SigtermReceived => "sigterm_received",
            Self::DrainStart => "drain_start",
            Self::DrainWait => "drain_wait",
            Self::ActiveConnections => "active_connections",
            Self::NoActiveConnections => "no_active_connections",
            Self::GraceComplete => "grace_complete",
            Self::EnvoyAborted => "envoy_aborted",
            Self::EnvoyExited => "envoy_exited",
            Self::AgentTerminated => "agent_terminated",
            Self::Quitquitquit => "quitquitquit",
            Self::DrainEndpoint => "drain_endpoint",
            Self::Other => "other",
        }
    }

    pub(in super::super) fn of(message: &str) -> Self {
        let known = BEGINNINGS
            .iter()
            .find(|(beginning, _)| message.starts_with(beginning));
        match known {
            Some((_, kind)) => *kind,
            None => Self::of_shape(message),
        }
    }

    /// Lines that carry a number or an address in their middle.
    fn of_shape(message: &str) -> Self {
        let is_attempt =
            message.starts_with("Retrying (") && message.contains("active connections");
        let is_connected = message.starts_with("connected to ") && message.contains("XDS server");
        if message == "starting" || is_connected {
            Self::Start
        } else if is_attempt {
            Self::ActiveConnections
        } else if message.starts_with("Epoch ") {
            Self::of_epoch(message)
        } else {
            Self::Other
        }
    }

    /// `Epoch 0 ...`, as the agent wrote until 1.14.
    fn of_epoch(message: &str) -> Self {
        if message.contains("aborted") {
            Self::EnvoyAborted
        } else if message.contains("exited") || message.contains("terminated") {
            Self::EnvoyExited
        } else if message.contains("starting") {
            Self::Start
        } else {
            Self::Other
        }
    }
}
