//! What do the pods' containers say?
//!
//! One follower a container, for all its instances, opened as soon as the container has started:
//! once a pod is gone its log is gone with it (facts 2 and 8.5). Lines go to the record raw, with
//! the runtime's stamp. A stream that ends or breaks is resumed from its last stamp and what was
//! seen twice is left out; where the overlap is missing, that is blindness. [`parse`] gives single
//! lines their meaning, later, from the record.

mod follow;
mod lag;
mod marks;
pub mod parse;
mod resume;

use super::pods::{PodBook, PodState, SIDECAR};
use crate::evidence::EventSink;
use follow::Follower;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
pub use marks::Found;
use marks::Marks;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Which containers are being followed, shared with who waits for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Followers {
    inner: Arc<Mutex<BTreeMap<(String, String), Follow>>>,
    marks: Marks,
}

/// One follower, seen from outside.
#[derive(Clone, Debug)]
struct Follow {
    pod: String,
    open: bool,
    done: bool,
    /// Lines come faster than they are read.
    behind: bool,
}

impl Followers {
    fn update(&self, uid: &str, container: &str, change: impl FnOnce(&mut Follow)) {
        let key = (uid.to_owned(), container.to_owned());
        let mut inner = self.inner.lock().expect("nothing panics in between");
        if let Some(follow) = inner.get_mut(&key) {
            change(follow);
        }
    }

    /// Enters a container; `false` when it is known already.
    fn enter(&self, pod: &PodState, container: &str) -> bool {
        let key = (pod.uid.clone(), container.to_owned());
        let mut inner = self.inner.lock().expect("nothing panics in between");
        if inner.contains_key(&key) {
            return false;
        }
        let follow = Follow {
            pod: pod.name.clone(),
            open: false,
            done: false,
            behind: false,
        };
        inner.insert(key, follow);
        true
    }

    /// The containers whose stream is open now, as `pod/container`.
    pub(super) fn open(&self) -> Vec<String> {
        let inner = self.inner.lock().expect("nothing panics in between");
        inner
            .iter()
            .filter(|(_, follow)| follow.open)
            .map(|((_, container), follow)| format!("{}/{container}", follow.pod))
            .collect()
    }

    /// The request ids that lines name.
    pub(super) const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The containers of ending pods whose log has not been read to its end, and those whose lines
    /// come faster than they are read.
    pub(super) fn unfinished(&self, book: &PodBook) -> Vec<String> {
        let inner = self.inner.lock().expect("nothing panics in between");
        inner
            .iter()
            .filter(|((uid, _), follow)| {
                let ending = || book.get(uid).is_some_and(|pod| pod.terminating);
                !follow.done && (follow.behind || ending())
            })
            .map(|((_, container), follow)| format!("{}/{container}", follow.pod))
            .collect()
    }
}

/// Which containers of a pod are followed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    All,
    /// The container that a mesh adds: of the harness's own pod, what its proxy did with requests.
    Sidecar,
}

/// Follows containers of the book's pods until the token is cancelled.
pub(super) async fn follow_all(
    client: Client,
    namespace: String,
    sink: EventSink,
    book: PodBook,
    which: Which,
    followers: Followers,
    token: CancellationToken,
) {
    let api: Api<Pod> = Api::namespaced(client, &namespace);
    let mut changes = book.changes();
    let mut tasks = JoinSet::new();
    let mut over = BTreeSet::new();
    loop {
        tokio::select! {
            () = token.cancelled() => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
        for pod in book.all() {
            // What was over before the run, an evicted pod perhaps, may have no log any more, and
            // has nothing to say of the run.
            if (pod.finished || pod.gone) && !book.is_marked() {
                over.insert(pod.uid.clone());
            }
            if over.contains(&pod.uid) {
                continue;
            }
            let wanted = |name: &str| matches!(which, Which::All) || name == SIDECAR;
            let started = pod
                .containers
                .iter()
                .filter(|c| c.started && wanted(&c.name));
            for container in started {
                if followers.enter(&pod, &container.name) {
                    let follower = Follower::new(
                        api.clone(),
                        &pod,
                        &container.name,
                        sink.clone(),
                        book.clone(),
                        followers.clone(),
                    );
                    tasks.spawn(follower.run(token.clone()));
                }
            }
        }
    }
    // Each follower ends with the token; a panic in one is not swallowed.
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{EventKind, Fact};
    use crate::observe::pods::tests::pod;
    use crate::observe::testing::{Answer, kind, scripted, sink, until};
    use serde_json::json;
    use tokio::sync::mpsc;

    async fn told_of(pod: &str, facts: &mut mpsc::Receiver<Fact>) {
        until(facts, |fact| match kind(fact) {
            Some(EventKind::Log(notice)) if notice.pod == pod => Some(()),
            _ => None,
        })
        .await;
    }

    fn following(
        client: Client,
        sink: EventSink,
        book: &PodBook,
        followers: &Followers,
        token: &CancellationToken,
    ) -> tokio::task::JoinHandle<()> {
        tokio::spawn(follow_all(
            client,
            "shop".to_owned(),
            sink,
            book.clone(),
            Which::All,
            followers.clone(),
            token.clone(),
        ))
    }

    #[tokio::test]
    async fn a_pod_that_was_over_before_the_run_is_not_followed() {
        let not_found = || Answer::status(404, "NotFound");
        let (client, asked) = scripted(vec![not_found(), not_found()]);
        let (sink, mut facts) = sink();
        let book = PodBook::default();
        let token = CancellationToken::new();
        let followers = Followers::default();
        let task = following(client, sink, &book, &followers, &token);
        let mut evicted = pod("evicted", json!({"terminated": {"exitCode": 137}}));
        evicted["status"]["phase"] = json!("Failed");
        let running = json!({"running": {}});
        book.apply(&evicted);
        book.apply(&pod("a", running.clone()));
        told_of("a", &mut facts).await;
        book.mark();
        book.apply(&evicted);
        book.apply(&pod("b", running));
        told_of("b", &mut facts).await;
        token.cancel();
        task.await.expect("it ends");
        let asked = asked.lock().unwrap().clone();
        assert!(
            asked.iter().all(|path| !path.contains("evicted")),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn a_pod_that_came_and_went_unseen_has_a_log_that_nobody_read() {
        let (client, asked) = scripted(Vec::new());
        let (sink, mut facts) = sink();
        let book = PodBook::default();
        book.mark();
        book.apply(&pod("a", json!({"running": {}})));
        book.remove("uid-a");
        let (token, followers) = (CancellationToken::new(), Followers::default());
        let task = following(client, sink, &book, &followers, &token);
        let blind = until(&mut facts, |fact| match kind(fact) {
            Some(EventKind::Blind(blind)) => Some(blind.clone()),
            _ => None,
        })
        .await;
        assert_eq!(blind.what, "logs/a/app");
        assert_eq!((blind.from, blind.to), (None, None), "{blind:?}");
        token.cancel();
        task.await.expect("it ends");
        assert_eq!(followers.unfinished(&book), Vec::<String>::new());
        assert!(asked.lock().unwrap().is_empty(), "it is gone");
    }
}
