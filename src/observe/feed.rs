//! Which objects are watched, and which of their deliveries concern the subject?

use super::Subject;
use super::pods::PodBook;
use super::watch::Watch;
use crate::evidence::{EventSink, Resource, gateways_in, is_proxy};
use crate::scenario::WorkloadKind;
use crate::task::Scope;
use kube::Client;
use serde_json::Value;
use tokio::sync::watch;

/// How far a watch has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FeedState {
    /// The first list has not been delivered; with what was met last.
    Starting(Option<String>),
    /// The first list was delivered. Gaps after that are recorded, not a state.
    Live,
    /// The API server refuses it, or does not know the resource.
    Denied(String),
}

/// A running watch, seen from outside.
#[derive(Debug)]
pub(super) struct FeedHandle {
    pub(super) what: &'static str,
    /// Without it nothing can be said of a run.
    pub(super) required: bool,
    pub(super) state: watch::Receiver<FeedState>,
}

/// One resource with its selectors.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    pub(super) resource: Resource,
    pub(super) what: &'static str,
    /// The namespace, where it was named for its gateways.
    pub(super) elsewhere: Option<String>,
    pub(super) path: String,
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
    pub(super) required: bool,
    pub(super) keep: Keep,
}

/// Which deliveries are kept: where the API cannot select, we do.
#[derive(Clone, Debug)]
pub(super) enum Keep {
    All,
    /// Events about the workload, its replica sets and pods, and whoever scales it.
    EventsAbout(String),
    /// Nodes and leases of the nodes that host the pods of these books.
    Hosts(Books),
    /// Pods that are a proxy and nothing else.
    Proxies,
}

impl Feed {
    /// What it shows, as blindness names it.
    pub(super) fn shows(&self) -> String {
        let what = self.what;
        let elsewhere = self.elsewhere.as_ref();
        elsewhere.map_or_else(|| what.to_owned(), |place| gateways_in(place))
    }
}

impl Keep {
    pub(super) fn keeps(&self, object: &Value) -> bool {
        match self {
            Self::All => true,
            Self::EventsAbout(workload) => concerns(workload, &object["involvedObject"]),
            Self::Hosts(books) => object["metadata"]["name"]
                .as_str()
                .is_some_and(|node| books.subject.is_host(node) || books.client.is_host(node)),
            Self::Proxies => is_lone_proxy(object),
        }
    }
}

/// A gateway or a waypoint, whose only app is the mesh's proxy, or a ztunnel.
fn is_lone_proxy(pod: &Value) -> bool {
    let containers = pod["spec"]["containers"].as_array();
    let mut names = containers.into_iter().flatten().map(|one| &one["name"]);
    let proxy = names.next().and_then(Value::as_str).is_some_and(is_proxy);
    pod["metadata"]["labels"]["app"] == "ztunnel" || proxy && names.next().is_none()
}

fn concerns(workload: &str, involved: &Value) -> bool {
    if involved["kind"] == "HorizontalPodAutoscaler" {
        return true;
    }
    let name = involved["name"].as_str().unwrap_or_default();
    name.strip_prefix(workload)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Pods of Gateways, waypoints among them: not the subject's.
const GATEWAYS: &str = "gateways";

/// The pod behind whose sidecar the harness sends: not the subject's either.
const CLIENT: &str = "client";

/// The name of a resource as the record and people write it.
pub(super) const fn name_of(resource: Resource) -> &'static str {
    match resource {
        Resource::Pods => "pods",
        Resource::EndpointSlices => "endpointslices",
        Resource::Events => "events",
        Resource::Deployments => "deployments",
        Resource::ReplicaSets => "replicasets",
        Resource::StatefulSets => "statefulsets",
        Resource::DaemonSets => "daemonsets",
        Resource::Jobs => "jobs",
        Resource::Nodes => "nodes",
        Resource::Leases => "leases",
        Resource::Services => "services",
        Resource::PodDisruptionBudgets => "poddisruptionbudgets",
    }
}

const fn workload_resource(kind: WorkloadKind) -> (Resource, &'static str) {
    match kind {
        WorkloadKind::Deployment => (Resource::Deployments, "apps/v1"),
        WorkloadKind::StatefulSet => (Resource::StatefulSets, "apps/v1"),
        WorkloadKind::DaemonSet => (Resource::DaemonSets, "apps/v1"),
        WorkloadKind::Job => (Resource::Jobs, "batch/v1"),
    }
}

fn namespaced(namespace: &str, group: &str, resource: Resource) -> Feed {
    let root = if group == "v1" { "/api" } else { "/apis" };
    let what = name_of(resource);
    Feed {
        resource,
        what,
        elsewhere: None,
        path: format!("{root}/{group}/namespaces/{namespace}/{what}"),
        labels: None,
        fields: None,
        required: false,
        keep: Keep::All,
    }
}

/// The live views of pods.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    /// The subject's.
    pub(super) subject: PodBook,
    /// The pod behind whose sidecar the harness sends.
    pub(super) client: PodBook,
}

impl Books {
    /// The one that a watch keeps.
    fn of(&self, what: &str) -> Option<&PodBook> {
        if what == name_of(Resource::Pods) {
            Some(&self.subject)
        } else {
            (what == CLIENT).then_some(&self.client)
        }
    }
}

/// Everything that is watched of a subject. Pods come first: others ask the book for their nodes.
pub(super) fn feeds(subject: &Subject, books: &Books) -> Vec<Feed> {
    let hosts = || Keep::Hosts(books.clone());
    let namespace = subject.namespace.as_str();
    let labels = Some(subject.selector.clone());
    let (workload, group) = workload_resource(subject.workload.kind);
    let mut feeds = vec![
        Feed {
            labels: labels.clone(),
            required: true,
            ..namespaced(namespace, "v1", Resource::Pods)
        },
        Feed {
            fields: Some(format!("metadata.name={}", subject.workload.name)),
            required: true,
            ..namespaced(namespace, group, workload)
        },
        Feed {
            keep: Keep::EventsAbout(subject.workload.name.clone()),
            ..namespaced(namespace, "v1", Resource::Events)
        },
        namespaced(namespace, "policy/v1", Resource::PodDisruptionBudgets),
        Feed {
            path: "/api/v1/nodes".to_owned(),
            keep: hosts(),
            ..namespaced(namespace, "v1", Resource::Nodes)
        },
        Feed {
            keep: hosts(),
            ..namespaced(
                "kube-node-lease",
                "coordination.k8s.io/v1",
                Resource::Leases,
            )
        },
    ];
    // A Gateway's own pods are on the way of requests, and end as others do.
    if !subject.gateways.iter().any(|place| place == namespace) {
        feeds.push(Feed {
            what: GATEWAYS,
            labels: Some("gateway.networking.k8s.io/gateway-name".to_owned()),
            ..namespaced(namespace, "v1", Resource::Pods)
        });
    }
    feeds.extend(subject.gateways.iter().map(|place| Feed {
        what: GATEWAYS,
        elsewhere: Some(place.clone()),
        keep: Keep::Proxies,
        ..namespaced(place, "v1", Resource::Pods)
    }));
    if workload == Resource::Deployments {
        feeds.push(Feed {
            labels,
            ..namespaced(namespace, "apps/v1", Resource::ReplicaSets)
        });
    }
    if let Some(pod) = &subject.client_pod {
        feeds.push(Feed {
            what: CLIENT,
            fields: Some(format!("metadata.name={pod}")),
            ..namespaced(namespace, "v1", Resource::Pods)
        });
    }
    if let Some(service) = &subject.service {
        feeds.push(Feed {
            labels: Some(format!("kubernetes.io/service-name={service}")),
            required: true,
            ..namespaced(namespace, "discovery.k8s.io/v1", Resource::EndpointSlices)
        });
        feeds.push(Feed {
            fields: Some(format!("metadata.name={service}")),
            ..namespaced(namespace, "v1", Resource::Services)
        });
    }
    feeds
}

/// Starts the watches of a subject.
pub(super) fn start_all(
    client: &Client,
    subject: &Subject,
    sink: &EventSink,
    books: &Books,
    scope: &mut Scope,
) -> Vec<FeedHandle> {
    let mut handles = Vec::new();
    let mut pods_live: Option<watch::Receiver<FeedState>> = None;
    for feed in feeds(subject, books) {
        let (what, required) = (feed.what, feed.required);
        let keeps_hosts = matches!(feed.keep, Keep::Hosts(_));
        let after = pods_live.clone().filter(|_| keeps_hosts);
        let book = books.of(feed.what).cloned();
        let (watch, state) = Watch::new(client.clone(), feed, sink.clone(), book);
        if what == name_of(Resource::Pods) {
            pods_live = Some(state.clone());
        }
        let token = scope.token();
        scope.spawn(what, async move {
            if let Some(mut pods) = after {
                let live = pods.wait_for(|state| !matches!(state, FeedState::Starting(_)));
                tokio::select! {
                    () = token.cancelled() => return,
                    _ = live => {}
                }
            }
            watch.run(token).await;
        });
        handles.push(FeedHandle {
            what,
            required,
            state,
        });
    }
    handles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Workload;
    use serde_json::json;

    #[test]
    fn events_about_the_workload_and_what_it_made_are_kept_and_others_are_not() {
        let keep = Keep::EventsAbout("demo".to_owned());
        for (kind, name, kept) in [
            ("Deployment", "demo", true),
            ("ReplicaSet", "demo-86d5d95c66", true),
            ("Pod", "demo-86d5d95c66-2qgtp", true),
            ("HorizontalPodAutoscaler", "shop", true),
            ("Pod", "demolition-1", false),
            ("Pod", "other-1", false),
        ] {
            let event = json!({"involvedObject": {"kind": kind, "name": name}});
            assert_eq!(keep.keeps(&event), kept, "{kind}/{name}");
        }
    }

    #[test]
    fn of_another_namespace_only_proxies_without_an_app_are_kept() {
        let pod = |app: &str, containers: &[&str]| {
            let named: Vec<Value> = containers
                .iter()
                .map(|name| json!({"name": name}))
                .collect();
            json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": named}})
        };
        for (app, containers, kept) in [
            ("istio-ingressgateway", &["istio-proxy"][..], true),
            ("ztunnel", &["istio-proxy"], true),
            ("ztunnel", &["ztunnel"], true),
            ("istiod", &["discovery"], false),
            ("shop", &["shop", "istio-proxy"], false),
            ("shop", &["istio-proxy", "shop"], false),
        ] {
            let pod = pod(app, containers);
            assert_eq!(Keep::Proxies.keeps(&pod), kept, "{app} {containers:?}");
        }
    }

    #[test]
    fn pods_slices_and_the_workload_are_required_and_cluster_wide_reads_are_not() {
        let subject = Subject {
            namespace: "shop".to_owned(),
            workload: Workload {
                kind: WorkloadKind::Deployment,
                name: "demo".to_owned(),
            },
            selector: "app=demo".to_owned(),
            service: Some("demo".to_owned()),
            target_port: None,
            client_pod: Some("load".to_owned()),
            gateways: vec!["istio-system".to_owned(), "shop".to_owned()],
        };
        let feeds = feeds(&subject, &Books::default());
        let required: Vec<_> = feeds.iter().filter(|feed| feed.required).collect();
        let paths: Vec<_> = required.iter().map(|feed| feed.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/api/v1/namespaces/shop/pods",
                "/apis/apps/v1/namespaces/shop/deployments",
                "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
            ]
        );
        let gateways = feeds.iter().filter(|feed| feed.what == GATEWAYS);
        let shown: Vec<_> = gateways.map(Feed::shows).collect();
        assert_eq!(shown, ["gateways in istio-system", "gateways in shop"]);
        let lease = feeds.iter().find(|feed| feed.what == "leases");
        assert_eq!(
            lease.expect("leases are watched").path,
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        );
    }
}
