//! Which pods are this node's, and how does the node show that it lives?

use super::host::Host;
use super::worker::{Seen, Worker};
use crate::lab::store::object::{micro, second, text, uid};
use crate::lab::store::{ChangeKind, Status};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often a kubelet renews its Lease.
const LEASE_EVERY: Duration = Duration::from_secs(10);

/// Runs a node until `stop`.
pub(crate) async fn run(host: Arc<Host>, stop: CancellationToken) -> Result<(), Status> {
    register(&host)?;
    let mut pods = host.store.watch("pods", None, None)?;
    let mut services = host.store.watch("services", None, None)?;
    let mut own: HashMap<String, watch::Sender<Seen>> = HashMap::new();
    let mut lease = tokio::time::interval(LEASE_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = lease.tick() => renew_lease(&host)?,
            change = services.next() => {
                change?;
                rewrite_hosts(&host, &own);
            }
            change = pods.next() => {
                let change = change?;
                let pod = change.object;
                if text(&pod["spec"]["nodeName"]) != host.name {
                    continue;
                }
                let gone = change.kind == ChangeKind::Deleted;
                let seen = Seen { pod: Arc::clone(&pod), gone };
                if let Some(worker) = own.get(uid(&pod)) {
                    worker.send_replace(seen);
                } else if !gone {
                    let (seen_tx, seen_rx) = watch::channel(seen);
                    tokio::spawn(Worker::new(Arc::clone(&host), seen_rx).run());
                    own.insert(uid(&pod).to_owned(), seen_tx);
                }
                if gone {
                    own.remove(uid(&pod));
                }
            }
        }
    }
}

fn rewrite_hosts(host: &Host, own: &HashMap<String, watch::Sender<Seen>>) {
    for worker in own.values() {
        let pod = Arc::clone(&worker.borrow().pod);
        if let Ok(address) = text(&pod["status"]["podIP"]).parse()
            && host.hosts_file(&pod).exists()
        {
            let _ = host.write_hosts(&pod, address);
        }
    }
}

fn register(host: &Host) -> Result<(), Status> {
    let stamp = second(host.clock.now());
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": if holds { "True" } else { "False" },
            "lastHeartbeatTime": stamp,
            "lastTransitionTime": stamp,
            "reason": reason,
            "message": message,
        })
    };
    let room = json!({"cpu": "8", "memory": "16Gi", "pods": "110"});
    let node = json!({
        "metadata": {
            "name": host.name,
            "labels": {
                "kubernetes.io/hostname": host.name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": std::env::consts::ARCH,
            },
        },
        "spec": {"podCIDR": format!("10.244.{}.0/24", host.index)},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [
                condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
            ],
            "addresses": [
                {"type": "InternalIP", "address": host.address.to_string()},
                {"type": "Hostname", "address": host.name},
            ],
            "nodeInfo": {
                "kubeletVersion": "v1.33.0",
                "kubeProxyVersion": "",
                "containerRuntimeVersion": "containerd://2.1.0",
                "osImage": "lastwatch lab",
                "operatingSystem": "linux",
                "architecture": std::env::consts::ARCH,
                "kernelVersion": "",
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
            },
        },
    });
    host.store.create("nodes", node)?;
    Ok(())
}

fn renew_lease(host: &Host) -> Result<(), Status> {
    let stamp = micro(host.clock.now());
    let place = Some("kube-node-lease");
    let renewed = host.store.update("leases", place, host.name, |lease| {
        lease["spec"]["renewTime"] = json!(stamp);
        Ok(())
    });
    match renewed {
        Err(error) if error.code == 404 => {
            let lease: Value = json!({
                "metadata": {"name": host.name, "namespace": "kube-node-lease"},
                "spec": {"holderIdentity": host.name, "leaseDurationSeconds": 40, "renewTime": stamp},
            });
            host.store.create("leases", lease).map(|_| ())
        }
        other => other.map(|_| ()),
    }
}
