//! Which columns has the table of a kind? Those that `kubectl get` shows.

/// One column.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    /// Shown only with `-o wide`.
    pub(super) wide: bool,
}

const fn text(name: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        wide: false,
    }
}

const fn number(name: &'static str) -> Column {
    Column {
        name,
        kind: "integer",
        wide: false,
    }
}

const fn wide(name: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        wide: true,
    }
}

/// The columns of a kind, in order.
pub(super) fn columns(plural: &str) -> &'static [Column] {
    match plural {
        "pods" => {
            const {
                &[
                    text("Name"),
                    text("Ready"),
                    text("Status"),
                    text("Restarts"),
                    text("Age"),
                    wide("IP"),
                    wide("Node"),
                    wide("Nominated Node"),
                    wide("Readiness Gates"),
                ]
            }
        }
        "deployments" => {
            const {
                &[
                    text("Name"),
                    text("Ready"),
                    number("Up-to-date"),
                    number("Available"),
                    text("Age"),
                    wide("Containers"),
                    wide("Images"),
                    wide("Selector"),
                ]
            }
        }
        "replicasets" => {
            const {
                &[
                    text("Name"),
                    number("Desired"),
                    number("Current"),
                    number("Ready"),
                    text("Age"),
                    wide("Containers"),
                    wide("Images"),
                    wide("Selector"),
                ]
            }
        }
        "jobs" => {
            const {
                &[
                    text("Name"),
                    text("Status"),
                    text("Completions"),
                    text("Duration"),
                    text("Age"),
                    wide("Containers"),
                    wide("Images"),
                    wide("Selector"),
                ]
            }
        }
        "services" => {
            const {
                &[
                    text("Name"),
                    text("Type"),
                    text("Cluster-IP"),
                    text("External-IP"),
                    text("Port(s)"),
                    text("Age"),
                    wide("Selector"),
                ]
            }
        }
        "nodes" => {
            const {
                &[
                    text("Name"),
                    text("Status"),
                    text("Roles"),
                    text("Age"),
                    text("Version"),
                    wide("Internal-IP"),
                    wide("External-IP"),
                    wide("OS-Image"),
                    wide("Kernel-Version"),
                    wide("Container-Runtime"),
                ]
            }
        }
        "events" => {
            const {
                &[
                    text("Last Seen"),
                    text("Type"),
                    text("Reason"),
                    text("Object"),
                    wide("Subobject"),
                    wide("Source"),
                    text("Message"),
                    wide("First Seen"),
                    wide("Count"),
                    wide("Name"),
                ]
            }
        }
        "namespaces" => const { &[text("Name"), text("Status"), text("Age")] },
        "endpointslices" => {
            const {
                &[
                    text("Name"),
                    text("AddressType"),
                    text("Ports"),
                    text("Endpoints"),
                    text("Age"),
                ]
            }
        }
        "poddisruptionbudgets" => {
            const {
                &[
                    text("Name"),
                    text("Min Available"),
                    text("Max Unavailable"),
                    number("Allowed Disruptions"),
                    text("Age"),
                ]
            }
        }
        "configmaps" => const { &[text("Name"), number("Data"), text("Age")] },
        "secrets" => const { &[text("Name"), text("Type"), number("Data"), text("Age")] },
        "serviceaccounts" => const { &[text("Name"), number("Secrets"), text("Age")] },
        "leases" => const { &[text("Name"), text("Holder"), text("Age")] },
        "rolebindings" | "clusterrolebindings" => {
            const { &[text("Name"), text("Role"), text("Age")] }
        }
        _ => const { &[text("Name"), text("Age")] },
    }
}
