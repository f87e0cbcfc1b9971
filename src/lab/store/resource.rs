//! Which kinds does the lab's API serve, and how are they called?

/// One kind as discovery names it.
#[derive(Debug)]
pub struct Resource {
    /// The group, empty for the core.
    pub group: &'static str,
    /// The version in that group.
    pub version: &'static str,
    /// The name in paths, which is also the store's.
    pub plural: &'static str,
    /// The name for one object.
    pub singular: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Short names that kubectl accepts.
    pub short: &'static [&'static str],
    /// What can stand behind an object's name in a path.
    pub subresources: &'static [&'static str],
    /// Whether `metadata.generation` counts changes of the spec.
    pub generation: bool,
}

impl Resource {
    /// `v1`, or `group/version`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods`, `deployments.apps`: the name in error messages.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

/// The resource of a name.
pub fn resource(plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.plural == plural)
}

const fn core(plural: &'static str, singular: &'static str, kind: &'static str) -> Resource {
    Resource {
        group: "",
        version: "v1",
        plural,
        singular,
        kind,
        namespaced: true,
        short: &[],
        subresources: &[],
        generation: false,
    }
}

const fn grouped(
    group: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
) -> Resource {
    Resource {
        group,
        ..core(plural, singular, kind)
    }
}

/// Every kind that is stored.
pub const RESOURCES: &[Resource] = &[
    Resource {
        namespaced: false,
        short: &["ns"],
        subresources: &["status"],
        ..core("namespaces", "namespace", "Namespace")
    },
    Resource {
        namespaced: false,
        short: &["no"],
        subresources: &["status"],
        ..core("nodes", "node", "Node")
    },
    Resource {
        short: &["po"],
        subresources: &["status", "log", "eviction"],
        generation: true,
        ..core("pods", "pod", "Pod")
    },
    Resource {
        short: &["svc"],
        subresources: &["status"],
        ..core("services", "service", "Service")
    },
    Resource {
        short: &["ev"],
        ..core("events", "event", "Event")
    },
    Resource {
        short: &["cm"],
        ..core("configmaps", "configmap", "ConfigMap")
    },
    core("secrets", "secret", "Secret"),
    Resource {
        short: &["sa"],
        subresources: &["token"],
        ..core("serviceaccounts", "serviceaccount", "ServiceAccount")
    },
    Resource {
        short: &["deploy"],
        subresources: &["status", "scale"],
        generation: true,
        ..grouped("apps", "deployments", "deployment", "Deployment")
    },
    Resource {
        short: &["rs"],
        subresources: &["status", "scale"],
        generation: true,
        ..grouped("apps", "replicasets", "replicaset", "ReplicaSet")
    },
    Resource {
        subresources: &["status"],
        generation: true,
        ..grouped("batch", "jobs", "job", "Job")
    },
    Resource {
        short: &["pdb"],
        subresources: &["status"],
        generation: true,
        ..grouped(
            "policy",
            "poddisruptionbudgets",
            "poddisruptionbudget",
            "PodDisruptionBudget",
        )
    },
    Resource {
        generation: true,
        ..grouped(
            "discovery.k8s.io",
            "endpointslices",
            "endpointslice",
            "EndpointSlice",
        )
    },
    grouped("coordination.k8s.io", "leases", "lease", "Lease"),
    grouped("rbac.authorization.k8s.io", "roles", "role", "Role"),
    grouped(
        "rbac.authorization.k8s.io",
        "rolebindings",
        "rolebinding",
        "RoleBinding",
    ),
    Resource {
        namespaced: false,
        ..grouped(
            "rbac.authorization.k8s.io",
            "clusterroles",
            "clusterrole",
            "ClusterRole",
        )
    },
    Resource {
        namespaced: false,
        ..grouped(
            "rbac.authorization.k8s.io",
            "clusterrolebindings",
            "clusterrolebinding",
            "ClusterRoleBinding",
        )
    },
];
