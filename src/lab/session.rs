//! How is a lab started, used and ended?
//!
//! [`Session`] is the outside of a running lab, in the program that the user started. Inside, in
//! namespaces of its own, runs a second process of this program ([`inner_main`]) with the API
//! server, the controllers and the nodes. They share one folder and a pipe: when the outside ends,
//! however that happens, the pipe closes, the inside ends, and with it everything in its process
//! namespace.
//!
//! ```text
//! Session --LabOrder (file)--> inner --News (stdout)--> Session
//! ```

mod apply;
mod harness;
mod inner;
mod outer;
mod place;
mod relay;
mod settled;
mod stage;

pub use harness::run_in;
pub(crate) use inner::main as inner_main;
pub use outer::{Error, Mode, Session, Settings};
pub use place::find_running;
pub(crate) use stage::main as stage_main;

use crate::scenario::LabPlan;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the inside of a lab is told: `order.json` in its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LabOrder {
    /// How the lab is set up.
    pub(crate) plan: LabPlan,
    /// In namespaces of its own.
    pub(crate) isolated: bool,
    /// With a pod for a harness to run in.
    pub(crate) client: bool,
    /// That pod has a sidecar.
    pub(crate) meshed_client: bool,
    /// The Envoy of the sidecars; `None`: there is no mesh.
    pub(crate) envoy: Option<PathBuf>,
}

/// What the inside tells, one line each on its stdout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum News {
    /// The inside runs, under this pid of the outside's process namespace.
    Inner {
        /// Its pid.
        pid: i32,
    },
    /// Namespaces cannot be had here.
    Forbidden {
        /// Why.
        text: String,
    },
    /// The API server listens.
    Serving {
        /// Its address, inside.
        address: std::net::SocketAddr,
        /// The administrator's bearer token.
        token: String,
        /// The API server's certificate, in PEM.
        certificate: String,
    },
    /// The manifests are applied and what they ask for is there.
    Ready {
        /// The first process of the client's pod, by the inside's count.
        client: Option<i32>,
    },
    /// The lab could not be set up.
    Failed {
        /// Why.
        text: String,
    },
}
