//! What does the cluster show?
//!
//! [`Observers`] watches the objects of one workload ([`Subject`]), follows the logs of its pods,
//! probes the pods that are being deleted, and times its own calls for the API server's clock.
//! Everything that it sees goes to the recorder as facts; where it could not see, that is a fact
//! too (`Blind`). [`PodBook`] is the live view that progress lines and steps read meanwhile.

mod agent;
mod backoff;
mod clock;
mod feed;
pub mod logs;
mod pods;
mod probe;
mod prometheus;
mod retries;
#[cfg(test)]
mod testing;
mod watch;

pub(crate) use agent::ask_agent;
pub(crate) use pods::SIDECAR;
pub use pods::{ContainerState, PodBook, PodState, PodSummary};

use crate::cluster::Cluster;
use crate::evidence::{EventKind, EventSink, Interval, Source};
use crate::scenario::Workload;
use crate::task::{Scope, TaskError};
use feed::FeedState;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What is observed.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Namespace of the workload.
    pub namespace: String,
    /// The workload.
    pub workload: Workload,
    /// Label selector of its pods, as a query parameter.
    pub selector: String,
    /// The Service whose slices list the pods.
    pub service: Option<String>,
    /// The port at which the pods listen; without it they are not probed.
    pub target_port: Option<u16>,
    /// The pod, in the same namespace, behind whose sidecar the harness sends. Its proxy's log tells
    /// whom the proxy chose; a probe would tell about that proxy, so there is none.
    pub client_pod: Option<String>,
    /// Other namespaces, whose gateways, waypoints and ztunnels may stand on the way.
    pub gateways: Vec<String>,
}

/// Why the cluster cannot be observed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A watch without which nothing can be said did not start in time.
    #[error("the watch of {what} did not start within {patience:?}; last met: {last}")]
    NotReady {
        /// The resource.
        what: &'static str,
        /// How long it was waited for.
        patience: Duration,
        /// What the API server said last.
        last: String,
    },
    /// The API server refuses a watch without which nothing can be said.
    #[error("the watch of {what} is refused: {reason}")]
    Denied {
        /// The resource.
        what: &'static str,
        /// The API server's words.
        reason: String,
    },
}

/// The running observers of one subject.
#[derive(Debug)]
pub struct Observers {
    scope: Scope,
    books: feed::Books,
    client_pod: Option<String>,
    /// How the target's host is called by that pod's sidecar.
    host: Option<String>,
    feeds: Vec<feed::FeedHandle>,
    followers: logs::Followers,
    timed: clock::Timed,
    probed_port: Option<u16>,
    sink: EventSink,
}

impl Observers {
    /// Starts all watches and followers. They stop when `token` is cancelled.
    pub fn start(
        cluster: &Cluster,
        subject: &Subject,
        sink: &EventSink,
        token: &CancellationToken,
    ) -> Self {
        let mut scope = Scope::new(token);
        let books = feed::Books::default();
        let feeds = feed::start_all(&cluster.client(), subject, sink, &books, &mut scope);
        let followers = logs::Followers::default();
        let mut follow = |name, book: &PodBook, which| {
            let follow = logs::follow_all(
                cluster.client(),
                subject.namespace.clone(),
                sink.clone(),
                book.clone(),
                which,
                followers.clone(),
                scope.token(),
            );
            scope.spawn(name, follow);
        };
        follow("logs", &books.subject, logs::Which::All);
        if subject.client_pod.is_some() {
            follow("client-log", &books.client, logs::Which::Sidecar);
        }
        let timed = clock::Timed::default();
        let clock = clock::keep_timing(cluster.clone(), sink.clone(), timed.clone(), scope.token());
        scope.spawn("clock", clock);
        Self {
            scope,
            books,
            client_pod: subject.client_pod.clone(),
            host: retries::host(subject.service.as_deref(), &subject.namespace),
            feeds,
            followers,
            timed,
            probed_port: subject.target_port.filter(|_| subject.client_pod.is_none()),
            sink: sink.clone(),
        }
    }

    /// Starts the probes of pods that end, where there is a way to a pod's own address: each ready
    /// pod is asked first. Takes about a second where nobody answers.
    pub async fn start_probes(&mut self) {
        let Some(port) = self.probed_port else {
            return;
        };
        let (sink, book) = (self.sink.clone(), self.books.subject.clone());
        let ways = probe::look(port, &sink, &book).await;
        let probes = probe::probe_all(port, ways, sink, book, self.scope.token());
        self.scope.spawn("probes", probes);
    }

    /// Waits until every watch has delivered its first list, or was refused where the run can do
    /// without it. Logs need no waiting: they follow from the list of pods.
    pub async fn ready(&self, patience: Duration) -> Result<(), Error> {
        let deadline = tokio::time::Instant::now() + patience;
        for feed in &self.feeds {
            let mut state = feed.state.clone();
            let settled = state.wait_for(|state| !matches!(state, FeedState::Starting(_)));
            let last = match tokio::time::timeout_at(deadline, settled).await {
                Ok(Ok(state)) => state.clone(),
                Ok(Err(_)) | Err(_) => feed.state.borrow().clone(),
            };
            match last {
                FeedState::Live => {}
                FeedState::Denied(_) | FeedState::Starting(_) if !feed.required => {}
                FeedState::Denied(reason) => {
                    return Err(Error::Denied {
                        what: feed.what,
                        reason,
                    });
                }
                FeedState::Starting(last) => {
                    return Err(Error::NotReady {
                        what: feed.what,
                        patience,
                        last: last.unwrap_or_else(|| "no answer".to_owned()),
                    });
                }
            }
        }
        Ok(())
    }

    /// The live view of the subject's pods.
    pub const fn book(&self) -> &PodBook {
        &self.books.subject
    }

    /// The pod behind whose sidecar the harness sends.
    pub fn client_pod(&self) -> Option<&str> {
        self.client_pod.as_deref()
    }

    /// Records what the sidecar that this client sends through has counted of its retries so far. That
    /// it cannot be asked is no fault: then they are not measured.
    pub async fn count_retries(&self, client: &str) {
        if self.client_pod.is_none() {
            return;
        }
        let begin = self.sink.clock().now();
        match retries::read(client, self.host.as_deref()).await {
            Ok(counts) => {
                let at = Interval::between(begin, self.sink.clock().now());
                self.sink
                    .event(Source::Run, at, EventKind::RetriesCounted(counts));
            }
            Err(error) => tracing::warn!("the sidecar's retries could not be read: {error}"),
        }
    }

    /// The pods in numbers, for progress.
    pub fn pods(&self) -> PodSummary {
        self.books.subject.summary()
    }

    /// What is not seen: watches that were refused or have not started, with the reason.
    pub fn blind(&self) -> Vec<(&'static str, String)> {
        let blind = |feed: &feed::FeedHandle| match &*feed.state.borrow() {
            FeedState::Live => None,
            FeedState::Denied(reason) => Some((feed.what, reason.clone())),
            FeedState::Starting(last) => Some((
                feed.what,
                last.clone().unwrap_or_else(|| "no answer yet".to_owned()),
            )),
        };
        self.feeds.iter().filter_map(blind).collect()
    }

    /// Containers whose log is being followed now, as `pod/container`.
    pub fn followed(&self) -> Vec<String> {
        self.followers.open()
    }

    /// From now on the lines that come are searched for request ids; access lines are understood in
    /// this format too.
    pub fn begin_marks(&self, format: Option<&str>) {
        self.followers.marks().begin(format);
    }

    /// How many of these request ids the lines of a container have named since then, in any of these
    /// pods.
    pub fn marks_found(&self, pods: &[String], container: &str, ids: &[String]) -> logs::Found {
        self.followers.marks().found(pods, container, ids)
    }

    /// Ends the search.
    pub fn end_marks(&self) {
        self.followers.marks().end();
    }

    /// Calls of ours so far whose answer carried the API server's time.
    pub fn timed(&self) -> u64 {
        self.timed.count()
    }

    /// Waits up to `drain` for the logs of pods that are ending, then stops everything.
    pub async fn finish(self, drain: Duration) -> Result<(), TaskError> {
        let waited = crate::task::wait_until(
            "the end of the logs of ended pods",
            drain,
            Duration::from_millis(50),
            || async {
                let unfinished = self.followers.unfinished(&self.books.subject);
                if unfinished.is_empty() {
                    Ok(())
                } else {
                    Err(unfinished.join(", "))
                }
            },
        );
        if let Err(error) = waited.await {
            tracing::info!("{error}");
        }
        self.scope.finish().await
    }
}
