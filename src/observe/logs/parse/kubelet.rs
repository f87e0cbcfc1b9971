//! Is this line no line of the container, but the kubelet's excuse (facts 2)?

/// An error that the kubelet or the API server writes into the body of a log request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletError {
    /// The container's log is gone with it.
    Unavailable {
        /// `containerd://...`.
        container: String,
    },
    /// The container has not started yet.
    Waiting {
        /// Its name.
        container: String,
        /// Why it waits: `ContainerCreating`, `PodInitializing`, ...
        reason: String,
    },
    /// There is no previous instance of the container.
    NoPrevious {
        /// Its name.
        container: String,
    },
    /// The pod is not known any more.
    PodGone {
        /// Its name.
        pod: String,
    },
    /// The node cannot read the log, for another reason.
    Unreadable {
        /// What it said.
        text: String,
    },
}

/// How the other errors of the kubelet, the runtime and the API server begin.
const UNREADABLE: &[&str] = &[
    "failed to create fsnotify watcher: ",
    "failed to try resolving symlinks in path ",
    "failed to get container status ",
    "failed to open log file ",
    "failed to watch ",
    "rpc error: code = ",
    "Error from server ",
];

/// Recognises the kubelet's error bodies, which carry no stamp; `None` for a line of the container.
pub fn kubelet_error(line: &str) -> Option<KubeletError> {
    let line = line.trim_ascii();
    if let Some(container) = after(line, "unable to retrieve container logs for ") {
        return Some(KubeletError::Unavailable {
            container: container.to_owned(),
        });
    }
    let line = line
        .strip_prefix("Error from server (BadRequest): ")
        .unwrap_or(line);
    if let Some((container, rest)) = quoted(line, "container \"")
        && let Some((_, reason)) = rest.split_once("is waiting to start: ")
    {
        return Some(KubeletError::Waiting {
            container: container.to_owned(),
            reason: reason.to_owned(),
        });
    }
    if let Some((container, rest)) = quoted(line, "previous terminated container \"")
        && rest.ends_with("not found")
    {
        return Some(KubeletError::NoPrevious {
            container: container.to_owned(),
        });
    }
    if let Some((pod, rest)) = quoted(line, "pod \"")
        && rest.trim_ascii() == "does not exist"
    {
        return Some(KubeletError::PodGone {
            pod: pod.to_owned(),
        });
    }
    let is_other = UNREADABLE.iter().any(|start| line.starts_with(start));
    is_other.then(|| KubeletError::Unreadable {
        text: line.to_owned(),
    })
}

/// What follows a beginning, without blanks.
fn after<'a>(line: &'a str, beginning: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(beginning)?;
    (!rest.contains(' ')).then_some(rest)
}

/// The quoted name after a beginning, and the rest.
fn quoted<'a>(line: &'a str, beginning: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(beginning)?.split_once('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelet_s_excuses_are_told_from_lines_of_the_app() {
        let unavailable = "unable to retrieve container logs for containerd://4f2a";
        let expected = [
            (unavailable, "Unavailable"),
            (
                "container \"istio-proxy\" in pod \"demo-1\" is waiting to start: ContainerCreating",
                "Waiting",
            ),
            (
                "previous terminated container \"app\" in pod \"demo-1\" not found",
                "NoPrevious",
            ),
            ("pod \"demo-1\" does not exist", "PodGone"),
            (
                "failed to create fsnotify watcher: too many open files",
                "Unreadable",
            ),
        ];
        for (line, kind) in expected {
            let found = format!("{:?}", kubelet_error(line).expect(line));
            assert!(found.starts_with(kind), "{line}: {found}");
        }
        for line in [
            "",
            "pod \"x\" is fine",
            "we were unable to retrieve container logs for you",
        ] {
            assert_eq!(kubelet_error(line), None, "{line}");
        }
    }
}
