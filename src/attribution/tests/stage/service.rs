//! The Service's own object, and where its endpoints live.

use super::{Stage, address, stamp};
use crate::evidence::{Change, EventKind, Resource};
use serde_json::{Value, json};

impl Stage {
    /// All clients ask for the Service by its address; its object says `spec` beside that.
    pub(in crate::attribution::tests) fn serve(&mut self, spec: Value) {
        self.serve_at("10.96.0.10:80", spec);
    }

    /// The same by another way.
    pub(in crate::attribution::tests) fn serve_at(&mut self, target: &str, spec: Value) {
        for (_, kind) in &mut self.events {
            if let EventKind::Client(client) = kind {
                client.target = Some(target.to_owned());
            }
        }
        let mut service = json!({"metadata": {"name": "demo", "namespace": "n"}, "spec": spec});
        service["spec"]["clusterIP"] = json!("10.96.0.10");
        service["spec"]["ports"] = json!([{"name": "http", "port": 80}]);
        self.object(0, Resource::Services, Change::Added, service);
    }

    /// Every slice so far says of these endpoints on which node they are, and for which zone.
    pub(in crate::attribution::tests) fn place(&mut self, places: &[(&str, &str, Option<&str>)]) {
        let slices = self.events.iter_mut().filter_map(|(_, kind)| match kind {
            EventKind::Object {
                resource: Resource::EndpointSlices,
                object,
                ..
            } => object["endpoints"].as_array_mut(),
            _ => None,
        });
        for endpoint in slices.flatten() {
            let own = |(name, _, _): &&(&str, &str, _)| endpoint["targetRef"]["name"] == *name;
            let Some((_, node, zone)) = places.iter().find(own) else {
                continue;
            };
            endpoint["nodeName"] = json!(node);
            if let Some(zone) = zone {
                endpoint["hints"] = json!({"forZones": [{"name": zone}]});
            }
        }
    }

    /// A client in the mesh, and its pod beside the workload's on the first node.
    pub(in crate::attribution::tests) fn meshed_client(&mut self) {
        self.client("mesh", true);
        let client = json!({
            "metadata": {"name": "loadgen", "namespace": "n", "uid": "loadgen"},
            "spec": {"nodeName": "node1", "containers": [{"name": "client"}]},
            "status": {"phase": "Running"},
        });
        self.object(0, Resource::Pods, Change::Added, client);
    }

    /// All clients run in the pod of this name.
    pub(in crate::attribution::tests) fn run_in(&mut self, pod: &str) {
        for (_, kind) in &mut self.events {
            if let EventKind::Client(client) = kind {
                client.pod = Some(pod.to_owned());
            }
        }
    }

    /// Every failed request so far was sent from a pod that is on this node, in the zone of its name.
    pub(in crate::attribution::tests) fn send_from(&mut self, node: &str) {
        for (_, kind) in &mut self.events {
            if let EventKind::RequestFailed(request) = kind {
                request.local = Some(format!("{}:40000", address("load")));
            }
        }
        let pod = json!({"metadata": {"name": "load", "namespace": "n", "uid": "load",
                "creationTimestamp": stamp(0)},
            "spec": {"nodeName": node, "containers": [{"name": "load"}]},
            "status": {"phase": "Running", "podIP": address("load")}});
        self.object(0, Resource::Pods, Change::Added, pod);
        let labels = json!({"topology.kubernetes.io/zone": format!("zone-of-{node}")});
        let node = json!({"metadata": {"name": node, "labels": labels}});
        self.object(0, Resource::Nodes, Change::Added, node);
    }
}
