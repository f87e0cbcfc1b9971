//! Which causes exist, and which circumstances may be added (design 7)?
//!
//! Ids are stable and never reused.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! ids {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $id:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $id)] $variant,)+
        }

        impl $name {
            /// All of them, in the order of the design.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable id.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)+
                }
            }

            /// Reads a stable id.
            pub fn from_id(id: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.id() == id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.id())
            }
        }
    };
}

ids! {
    /// Why a request was dropped.
    Cause {
        /// The pod was going or gone and no longer accepted, yet still in somebody's routes.
        EndpointPropagation = "endpoint-propagation",
        /// The pod's proxy had ended while its app was alive.
        SidecarExitedFirst = "sidecar-exited-first",
        /// The app ended by itself without answering a request that it had.
        InFlightCut = "in-flight-cut",
        /// SIGKILL at the end of the grace period; the app had reacted to SIGTERM.
        GraceExceeded = "grace-exceeded",
        /// The same, and the app never reacted to SIGTERM.
        TermSignalUnhandled = "term-signal-unhandled",
        /// The app refused by itself because it was shutting down.
        ShutdownRefusal = "shutdown-refusal",
        /// An idle kept connection was closed in good order as the request went out.
        StaleConnection = "stale-connection",
        /// The pod was not going, and its listener not open yet.
        NewPodNotReady = "new-pod-not-ready",
        /// No pod was chosen: nobody was ready.
        NoReadyEndpoint = "no-ready-endpoint",
        /// An outer load balancer still sent to a pod that the cluster had withdrawn.
        LoadBalancerDeregistration = "load-balancer-deregistration",
        /// A gateway, waypoint or ztunnel on the way ended, the pod untouched.
        IntermediaryRestarted = "intermediary-restarted",
        /// The container died without a deletion.
        ContainerCrashed = "container-crashed",
        /// All pods of a node at once.
        NodeLost = "node-lost",
        /// Circuit breaker or outlier ejection.
        ProxyOverload = "proxy-overload",
        /// Configuration, not termination.
        MeshConfig = "mesh-config",
        /// The app's own 5xx, as in the baseline.
        ApplicationError = "application-error",
        /// The client gave up or could not send.
        ClientSide = "client-side",
        /// The harness itself.
        Harness = "harness",
        /// Nothing above is supported.
        Unexplained = "unexplained",
    }
}

ids! {
    /// A circumstance added to a cause.
    Modifier {
        /// The proxy had tried again as often as it may (C7).
        RetriesExhausted = "retries-exhausted",
        /// Another attempt of the proxy hid it from the client.
        MaskedByRetry = "masked-by-retry",
        /// Evicted while no budget held it (C13).
        EvictedWithoutBudget = "evicted-without-budget",
        /// The autoscaler shrank the workload (C14).
        Autoscaler = "autoscaler",
        /// Readiness went up and down (C15).
        ReadinessFlapping = "readiness-flapping",
        /// The connection waited to be accepted when its listener closed.
        AcceptQueue = "accept-queue",
        /// Within the grace period of the pod.
        DuringGrace = "during-grace",
        /// The pod's sidecar drained for longer than `drainDuration`, after which it does not accept.
        AfterDrainDuration = "after-drain-duration",
        /// After the slice had withdrawn the endpoint.
        AfterEndpointRemoved = "after-endpoint-removed",
    }
}
