//! When does a pod that is being deleted stop listening?
//!
//! From the arrival of its deletion until it is gone, its own address is asked 20 times a second.
//! Only where no mesh's proxy stands in between: it would answer for the app. And only where a ready
//! pod was reached before: from a place without a way to the pods, silence means nothing.

use super::pods::{PodBook, PodState};
use crate::evidence::{Blindness, EventKind, EventSink, Interval, PodProbe, ProbeOutcome, Source};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Between the probes of one pod.
const EVERY: Duration = Duration::from_millis(50);

/// Patience with one probe. Answers come in the order of sending, so an answer is told at most
/// this late.
const PATIENCE: Duration = Duration::from_secs(1);

/// An outcome that stays the same is told this often; each change is told with the last probe
/// before it. A pod that takes an hour to die costs a line a second.
const SAME: Duration = Duration::from_secs(1);

/// Probes go on for so long after the pod is gone from the API: its address may outlive it.
const AFTER: Duration = Duration::from_millis(500);

/// What the first look at the pods has shown.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// Ready pods that could not be reached, by uid.
    closed: BTreeSet<String>,
    /// No pod could be reached that should have been.
    none: bool,
}

/// Asks each ready pod once. One that does not accept is out of sight: that is recorded, and it is
/// not probed.
pub(super) async fn look(port: u16, sink: &EventSink, book: &PodBook) -> Ways {
    let ready = |pod: &PodState| pod.ready && !pod.terminating && !pod.gone && !pod.proxied;
    let asked = book.all().into_iter().filter(ready).filter_map(|pod| {
        let ip = pod.ip.as_deref()?.parse().ok()?;
        let address = SocketAddr::new(ip, port);
        Some(async move {
            let answer = timeout(PATIENCE, TcpStream::connect(address)).await;
            let refusal = match answer {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {PATIENCE:?}")),
            };
            (pod, address, refusal)
        })
    });
    let answers = futures::future::join_all(asked).await;
    let mut ways = Ways {
        none: !answers.is_empty(),
        ..Ways::default()
    };
    for (pod, address, refusal) in answers {
        let Some(refusal) = refusal else {
            ways.none = false;
            continue;
        };
        ways.closed.insert(pod.uid);
        let blindness = Blindness {
            what: format!("probes/{}", pod.name),
            from: None,
            to: None,
            reason: format!(
                "the pod is ready, and {address} cannot be reached from here: {refusal}"
            ),
            uids: None,
            resumed: false,
        };
        sink.now(Source::Probe, EventKind::Blind(blindness));
    }
    ways
}

/// Probes each pod of the book from its deletion on, where there is a way to it.
pub(super) async fn probe_all(
    port: u16,
    ways: Ways,
    sink: EventSink,
    book: PodBook,
    token: CancellationToken,
) {
    if ways.none {
        return;
    }
    let mut changes = book.changes();
    let mut probed = ways.closed;
    let mut probes = JoinSet::new();
    loop {
        tokio::select! {
            () = token.cancelled() => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
        for pod in book.all() {
            if !pod.terminating || pod.gone || pod.proxied || probed.contains(&pod.uid) {
                continue;
            }
            let Some(Ok(ip)) = pod.ip.as_deref().map(str::parse) else {
                continue;
            };
            probed.insert(pod.uid.clone());
            let probe = Probe {
                pod: pod.name,
                uid: pod.uid,
                address: SocketAddr::new(ip, port),
                sink: sink.clone(),
            };
            probes.spawn(probe.run(book.clone(), token.clone()));
        }
    }
    // The token is cancelled: each probe ends by itself, and a panic in one is not swallowed.
    while let Some(ended) = probes.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// The probes of one pod.
#[derive(Debug)]
struct Probe {
    pod: String,
    uid: String,
    address: SocketAddr,
    sink: EventSink,
}

impl Probe {
    async fn run(self, book: PodBook, token: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut flying = FuturesOrdered::new();
        let mut telling = Telling::default();
        let mut gone_at = None;
        loop {
            tokio::select! {
                () = token.cancelled() => break,
                Some(fact) = flying.next(), if !flying.is_empty() => {
                    telling.take(fact).into_iter().for_each(|fact| self.tell(fact));
                }
                _ = ticks.tick() => {
                    let gone = book.get(&self.uid).is_none_or(|pod| pod.gone);
                    if gone && gone_at.get_or_insert_with(Instant::now).elapsed() > AFTER {
                        break;
                    }
                    flying.push_back(self.ask());
                }
            }
        }
        while let Some(fact) = flying.next().await {
            telling
                .take(fact)
                .into_iter()
                .for_each(|fact| self.tell(fact));
        }
        telling
            .held
            .take()
            .into_iter()
            .for_each(|fact| self.tell(fact));
    }

    fn ask(&self) -> impl Future<Output = Told> + use<> {
        let (clock, address) = (self.sink.clock(), self.address);
        let probe = PodProbe {
            pod: self.pod.clone(),
            uid: self.uid.clone(),
            address: address.to_string(),
            sent: clock.now(),
            outcome: ProbeOutcome::Timeout,
        };
        async move {
            let answer = timeout(PATIENCE, TcpStream::connect(address)).await;
            let outcome = match answer {
                Err(_) => ProbeOutcome::Timeout,
                Ok(Ok(_)) => ProbeOutcome::Accepted,
                Ok(Err(error)) => outcome_of(&error),
            };
            let at = Interval::between(probe.sent, clock.now());
            Told {
                at,
                probe: PodProbe { outcome, ..probe },
            }
        }
    }

    fn tell(&self, fact: Told) {
        let kind = EventKind::Probe(fact.probe);
        self.sink.event(Source::Probe, fact.at, kind);
    }
}

fn outcome_of(error: &io::Error) -> ProbeOutcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ProbeOutcome::Refused,
        io::ErrorKind::ConnectionReset => ProbeOutcome::Reset,
        io::ErrorKind::TimedOut => ProbeOutcome::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ProbeOutcome::Unreachable
        }
        _ => ProbeOutcome::Failed,
    }
}

/// A probe with its span.
#[derive(Clone, Debug)]
struct Told {
    at: Interval,
    probe: PodProbe,
}

/// Leaves out repetitions: tells the first of each outcome, the last before a change, and one a
/// second.
#[derive(Debug, Default)]
struct Telling {
    last: Option<Told>,
    held: Option<Told>,
}

impl Telling {
    fn take(&mut self, fact: Told) -> Vec<Told> {
        let repeats = self.last.as_ref().is_some_and(|last| {
            last.probe.outcome == fact.probe.outcome && fact.probe.sent < last.probe.sent + SAME
        });
        if repeats {
            self.held = Some(fact);
            return Vec::new();
        }
        self.last = Some(fact.clone());
        self.held.take().into_iter().chain([fact]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Fact, RunClock, RunOffset};

    fn told(millis: i64, outcome: ProbeOutcome) -> Told {
        let sent = RunOffset::from_millis(millis);
        let probe = PodProbe {
            pod: "p".to_owned(),
            uid: "u".to_owned(),
            address: "10.0.0.1:80".to_owned(),
            sent,
            outcome,
        };
        Told {
            at: Interval::point(sent),
            probe,
        }
    }

    #[test]
    fn the_last_probe_before_a_change_is_told_and_repetitions_are_not() {
        let mut telling = Telling::default();
        let probes = [
            (0, ProbeOutcome::Accepted),
            (50, ProbeOutcome::Accepted),
            (100, ProbeOutcome::Accepted),
            (150, ProbeOutcome::Refused),
            (200, ProbeOutcome::Refused),
            (1200, ProbeOutcome::Refused),
        ];
        let told: Vec<i64> = probes
            .into_iter()
            .flat_map(|(millis, outcome)| telling.take(told(millis, outcome)))
            .map(|fact| fact.probe.sent.0 / 1_000_000)
            .collect();
        assert_eq!(told, [0, 100, 150, 200, 1200]);
    }

    /// A pod of this name at 127.0.0.1, ready or on its way out.
    fn pod(name: &str, ending: bool) -> serde_json::Value {
        let mut pod = crate::observe::pods::tests::pod(name, serde_json::Value::Null);
        if ending {
            pod["metadata"]["deletionTimestamp"] = "2026-11-24T17:00:00Z".into();
        }
        pod["spec"]["initContainers"] = serde_json::Value::Null;
        pod["status"]["podIP"] = "127.0.0.1".into();
        pod["status"]["conditions"] = serde_json::json!([{"type": "Ready", "status": "True"}]);
        pod
    }

    #[tokio::test]
    async fn a_ready_pod_that_cannot_be_reached_is_out_of_sight_and_not_probed() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = closed.local_addr().unwrap().port();
        drop(closed);
        let (sink, mut fact_rx) = EventSink::new(RunClock::start());
        let book = PodBook::default();
        book.apply(&pod("a", false));
        let ways = look(port, &sink, &book).await;
        assert!(ways.none, "{ways:?}");
        let Ok(Fact::Event(event)) = fact_rx.try_recv() else {
            panic!("it is recorded");
        };
        let EventKind::Blind(blindness) = event.kind else {
            panic!("{:?}", event.kind);
        };
        assert_eq!(
            (blindness.what.as_str(), blindness.from),
            ("probes/a", None)
        );
        assert!(blindness.reason.contains("refused"), "{}", blindness.reason);
        book.apply(&pod("a", true));
        let token = CancellationToken::new();
        let probing = probe_all(port, ways, sink, book, token.clone());
        timeout(Duration::from_secs(10), probing)
            .await
            .expect("there is nothing to do");
        assert!(fact_rx.try_recv().is_err(), "no probe was made");
    }

    #[tokio::test]
    async fn a_pod_behind_the_proxy_of_any_mesh_is_not_asked() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = closed.local_addr().unwrap().port();
        drop(closed);
        for proxy in ["istio-proxy", "linkerd-proxy", "envoy"] {
            let (sink, mut fact_rx) = EventSink::new(RunClock::start());
            let book = PodBook::default();
            let mut meshed = pod("a", false);
            meshed["spec"]["containers"] = serde_json::json!([{"name": "app"}, {"name": proxy}]);
            book.apply(&meshed);
            look(port, &sink, &book).await;
            assert!(fact_rx.try_recv().is_err(), "{proxy}: it was asked");
        }
    }

    #[tokio::test]
    async fn a_listener_that_closes_is_seen_as_accepted_then_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sink, mut fact_rx) = EventSink::new(RunClock::start());
        let book = PodBook::default();
        book.apply(&pod("a", false));
        let ways = look(address.port(), &sink, &book).await;
        let token = CancellationToken::new();
        let probes = probe_all(address.port(), ways, sink, book.clone(), token.clone());
        let probing = tokio::spawn(probes);
        book.apply(&pod("a", true));
        let mut outcomes = Vec::new();
        let mut listener = Some(listener);
        while outcomes.last() != Some(&ProbeOutcome::Refused) {
            let fact = timeout(Duration::from_secs(10), fact_rx.recv());
            let Ok(Some(Fact::Event(event))) = fact.await else {
                panic!("no probe within its patience, only {outcomes:?}");
            };
            let EventKind::Probe(probe) = event.kind else {
                panic!("{:?}", event.kind);
            };
            outcomes.push(probe.outcome);
            listener.take();
        }
        assert_eq!(outcomes[0], ProbeOutcome::Accepted);
        token.cancel();
        probing.await.expect("the probes end with the token");
    }
}
