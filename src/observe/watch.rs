//! How is one resource watched without losing what was not seen?
//!
//! List, then watch from the list's resourceVersion. A watch that ends is resumed from the last
//! version that was delivered: nothing is lost then, only late, and the record says so. Where that
//! version is too old (410) the list begins anew: what happened in between is not known, and the
//! record says so with the uids that exist, so that a reader knows what was deleted unseen. Each
//! delivery becomes a fact with its instant of arrival.

use super::backoff::Backoff;
use super::feed::{Feed, FeedState};
use super::pods::PodBook;
use crate::evidence::{Blindness, Change, EventKind, EventSink, RunOffset, Source};
use futures::StreamExt;
use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The server ends a watch after this, and we resume it: so a connection that died without a word
/// is noticed within [`DEAD`].
const WATCH_SECONDS: u32 = 30;

/// Without a word for this long a watch is dead: its server should have ended it.
const DEAD: Duration = Duration::from_secs(40);

/// A watch that delivered nothing for so long after it was opened has really begun: an API server
/// that cannot serve the version says so at once.
const SETTLED: Duration = Duration::from_millis(300);

/// A watch that was away for less is no gap: everything came, with its usual delay.
const TOLERATED: Duration = Duration::from_secs(1);

/// Patience with one list or the opening of a watch.
const PATIENCE: Duration = Duration::from_secs(15);

/// Objects in one page of a list.
const PAGE: u32 = 500;

/// Why a watch did not go on.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Api(#[source] kube::Error),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("the answer has no resourceVersion")]
    NoVersion,
}

/// What is done after a failure.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The version is too old: list again.
    Relist,
    /// Try again, after what the server asked for.
    Retry(Option<Duration>),
    /// The server will not change its mind.
    GiveUp,
}

/// The decision after a failure; `live` is whether a list was ever delivered. A right that was
/// there and is missing now may come back, one that never was will not.
fn next(failure: &Failure, live: bool) -> Next {
    let Failure::Api(kube::Error::Api(status)) = failure else {
        return Next::Retry(None);
    };
    match status.code {
        410 => Next::Relist,
        403..=405 if !live => Next::GiveUp,
        _ => Next::Retry(
            status
                .details
                .as_ref()
                .filter(|details| details.retry_after_seconds > 0)
                .map(|details| Duration::from_secs(u64::from(details.retry_after_seconds))),
        ),
    }
}

/// A span in which the watch is away.
#[derive(Debug)]
struct Gap {
    from: RunOffset,
    reason: String,
}

/// The watch of one resource.
pub(super) struct Watch {
    client: Client,
    feed: Feed,
    sink: EventSink,
    book: Option<PodBook>,
    state: watch::Sender<FeedState>,
    /// resourceVersion by uid of what exists as far as we know.
    known: BTreeMap<String, String>,
    version: Option<String>,
    gap: Option<Gap>,
    /// The last instant at which the watch certainly was alive.
    alive: RunOffset,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default, rename = "apiVersion")]
    api_version: Option<String>,
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMetadata {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    more: Option<String>,
}

impl Watch {
    /// A watch that has not begun, and the end that tells how far it is.
    pub(super) fn new(
        client: Client,
        feed: Feed,
        sink: EventSink,
        book: Option<PodBook>,
    ) -> (Self, watch::Receiver<FeedState>) {
        let (state, seen) = watch::channel(FeedState::Starting(None));
        let alive = sink.clock().now();
        let watch = Self {
            client,
            feed,
            sink,
            book,
            state,
            known: BTreeMap::new(),
            version: None,
            gap: None,
            alive,
        };
        (watch, seen)
    }

    /// Watches until the token is cancelled or the server refuses for good.
    pub(super) async fn run(mut self, token: CancellationToken) {
        tokio::select! {
            () = token.cancelled() => {}
            () = self.follow() => {}
        }
        // The renewal of a watch is no hole, also where the run ends in the midst of it.
        if let Some(gap) = self.gap.take()
            && gap.from + TOLERATED < self.sink.clock().now()
        {
            self.tell(self.unseen(Some(gap.from), None, gap.reason));
        }
    }

    async fn follow(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            let begun = tokio::time::Instant::now();
            let failure = match self.advance().await {
                Ok(()) => {
                    // The server ended the watch in good order; it is resumed at once, unless the
                    // server does nothing but end it.
                    self.open_gap(self.sink.clock().now(), "the watch had ended");
                    if begun.elapsed() < TOLERATED {
                        tokio::time::sleep(backoff.next(None)).await;
                    } else {
                        backoff.reset();
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            tracing::debug!(watch = self.feed.what, "{failure}");
            match next(&failure, self.is_live()) {
                Next::Relist => {
                    self.open_gap(self.alive, &failure.to_string());
                    self.version = None;
                }
                Next::Retry(asked) => {
                    self.open_gap(self.failed_at(&failure), &failure.to_string());
                    self.say_starting(&failure);
                    tokio::time::sleep(backoff.next(asked)).await;
                }
                Next::GiveUp => {
                    self.gap = None;
                    self.tell(self.unseen(None, None, failure.to_string()));
                    let denied = FeedState::Denied(failure.to_string());
                    self.state.send_replace(denied);
                    return;
                }
            }
        }
    }

    fn is_live(&self) -> bool {
        *self.state.borrow() == FeedState::Live
    }

    fn say_starting(&self, failure: &Failure) {
        if !self.is_live() {
            let starting = FeedState::Starting(Some(failure.to_string()));
            self.state.send_replace(starting);
        }
    }

    /// A connection that broke told us so at once; one that fell silent may have been dead since
    /// its last word.
    fn failed_at(&self, failure: &Failure) -> RunOffset {
        match failure {
            Failure::Silent(_) => self.alive,
            Failure::Api(_) | Failure::NoVersion => self.sink.clock().now(),
        }
    }

    /// A gap begins, unless one is open: then it goes on.
    fn open_gap(&mut self, from: RunOffset, reason: &str) {
        if self.gap.is_none() && self.is_live() {
            self.gap = Some(Gap {
                from,
                reason: reason.to_owned(),
            });
        }
    }

    /// The watch is back and everything that it missed has come or will come: a gap is told when
    /// it was long enough to blur the instants of arrival.
    fn resumed(&mut self, at: RunOffset) {
        let Some(gap) = self.gap.take() else {
            return;
        };
        if gap.from + TOLERATED < at {
            let reason = format!("{}; resumed without loss, arrivals are late", gap.reason);
            self.tell(Blindness {
                resumed: true,
                ..self.unseen(Some(gap.from), Some(at), reason)
            });
        }
    }

    fn unseen(&self, from: Option<RunOffset>, to: Option<RunOffset>, reason: String) -> Blindness {
        Blindness {
            what: self.feed.shows(),
            from,
            to,
            reason,
            uids: None,
            resumed: false,
        }
    }

    fn tell(&self, blindness: Blindness) {
        self.sink.now(Source::Watch, EventKind::Blind(blindness));
    }

    /// Lists when there is no version to go on from, then watches until the watch ends.
    async fn advance(&mut self) -> Result<(), Failure> {
        let version = match self.version.clone() {
            Some(version) => version,
            None => self.list().await?,
        };
        self.watch(&version).await
    }

    async fn list(&mut self) -> Result<String, Failure> {
        let (mut items, mut more) = (Vec::new(), None);
        let version = loop {
            let page = self.page(more.as_deref()).await?;
            let kind = page.kind.as_deref().and_then(|k| k.strip_suffix("List"));
            for mut item in page.items {
                // A list names the kind of its items once; an object of its own names it itself.
                if let (Some(fields), Some(kind), Some(api)) =
                    (item.as_object_mut(), kind, &page.api_version)
                {
                    fields.entry("kind").or_insert_with(|| kind.into());
                    let api = || Value::from(api.as_str());
                    fields.entry("apiVersion").or_insert_with(api);
                }
                items.push(item);
            }
            more = page.metadata.more.filter(|token| !token.is_empty());
            if more.is_none() {
                break page.metadata.resource_version;
            }
        };
        let version = version.ok_or(Failure::NoVersion)?;
        self.listed(items);
        self.version = Some(version.clone());
        self.state.send_replace(FeedState::Live);
        Ok(version)
    }

    async fn page(&self, more: Option<&str>) -> Result<List, Failure> {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector.clone_from(&self.feed.labels);
        params.field_selector.clone_from(&self.feed.fields);
        params.continue_token = more.map(str::to_owned);
        let request = Request::new(self.feed.path.as_str())
            .list(&params)
            .map_err(|error| Failure::Api(kube::Error::BuildRequest(error)))?;
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(answer) => answer.map_err(Failure::Api),
            Err(_) => Err(Failure::Silent(PATIENCE)),
        }
    }

    /// Takes a list: what exists, and of that what is new to us. After a gap the record first says
    /// which uids exist, so that what is missing from them is known to be deleted.
    fn listed(&mut self, items: Vec<Value>) {
        let items: Vec<Value> = items
            .into_iter()
            .filter(|item| self.feed.keep.keeps(item))
            .collect();
        let uids: BTreeSet<String> = items.iter().filter_map(|item| meta(item, "uid")).collect();
        let now = self.sink.clock().now();
        self.alive = now;
        if let Some(gap) = self.gap.take() {
            self.tell(Blindness {
                uids: Some(uids.iter().cloned().collect()),
                ..self.unseen(Some(gap.from), Some(now), gap.reason)
            });
        }
        let missing = self.known.keys().filter(|uid| !uids.contains(*uid));
        for uid in missing.cloned().collect::<Vec<_>>() {
            self.known.remove(&uid);
            if let Some(book) = &self.book {
                book.remove(&uid);
            }
        }
        for item in items {
            let known = meta(&item, "uid").and_then(|uid| self.known.get(&uid).cloned());
            if known.is_none() || known != meta(&item, "resourceVersion") {
                self.deliver(Change::Added, item);
            }
        }
    }

    async fn watch(&mut self, version: &str) -> Result<(), Failure> {
        let mut params = WatchParams::default().timeout(WATCH_SECONDS);
        params.label_selector.clone_from(&self.feed.labels);
        params.field_selector.clone_from(&self.feed.fields);
        let request = Request::new(self.feed.path.as_str())
            .watch(&params, version)
            .map_err(|error| Failure::Api(kube::Error::BuildRequest(error)))?;
        let opening = self.client.request_events::<Value>(request);
        let stream = match tokio::time::timeout(PATIENCE, opening).await {
            Ok(opened) => opened.map_err(Failure::Api)?,
            Err(_) => return Err(Failure::Silent(PATIENCE)),
        };
        let opened = self.sink.clock().now();
        let mut stream = std::pin::pin!(stream);
        let mut settled = false;
        loop {
            let patience = if settled { DEAD } else { SETTLED };
            let item = match tokio::time::timeout(patience, stream.next()).await {
                Err(_) if settled => return Err(Failure::Silent(DEAD)),
                Err(_) => {
                    settled = true;
                    self.resumed(opened);
                    continue;
                }
                // At a quick end nothing shows that what was missed has come: a gap goes on.
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(Failure::Api(error)),
                Ok(Some(Ok(WatchEvent::Error(status)))) => {
                    return Err(Failure::Api(kube::Error::Api(status)));
                }
                Ok(Some(Ok(item))) => item,
            };
            settled = true;
            self.resumed(opened);
            self.take(item);
        }
    }

    fn take(&mut self, item: WatchEvent<Value>) {
        self.alive = self.sink.clock().now();
        let (change, object) = match item {
            WatchEvent::Added(object) => (Change::Added, object),
            WatchEvent::Modified(object) => (Change::Modified, object),
            WatchEvent::Deleted(object) => (Change::Deleted, object),
            WatchEvent::Bookmark(bookmark) => {
                self.version = Some(bookmark.metadata.resource_version);
                return;
            }
            WatchEvent::Error(_) => return,
        };
        if let Some(version) = meta(&object, "resourceVersion") {
            self.version = Some(version);
        }
        if self.feed.keep.keeps(&object) {
            self.deliver(change, object);
        }
    }

    fn deliver(&mut self, change: Change, mut object: Value) {
        if let Some(uid) = meta(&object, "uid") {
            if change == Change::Deleted {
                self.known.remove(&uid);
            } else {
                let version = meta(&object, "resourceVersion").unwrap_or_default();
                self.known.insert(uid, version);
            }
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        let resource = self.feed.resource;
        let book = self.book.clone();
        let seen = book.as_ref().map(|_| object.clone());
        let kind = EventKind::Object {
            resource,
            change,
            object,
        };
        self.sink.now(Source::Watch, kind);
        if let (Some(book), Some(object)) = (book, seen) {
            book.apply(&object);
            if change == Change::Deleted
                && let Some(uid) = meta(&object, "uid")
            {
                book.remove(&uid);
            }
        }
    }
}

fn meta(object: &Value, key: &str) -> Option<String> {
    object["metadata"][key].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
