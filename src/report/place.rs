//! Where was a request lost, and whose part of the way is that: Istio's, Kubernetes', the app's?

use crate::attribution::{Cause, Hop};

/// In a few words, from the cause and the hop that broke; `None`: not known. The routes of a client
/// behind a sidecar are its proxy's (EDS), those of any other the service proxy's.
pub(super) const fn place(cause: Cause, hop: Hop, meshed: bool) -> Option<&'static str> {
    Some(match (cause, hop) {
        (Cause::EndpointPropagation, _) if meshed => "the routes in the proxies (istiod's push)",
        (Cause::EndpointPropagation, _) => "the routes to the pod (Kubernetes endpoints)",
        (Cause::SidecarExitedFirst, _) => "the pod's sidecar (Istio)",
        (Cause::InFlightCut | Cause::ShutdownRefusal | Cause::ApplicationError, _) => "the app",
        (Cause::GraceExceeded | Cause::TermSignalUnhandled, _) => {
            "the app, at the kubelet's SIGKILL (Kubernetes)"
        }
        (Cause::StaleConnection, Hop::ServerSidecar) => {
            "between the pod's sidecar and its app (Istio)"
        }
        (Cause::StaleConnection, _) if meshed => "between the proxies (Istio)",
        (Cause::StaleConnection, _) => "the kept connection from the client to the pod",
        (Cause::NewPodNotReady, _) => "the new pod's readiness (Kubernetes)",
        (Cause::NoReadyEndpoint, _) => "the Service, which had no ready endpoint (Kubernetes)",
        (Cause::LoadBalancerDeregistration, _) => "the load balancer before the cluster",
        (Cause::IntermediaryRestarted, Hop::ClientSidecar) => "the client's own sidecar (Istio)",
        (Cause::IntermediaryRestarted, _) => "a gateway, waypoint or ztunnel on the way (Istio)",
        (Cause::ContainerCrashed, _) => "a container that crashed",
        (Cause::NodeLost, _) => "the node",
        (Cause::ProxyOverload, _) => "a proxy's limits (Istio's DestinationRule)",
        (Cause::MeshConfig, _) => "the mesh's configuration (Istio)",
        (Cause::ClientSide, _) => "the client",
        (Cause::Harness, _) => "the harness",
        (Cause::Unexplained, _) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_that_is_explained_has_a_place() {
        for cause in Cause::ALL {
            let known = place(*cause, Hop::Unknown, false).is_some();
            assert_eq!(known, *cause != Cause::Unexplained, "{cause}");
        }
    }

    #[test]
    fn whose_routes_they_were_is_told_by_the_client() {
        let plain = place(Cause::EndpointPropagation, Hop::Pod, false);
        let meshed = place(Cause::EndpointPropagation, Hop::Pod, true);
        assert_eq!(plain, Some("the routes to the pod (Kubernetes endpoints)"));
        assert_eq!(meshed, Some("the routes in the proxies (istiod's push)"));
    }
}
