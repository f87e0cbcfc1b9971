//! Is this line the container's, or the kubelet's error inside a body that began with 200?

/// The runtime does not have the container any more.
const REMOVED: &str = "unable to retrieve container logs for ";

/// What the kubelet and the runtime write into a log body when they cannot read the log (facts 2).
/// They carry no stamp; a container's line always does.
const ERRORS: &[&str] = &[
    REMOVED,
    "failed to create fsnotify watcher: ",
    "failed to try resolving symlinks in path ",
    "failed to get container status ",
    "failed to open log file ",
    "failed to watch ",
    "rpc error: code = ",
    "Error from server ",
];

/// Whether a line that has no stamp is an error of the kubelet.
pub(super) fn is_error(line: &str) -> bool {
    ERRORS.iter().any(|start| line.starts_with(start))
        || (line.starts_with("container \"") && line.contains("is waiting to start"))
        || (line.starts_with("previous terminated container ") && line.ends_with("not found"))
}

/// Whether an error says that the container was removed.
pub(super) fn says_removed(line: &str) -> bool {
    line.starts_with(REMOVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_words_are_told_from_a_containers() {
        for error in [
            "unable to retrieve container logs for containerd://0a1b",
            "failed to create fsnotify watcher: too many open files",
            "container \"app\" in pod \"demo-1\" is waiting to start: ContainerCreating",
        ] {
            assert!(is_error(error), "{error}");
        }
        assert!(!is_error("listening on :8080"));
        assert!(!is_error("container started"));
    }
}
