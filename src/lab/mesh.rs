//! What stands in for Istio in the lab?
//!
//! Real is Envoy, and the kernel that redirects to it. The rest is imitated by the facts, each part
//! by its own module: the injector ([`Injector`]), `istio-init` ([`redirect`]), istiod ([`istiod`],
//! which writes what [`xds`] says into files that Envoy reads) and pilot-agent ([`agent`], PID 1 of
//! each `istio-proxy`). There is no mutual TLS. Envoy has this machine's clock, so the
//! node sets the stamps of its lines ([`clock`]).

mod agent;
mod clock;
mod envoy;
mod inject;
mod istiod;
mod redirect;
mod settings;
mod xds;

pub use agent::main as agent_main;
pub use agent::request as agent_request;
pub use agent::wait as agent_wait;
pub(crate) use clock::restamp;
pub use envoy::{EnvoyError, find as find_envoy};
pub use inject::Injector;
pub use inject::is_wanted;
pub(crate) use inject::{INIT, PROXY};
pub(crate) use istiod::{endpoints, run as run_istiod};
pub use redirect::main as redirect_main;
pub use settings::{Settings, SettingsError};
pub(crate) use xds::{INBOUND_PORT, endpoints_file};
