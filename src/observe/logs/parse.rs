//! What does a line of a container's log mean?
//!
//! [`istio_proxy`] is a total function: whatever it does not understand is [`IstioLine::Other`].
//! [`Reader`] adds what a single line cannot know: a custom access-log format, and which lines
//! continue the one before. The rules are those of facts 3 and 4.

mod access;
mod agent;
mod classify;
mod flags;
mod format;
mod json;
mod key;
mod kubelet;
mod prefix;
mod reader;
mod render;
mod text;
mod time;

#[cfg(test)]
mod tests;

pub use access::AccessLine;
pub use agent::{AgentKind, AgentLine};
pub use classify::istio_proxy;
pub use flags::ResponseFlags;
pub use format::{FormatError, TextFormat};
pub use kubelet::{KubeletError, kubelet_error};
pub use reader::{ReadLine, Reader};
pub use render::to_json;
pub use time::epoch_nanos;

/// A line of the container `istio-proxy`.
#[derive(Clone, Debug, PartialEq)]
pub enum IstioLine<'a> {
    /// A request or a connection that Envoy has finished.
    Access(Box<AccessLine<'a>>),
    /// A line of pilot-agent.
    Agent(AgentLine<'a>),
    /// A line of Envoy's own log.
    Envoy(AgentLine<'a>),
    /// A continuation of the line before, or a line in no Istio format.
    Other,
}

impl IstioLine<'_> {
    /// The same line on its own feet.
    pub fn into_owned(self) -> IstioLine<'static> {
        match self {
            Self::Access(line) => IstioLine::Access(Box::new(line.into_owned())),
            Self::Agent(line) => IstioLine::Agent(line.into_owned()),
            Self::Envoy(line) => IstioLine::Envoy(line.into_owned()),
            Self::Other => IstioLine::Other,
        }
    }
}
