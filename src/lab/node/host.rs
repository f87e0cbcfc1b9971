//! What do the pods of one node share?

use super::clock::NodeClock;
use super::events::Recorder;
use super::logs::LogBook;
use super::volumes::ApiAccess;
use crate::lab::loopback::Block;
use crate::lab::net::{self, Fabric, PodNet};
use crate::lab::store::Store;
use crate::lab::store::object::{items, name, namespace, text, uid};
use crate::lab::truth::Truth;
use serde_json::Value;
use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The kubelet looks at its containers this often (`genericPlegRelistPeriod`).
const RELIST: Duration = Duration::from_secs(1);

/// One node: its place in the network, its clock, and where it reports to.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) index: usize,
    pub(crate) name: &'static str,
    pub(crate) address: Ipv4Addr,
    pub(crate) clock: NodeClock,
    pub(crate) store: Arc<Store>,
    pub(crate) network: Network,
    pub(crate) truth: Truth,
    pub(crate) logs: LogBook,
    pub(crate) recorder: Recorder,
    pub(crate) api: ApiAccess,
    /// The node's own folder.
    pub(crate) dir: PathBuf,
    /// The folder in which `lastwatch` is.
    pub(crate) bin: PathBuf,
    /// An instant at which the kubelet looked at its containers.
    pub(crate) relisted: Instant,
}

/// Where pods get their addresses from.
#[derive(Clone, Debug)]
pub(crate) enum Network {
    /// Each pod has a network namespace.
    Isolated(Arc<Fabric>),
    /// Each pod has an address of its own in the one network that there is.
    Loopback(Arc<Block>),
}

/// A pod's place in the network.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) address: Ipv4Addr,
    /// `None` in loopback mode.
    pub(crate) net: Option<PodNet>,
}

impl Host {
    /// Containers have namespaces of their own.
    pub(crate) fn isolated(&self) -> bool {
        matches!(self.network, Network::Isolated(_))
    }

    /// Makes a pod's sandbox.
    pub(crate) async fn sandbox(self: &Arc<Self>) -> Result<Sandbox, net::Error> {
        match &self.network {
            Network::Isolated(fabric) => {
                let (fabric, index) = (Arc::clone(fabric), self.index);
                let net = blocking(move || fabric.add_pod(index)).await?;
                Ok(Sandbox {
                    address: net.address,
                    net: Some(net),
                })
            }
            Network::Loopback(block) => Ok(Sandbox {
                address: block.pod_address(),
                net: None,
            }),
        }
    }

    /// Takes a pod's address away.
    pub(crate) async fn remove_sandbox(self: &Arc<Self>, sandbox: Sandbox) {
        if let (Network::Isolated(fabric), Some(net)) = (&self.network, sandbox.net) {
            let fabric = Arc::clone(fabric);
            if let Err(error) = blocking(move || fabric.remove_pod(&net)).await {
                tracing::warn!("{}", crate::error::Chain(&error));
            }
        }
    }

    /// Waits until the kubelet looks at its containers the next time.
    pub(crate) async fn relist(&self) {
        let since = self.relisted.elapsed().as_nanos();
        let next = since.div_ceil(RELIST.as_nanos()) * RELIST.as_nanos() - since;
        tokio::time::sleep(Duration::from_nanos(u64::try_from(next).unwrap_or(0))).await;
    }

    /// Where a pod's `/etc/hosts` is.
    pub(crate) fn hosts_file(&self, pod: &Value) -> PathBuf {
        self.dir.join(format!("hosts-{}", uid(pod)))
    }

    /// Where a pod's volumes are.
    pub(crate) fn volumes(&self, pod: &Value) -> PathBuf {
        self.dir.join(format!("volumes-{}", uid(pod)))
    }

    /// Takes away what a pod has left.
    pub(crate) fn clean_up(&self, pod: &Value) {
        // What cannot be removed goes with the lab's own folder.
        let _ = std::fs::remove_file(self.hosts_file(pod));
        let _ = std::fs::remove_dir_all(self.volumes(pod));
    }

    /// Writes a pod's `/etc/hosts`: its `hostAliases`, itself, and the Services, since the lab has
    /// no DNS server. It is written in place, for a container sees the file that it was given.
    pub(crate) fn write_hosts(&self, pod: &Value, address: Ipv4Addr) -> io::Result<()> {
        let (_, services) = self.store.list("services", None);
        std::fs::write(self.hosts_file(pod), hosts(pod, address, &services))
    }
}

async fn blocking<T: Send + 'static>(task: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(task)
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The text of a hosts file.
pub(crate) fn hosts(pod: &Value, address: Ipv4Addr, services: &[Arc<Value>]) -> String {
    let mut hosts = format!("127.0.0.1 localhost\n{address} {}\n", name(pod));
    for alias in items(&pod["spec"]["hostAliases"]) {
        let names: Vec<_> = items(&alias["hostnames"]).iter().map(text).collect();
        let _ = writeln!(hosts, "{} {}", text(&alias["ip"]), names.join(" "));
    }
    for service in services {
        let ip = text(&service["spec"]["clusterIP"]);
        if ip.parse::<Ipv4Addr>().is_err() {
            continue;
        }
        let (space, service) = (namespace(service), name(service));
        let short = if space == namespace(pod) { service } else { "" };
        let _ = writeln!(
            hosts,
            "{ip} {service}.{space} {service}.{space}.svc {service}.{space}.svc.cluster.local {short}"
        );
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn services_have_their_cluster_names_and_a_short_one_in_their_own_namespace() {
        let service = |space: &str| {
            Arc::new(
                json!({"metadata": {"name": "peer", "namespace": space}, "spec": {"clusterIP": "10.96.0.60"}}),
            )
        };
        let pod = json!({
            "metadata": {"name": "demo-1", "namespace": "default"},
            "spec": {"hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a", "b"]}]}
        });
        let address = Ipv4Addr::new(10, 244, 0, 3);
        let hosts = hosts(&pod, address, &[service("default"), service("other")]);
        let lines: Vec<_> = hosts.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "127.0.0.1 localhost",
                "10.244.0.3 demo-1",
                "192.0.2.1 a b",
                "10.96.0.60 peer.default peer.default.svc peer.default.svc.cluster.local peer",
                "10.96.0.60 peer.other peer.other.svc peer.other.svc.cluster.local",
            ]
        );
    }
}
