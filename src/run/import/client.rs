//! What did the clients of a capture see?

mod failures;
mod requests;

use super::gathered::Gathered;
use crate::evidence::{ClientInfo, EventKind, Resource, Source, has_sidecar, text};
use requests::Counted;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The client folder that sits behind a sidecar by its name, and the pod whose sidecar it is.
const MESHED: (&str, &str) = ("mesh", "loadgen");

/// Reads every folder under `client/`.
pub(super) fn read_all(capture: &Path, gathered: &mut Gathered) {
    let root = capture.join("client");
    let mut names: Vec<String> = fs::read_dir(&root)
        .map(|entries| {
            entries
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| root.join(name).is_dir())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    if names.is_empty() {
        gathered.blind("requests", "the capture has no client");
    }
    for name in names {
        read_client(&root.join(&name), &name, gathered);
    }
}

fn read_client(folder: &Path, name: &str, gathered: &mut Gathered) {
    let mut seen = Seen::default();
    failures::read(&folder.join("failures.jsonl"), name, &mut seen, gathered);
    let counted = requests::read(&folder.join("requests.tsv"), name, &mut seen, gathered);
    let summary = summary(folder);
    for (what, reason) in holes(counted.as_ref(), &summary, &seen) {
        gathered.blind(format!("{what}/{name}"), reason);
    }
    let told = |name: &str| Some(summary.get(name)?.as_str()?.to_owned());
    let target = told("target").or(seen.remote);
    gathered.asked.extend(told("host"));
    gathered.asked.extend(target.clone());
    let by_name = (name == MESHED.0).then(|| MESHED.1.to_owned());
    let pod = by_name.or_else(|| behind(&seen.local, gathered));
    let client = EventKind::Client(ClientInfo {
        name: name.to_owned(),
        meshed: pod.is_some(),
        pod,
        target,
        counted: counted.is_some(),
    });
    gathered.push(seen.first.unwrap_or(0), Source::Load, client);
}

/// What the files of a client lack by their own numbers.
fn holes(counted: Option<&Counted>, summary: &Value, seen: &Seen) -> Vec<(&'static str, String)> {
    let Some(Counted { requests, failed }) = counted else {
        return vec![("requests", "the client has no `requests.tsv`".to_owned())];
    };
    let mut holes = Vec::new();
    let sent = summary.get("sent").and_then(Value::as_u64);
    if let Some(sent) = sent.filter(|sent| sent > requests) {
        let reason = format!("{sent} requests were sent, {requests} are in `requests.tsv`");
        holes.push(("requests", reason));
    }
    if *failed > seen.failures {
        let stored = seen.failures;
        let reason = format!("{failed} failures were counted, {stored} are in `failures.jsonl`");
        holes.push(("failures", reason));
    }
    holes
}

/// The pod with a sidecar that a client sends from: one that sends from several addresses is in none.
/// A pod on its node's network has an address that it shares, and no sidecar takes its traffic.
fn behind(addresses: &BTreeSet<String>, gathered: &Gathered) -> Option<String> {
    let address = addresses.first().filter(|_| addresses.len() == 1)?;
    gathered.objects(Resource::Pods).find_map(|(_, _, object)| {
        let shared = object.pointer("/spec/hostNetwork").and_then(Value::as_bool);
        let own = text(object, "/status/podIP") == Some(address.as_str()) && shared != Some(true);
        let pod = text(object, "/metadata/name").filter(|_| own && has_sidecar(object));
        pod.map(str::to_owned)
    })
}

/// What the files of one client have shown so far.
#[derive(Debug, Default)]
struct Seen {
    /// When its first request began.
    first: Option<i64>,
    /// The first address that a failed request was sent to.
    remote: Option<String>,
    /// The addresses that they were sent from.
    local: BTreeSet<String>,
    /// Failed requests that are recorded one by one.
    failures: u64,
}

impl Seen {
    fn request(&mut self, begun: i64) {
        self.first = Some(self.first.map_or(begun, |first| first.min(begun)));
    }
}

/// The totals that a client wrote, where it did.
fn summary(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("summary.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}
