//! Which hooks does a container have, and what waits for them?

use super::Worker;
use crate::lab::node::action::{Action, action};
use crate::lab::store::object::{is_terminating, name};
use std::time::Duration;

/// The kubelet sets a postStart hook no limit; a lab that forgets one would never end.
const HOOK_PATIENCE: Duration = Duration::from_secs(600);

impl Worker {
    /// A container's `postStart` or `preStop`.
    pub(super) fn hook(&self, index: usize, which: &str) -> Option<Action> {
        let spec = &self.slots[index].spec;
        let address = self.sandbox.as_ref()?.address.to_string();
        action(&spec["lifecycle"][which], spec, &address)
    }

    /// Runs the postStart hook, for which everything else of the pod waits, the next container
    /// included. `false`: it has failed, and the container is being stopped.
    pub(super) async fn post_start(&mut self, index: usize) -> bool {
        let Some(hook) = self.hook(index, "postStart") else {
            return true;
        };
        let inside = self.inside(index);
        let mut seen = self.seen.clone();
        let asked = tokio::select! {
            asked = hook.ask(&inside, HOOK_PATIENCE) => asked,
            // The kubelet drops what it is doing for a pod that is to be deleted.
            _ = seen.wait_for(|seen| seen.gone || is_terminating(&seen.pod)) => return true,
        };
        let Err(text) = asked else {
            return true;
        };
        tracing::debug!(pod = name(&self.pod), "postStart: {text}");
        let container = self.container_name(index);
        let recorder = &self.host.recorder;
        recorder.warning(
            &self.pod,
            &container,
            "FailedPostStartHook",
            "PostStartHook failed",
        );
        self.stop_one(index, self.own_grace(), "FailedPostStartHook".to_owned());
        false
    }
}
