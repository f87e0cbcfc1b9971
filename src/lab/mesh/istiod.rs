//! When does a proxy learn of a change, and how?
//!
//! [`run`] is istiod: it waits until changes have been quiet for the debounce, then for the
//! scenario's push delay, and moves new files to where the proxies' Envoys look. A new proxy gets
//! what was pushed last, at once.

use super::inject::is_injected;
use super::settings::Settings;
use super::xds::{self, MeshService};
use crate::lab::store::object::{name, text, uid};
use crate::lab::store::{Status, Store};
use crate::lab::truth::{Fact, Truth};
use crate::scenario::Delay;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// `PILOT_DEBOUNCE_AFTER` and `PILOT_DEBOUNCE_MAX`.
const QUIET: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Pushes until `stop`.
///
/// # Errors
///
/// When a watch of the store is refused.
pub(crate) async fn run(
    store: Arc<Store>,
    settings: Settings,
    delay: Option<Delay>,
    dir: PathBuf,
    truth: Truth,
    stop: CancellationToken,
) -> Result<(), Status> {
    let mut services = store.watch("services", None, None)?;
    let mut slices = store.watch("endpointslices", None, None)?;
    let mut pods = store.watch("pods", None, None)?;
    let mut istiod = Istiod {
        pushed: known(&store),
        store,
        settings,
        delay,
        dir,
        truth,
        changed: None,
        pushes: VecDeque::new(),
        written: BTreeMap::new(),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            change = services.next() => { change?; istiod.change(Instant::now()); }
            change = slices.next() => { change?; istiod.change(Instant::now()); }
            // A pod alone pushes nothing to others; a new one wants its own files.
            change = pods.next() => { change?; }
            () = sleep_until(istiod.due()) => {}
        }
        while services.try_next()?.is_some() {}
        while slices.try_next()?.is_some() {}
        while pods.try_next()?.is_some() {}
        istiod.act(Instant::now());
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn known(store: &Store) -> Vec<MeshService> {
    let (_, services) = store.list("services", None);
    let (_, slices) = store.list("endpointslices", None);
    xds::mesh_services(&services, &slices)
}

/// The endpoints, `address:port`, that every proxy is to know.
pub(crate) fn endpoints(store: &Store) -> BTreeSet<String> {
    let services = known(store);
    services.iter().flat_map(MeshService::addresses).collect()
}

struct Istiod {
    store: Arc<Store>,
    settings: Settings,
    delay: Option<Delay>,
    dir: PathBuf,
    truth: Truth,
    /// First and last change that was not taken up yet.
    changed: Option<(Instant, Instant)>,
    /// What is to be pushed, and when.
    pushes: VecDeque<(Instant, Vec<MeshService>)>,
    pushed: Vec<MeshService>,
    /// What is in each file of each proxy, by its pod's uid.
    written: BTreeMap<String, BTreeMap<String, String>>,
}

impl Istiod {
    fn change(&mut self, now: Instant) {
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
    }

    fn due(&self) -> Option<Instant> {
        let quiet = self
            .changed
            .map(|(first, last)| (last + QUIET).min(first + LONGEST));
        let push = self.pushes.front().map(|(due, _)| *due);
        [quiet, push].into_iter().flatten().min()
    }

    fn act(&mut self, now: Instant) {
        if let Some((first, last)) = self.changed
            && now >= (last + QUIET).min(first + LONGEST)
        {
            self.changed = None;
            let wanted = known(&self.store);
            let after = self.pushes.back().map_or(now, |(due, _)| *due);
            let due = after.max(now + self.pause(&wanted));
            self.pushes.push_back((due, wanted));
        }
        while let Some((due, _)) = self.pushes.front()
            && *due <= now
        {
            if let Some((_, wanted)) = self.pushes.pop_front() {
                self.pushed = wanted;
            }
        }
        self.write_all();
    }

    /// The push delay. A Service that is new is the start of a lab, not a rollout.
    fn pause(&self, wanted: &[MeshService]) -> Duration {
        let old: BTreeSet<_> = self.pushed.iter().map(MeshService::cluster).collect();
        let is_new = wanted
            .iter()
            .any(|service| !old.contains(&service.cluster()));
        match self.delay {
            Some(delay) if !is_new && delay.min < delay.max => {
                rand::random_range(delay.min..=delay.max)
            }
            Some(delay) if !is_new => delay.min,
            _ => Duration::ZERO,
        }
    }

    /// Brings the files of all proxies up to date.
    fn write_all(&mut self) {
        let (_, services) = self.store.list("services", None);
        let (_, pods) = self.store.list("pods", None);
        let mut alive = BTreeSet::new();
        for pod in pods.iter().filter(|pod| is_injected(pod)) {
            alive.insert(uid(pod).to_owned());
            // The node starts nothing before a pod has been assigned to it.
            if text(&pod["spec"]["nodeName"]).is_empty() {
                continue;
            }
            let files = self.files(pod, &services);
            if let Err(error) = self.write(pod, files) {
                tracing::error!("failed to push to `{}`: {error}", self.dir.display());
            }
        }
        let gone: Vec<_> = self
            .written
            .keys()
            .filter(|uid| !alive.contains(*uid))
            .cloned()
            .collect();
        for uid in gone {
            self.written.remove(&uid);
            // A folder that cannot be removed goes with the lab's own.
            let _ = std::fs::remove_dir_all(self.dir.join(&uid));
        }
    }

    /// A proxy's files in the order in which they must come: endpoints, clusters, listeners.
    fn files(&self, pod: &Value, services: &[Arc<Value>]) -> Vec<(String, Value)> {
        let dir = self.dir.join(uid(pod));
        let own = xds::inbound(pod, services);
        let mut files: Vec<_> = self
            .pushed
            .iter()
            .map(|service| (service.file(), xds::endpoints(service)))
            .collect();
        let clusters = xds::clusters(&self.pushed, &own, &self.settings, &dir);
        files.push(("cds.json".to_owned(), clusters));
        let truth = xds::TruthLog {
            path: self.truth.beside(uid(pod)),
            pod: name(pod).to_owned(),
            uid: uid(pod).to_owned(),
        };
        let listeners = xds::listeners(&self.pushed, &own, &self.settings, &truth);
        files.push(("lds.json".to_owned(), listeners));
        files
    }

    fn write(&mut self, pod: &Value, files: Vec<(String, Value)>) -> io::Result<()> {
        let dir = self.dir.join(uid(pod));
        let written = self.written.entry(uid(pod).to_owned()).or_default();
        if written.is_empty() {
            std::fs::create_dir_all(&dir)?;
        }
        for (file, value) in files {
            let text = value.to_string();
            if written.get(&file) == Some(&text) {
                continue;
            }
            replace(&dir, &file, &text)?;
            let about = self.pushed.iter().filter(|service| service.file() == file);
            self.truth.tell(Fact::Pushed {
                pod: name(pod).to_owned(),
                uid: uid(pod).to_owned(),
                endpoints: about.flat_map(MeshService::addresses).collect(),
                file: file.clone(),
            });
            written.insert(file, text);
        }
        Ok(())
    }
}

/// Envoy looks at a file again when another is moved to its place.
fn replace(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    std::fs::write(&new, text)?;
    std::fs::rename(new, dir.join(name))
}
