//! What does a process in a pod know at first hand?
//!
//! The agent and the test app are programs of the lab: the node tells them by their environment
//! where the truth is and who they are, which no object of the API shows.

use super::{Fact, Truth};
use std::path::Path;

/// The variables by which the node tells a container.
pub(crate) const VARIABLES: [&str; 3] = ["LAB_TRUTH", "LAB_POD", "LAB_POD_UID"];

/// A process in a pod that writes what it knows.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    truth: Option<Truth>,
    pod: String,
    uid: String,
}

impl Witness {
    /// Reads the environment through `get`. Outside of a lab nobody wants to know.
    pub(crate) fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let [truth, pod, uid] = VARIABLES.map(|name| get(name).unwrap_or_default());
        Self {
            truth: Truth::join(Path::new(&truth)).ok(),
            pod,
            uid,
        }
    }

    /// Its Envoy has ended.
    pub(crate) fn proxy_ended(&self) {
        self.tell(Fact::ProxyEnded {
            pod: self.pod.clone(),
            uid: self.uid.clone(),
        });
    }

    /// Its app has answered a request with an error of its own.
    pub(crate) fn answered(&self, id: &str, code: u16) {
        self.tell(Fact::Answered {
            pod: self.pod.clone(),
            uid: self.uid.clone(),
            id: id.to_owned(),
            code,
        });
    }

    /// A call of its app was lost.
    pub(crate) fn call_lost(&self) {
        self.tell(Fact::CallLost {
            pod: self.pod.clone(),
            uid: self.uid.clone(),
        });
    }

    fn tell(&self, fact: Fact) {
        if let Some(truth) = &self.truth {
            truth.tell(fact);
        }
    }
}
