//! How are changes told while they happen?

use super::logs::LogStream;
use super::query::Query;
use super::respond::{self, Answer, Form};
use super::{Call, events, read, table};
use crate::lab::selector::Selector;
use crate::lab::store::{Change, ChangeKind, Resource, Status, WatchStream};
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// How often a quiet watch says how far it has come, to those who asked for bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(30);

/// How long a watch lasts when the client says nothing: half an hour and more, as a real one.
const DEFAULT_LENGTH: Duration = Duration::from_secs(30 * 60);

pub(super) fn watch(call: &Call<'_>, cuts: Receiver<u64>) -> Result<Answer, Status> {
    let query = call.query;
    let from = read::version(query.text("resourceVersion"))?;
    let initial = query.flag("sendInitialEvents")?;
    let length = match query.number("timeoutSeconds")? {
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        None => DEFAULT_LENGTH,
    };
    let selector = read::selector(call)?;
    let from = if initial { None } else { from };
    let opened = call.store.watch(
        call.address.resource.plural,
        call.address.namespace.as_deref(),
        from,
    );
    let stream = match opened {
        Ok(stream) => stream,
        // As from a real watch cache: the stream opens, and its first event is the error.
        Err(status) => {
            return Ok(respond::stream(
                "application/json",
                Body::from(error_line(&status)),
            ));
        }
    };
    let bookmarks = query.flag("allowWatchBookmarks")?.then(|| {
        let mut ticks = tokio::time::interval_at(Instant::now() + BOOKMARK_EVERY, BOOKMARK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    let feed = Feed {
        teller: Teller {
            selector,
            form: call.form,
            query: query.clone(),
            kind: call.address.resource,
            group: call.address.group.clone(),
        },
        owes_initial_end: initial && bookmarks.is_some(),
        stream,
        bookmarks,
        end: Instant::now() + length,
        cuts,
        ended: false,
    };
    let body = futures::stream::unfold(feed, |mut feed| async move {
        feed.next().await.map(|line| (line, feed))
    });
    Ok(respond::stream("application/json", Body::from_stream(body)))
}

/// A log body that breaks when streams are cut.
pub(super) fn cuttable(log: LogStream, mut cuts: Receiver<u64>) -> Body {
    let cut = async move {
        let _ = cuts.changed().await;
    };
    Body::from_stream(
        log.map(Some)
            .chain(futures::stream::once(async { None }))
            .take_until(cut)
            // The end marker tells a log that ended from one that was cut.
            .chain(futures::stream::once(async { Some(Err(broken())) }))
            .scan((), |(), item| futures::future::ready(item)),
    )
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "cut on purpose")
}

/// One open watch.
struct Feed {
    stream: WatchStream,
    teller: Teller,
    bookmarks: Option<Interval>,
    owes_initial_end: bool,
    end: Instant,
    cuts: Receiver<u64>,
    ended: bool,
}

impl Feed {
    /// The next line; none when the time is over or an error has been told.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        while !self.ended {
            if self.owes_initial_end && self.stream.is_past_initial() {
                self.owes_initial_end = false;
                return Some(Ok(self.teller.bookmark(self.stream.position(), true)));
            }
            tokio::select! {
                biased;
                _ = self.cuts.changed() => {
                    self.ended = true;
                    return Some(Err(broken()));
                }
                () = tokio::time::sleep_until(self.end) => self.ended = true,
                change = self.stream.next() => match change {
                    Ok(change) => {
                        if let Some(line) = self.teller.tell(&change) {
                            return Some(Ok(line));
                        }
                    }
                    Err(status) => {
                        self.ended = true;
                        return Some(Ok(error_line(&status)));
                    }
                },
                () = tick(&mut self.bookmarks) => {
                    return Some(Ok(self.teller.bookmark(self.stream.position(), false)));
                }
            }
        }
        None
    }
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Turns changes into lines.
struct Teller {
    selector: Selector,
    form: Form,
    query: Query,
    kind: &'static Resource,
    group: String,
}

impl Teller {
    fn tell(&self, change: &Change) -> Option<Bytes> {
        let word = self.word(change)?;
        let object = match self.form {
            Form::Full => events::outward(&self.group, (*change.object).clone()),
            Form::Metadata => table::partial(&change.object),
            Form::Table => table::table(self.kind, &self.query, &[&*change.object], &change.object),
        };
        Some(line(word.word(), &object))
    }

    /// What a change is for somebody who sees only what is selected: an object that comes in is
    /// new, one that leaves is gone.
    fn word(&self, change: &Change) -> Option<ChangeKind> {
        let now = self.selector.matches(&change.object);
        let before = change
            .previous
            .as_ref()
            .is_some_and(|previous| self.selector.matches(previous));
        match (change.kind, before, now) {
            (ChangeKind::Added, _, true) | (ChangeKind::Modified, false, true) => {
                Some(ChangeKind::Added)
            }
            (ChangeKind::Modified, true, true) => Some(ChangeKind::Modified),
            (ChangeKind::Modified, true, false) => Some(ChangeKind::Deleted),
            (ChangeKind::Deleted, true, _) => Some(ChangeKind::Deleted),
            _ => None,
        }
    }

    fn bookmark(&self, version: u64, initial_end: bool) -> Bytes {
        let mut object = match self.form {
            Form::Table => {
                json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": [], "rows": []})
            }
            Form::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"})
            }
            Form::Full => {
                json!({"kind": self.kind.kind, "apiVersion": api_version(self.kind, &self.group)})
            }
        };
        object["metadata"] =
            json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if initial_end {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        line("BOOKMARK", &object)
    }
}

fn api_version(kind: &Resource, group: &str) -> String {
    if group == super::path::EVENTS_GROUP {
        format!("{group}/v1")
    } else {
        kind.api_version()
    }
}

fn line(word: &str, object: &Value) -> Bytes {
    let mut text = json!({"type": word, "object": object}).to_string();
    text.push('\n');
    Bytes::from(text)
}

fn error_line(status: &Status) -> Bytes {
    line("ERROR", &status.to_object())
}
