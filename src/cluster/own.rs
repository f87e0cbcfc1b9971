//! By which labels do we know what we created?

use std::collections::BTreeMap;

/// The label that carries the id of the run that made an object.
pub const RUN_LABEL: &str = "lastwatch.dev/run";

/// Our name as field manager, user agent and `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "lastwatch";

/// The labels of everything that a run creates.
pub fn ownership_labels(run: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            "app.kubernetes.io/managed-by".to_owned(),
            MANAGER.to_owned(),
        ),
        (RUN_LABEL.to_owned(), run.to_owned()),
    ])
}

/// An object with these labels was made by this program (by whichever run).
pub fn is_ours(labels: &BTreeMap<String, String>) -> bool {
    labels.contains_key(RUN_LABEL)
}
