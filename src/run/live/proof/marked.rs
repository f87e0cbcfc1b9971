//! Are requests that were answered found in the logs that the scenario needs?
//!
//! Marked requests are sent. Each must be named in the log of the sidecar beside the app that
//! answered it, where the answer names its pod, else in that of some pod; and in that of the sidecar
//! that they left through. An app need not log its requests, so its silence is no fault.

use super::super::LiveRun;
use super::super::error::Obstacle;
use super::{needs_sidecars_log, unanswered};
use crate::evidence::{Blindness, EventKind, EventSink, Interval, MarkedRequest, Source};
use crate::load::{self, LoadConfig, Marked};
use crate::observe::logs::Found;
use crate::observe::{Observers, PodState, SIDECAR};
use crate::task::wait_until;
use std::collections::BTreeMap;
use std::time::Duration;

/// Marked requests that are sent at least; for each pod; and at most.
const MARKED: (usize, usize, usize) = (10, 4, 60);

/// Patience with their lines: Envoy flushes its access log once a second.
const LINES_PATIENCE: Duration = Duration::from_secs(10);

/// What came of it.
pub(super) enum Proof {
    /// All were found, or no log is needed.
    Sound,
    /// Nothing was proved, in words.
    NotTried(String),
    /// Not all were found, in words.
    Lost(String),
}

/// Sends marked requests and looks for them.
pub(super) async fn prove(
    run: &LiveRun,
    config: &LoadConfig,
    observers: &Observers,
    sink: &EventSink,
) -> Result<Proof, Obstacle> {
    let plan = &run.plan;
    let pods = observers.book().all();
    let (least, each, most) = MARKED;
    let count = (pods.len() * each).clamp(least, most);
    observers.begin_marks(plan.observe.access_log_format.as_deref());
    let marked = load::send_marked(config, sink.clock(), count).await?;
    for one in marked.iter().flatten() {
        record(one, &config.client, sink);
    }
    let needed = needs_sidecars_log(plan) && pods.iter().any(|pod| pod.sidecar);
    let proof = match marked {
        Some(marked) if marked.iter().all(|one| one.status.is_none()) => {
            return Err(unanswered::all(run, &config.target, &marked, &pods));
        }
        Some(marked) if needed => {
            let sought = sought(&marked, &pods, observers.client_pod());
            found(&sought, observers, sink).await
        }
        None if needed => Proof::NotTried(format!(
            "marked-requests: no request class is a GET or HEAD, so none was sent and nothing \
             shows that `{SIDECAR}` logs requests; add such a class"
        )),
        _ => Proof::Sound,
    };
    observers.end_marks();
    Ok(proof)
}

/// What their lines tell of clocks is worked out when the record is judged.
fn record(one: &Marked, client: &str, sink: &EventSink) {
    let marked = MarkedRequest {
        request_id: one.id.clone(),
        client: client.to_owned(),
        sent: one.sent,
        answered: one.answered,
        status: one.status,
        pod: one.pod.clone(),
    };
    let at = Interval::between(one.sent, one.answered.unwrap_or(one.sent));
    sink.event(Source::Load, at, EventKind::RequestMarked(marked));
}

/// Requests that the logs of some pods must name.
#[derive(Debug, PartialEq, Eq)]
struct Sought {
    /// Who, in words.
    who: String,
    /// The pods; each id is named by one of them.
    pods: Vec<String>,
    ids: Vec<String>,
    /// So many of the ids at least.
    least: usize,
}

/// Which logs must name which of the answered requests.
fn sought(marked: &[Marked], pods: &[PodState], client: Option<&str>) -> Vec<Sought> {
    let answered: Vec<&Marked> = marked.iter().filter(|one| one.status.is_some()).collect();
    let pod_of = |one: &Marked| {
        let name = one.pod.as_ref()?;
        pods.iter().find(|pod| pod.name == *name)
    };
    let mut by_pod: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut anywhere = Vec::new();
    for one in &answered {
        match pod_of(one) {
            Some(pod) if pod.sidecar => by_pod.entry(&pod.name).or_default().push(one.id.clone()),
            Some(_) => {}
            // A proxy on the way answers with such a status itself.
            None if one.status >= Some(500)
                && answered.iter().any(|one| one.status < Some(500)) => {}
            None => anywhere.push(one.id.clone()),
        }
    }
    let mut sought: Vec<Sought> = by_pod
        .into_iter()
        .map(|(pod, ids)| Sought::all(format!("`{pod}`"), pod, ids))
        .collect();
    if !anywhere.is_empty() {
        // Where some pods have no sidecar, the answers that name no pod may all be theirs.
        let mixed = pods.iter().any(|pod| !pod.gone && !pod.sidecar);
        let sidecars = pods.iter().filter(|pod| pod.sidecar);
        sought.push(Sought {
            who: "all pods together".to_owned(),
            pods: sidecars.map(|pod| pod.name.clone()).collect(),
            least: if mixed { 1 } else { anywhere.len() },
            ids: anywhere,
        });
    }
    if let Some(client) = client {
        let ids = answered.iter().map(|one| one.id.clone()).collect();
        sought.push(Sought::all(format!("`{client}`"), client, ids));
    }
    sought
}

// === impl Sought ===

impl Sought {
    fn all(who: String, pod: &str, ids: Vec<String>) -> Self {
        Self {
            who,
            pods: vec![pod.to_owned()],
            least: ids.len(),
            ids,
        }
    }

    fn found(&self, observers: &Observers) -> Found {
        observers.marks_found(&self.pods, SIDECAR, &self.ids)
    }
}

async fn found(sought: &[Sought], observers: &Observers, sink: &EventSink) -> Proof {
    let look = || -> Vec<(&Sought, Found)> {
        let looks = sought.iter().map(|one| (one, one.found(observers)));
        looks.collect()
    };
    let waited = wait_until(
        "finding the marked requests",
        LINES_PATIENCE,
        Duration::from_millis(100),
        || async { lost(&look()).map_or(Ok(()), Err) },
    );
    if waited.await.is_err()
        && let Some(lost) = lost(&look())
    {
        return Proof::Lost(lost);
    }
    for blind in doubts(&look()) {
        tracing::warn!("{}: {}", blind.what, blind.reason);
        sink.now(Source::Run, EventKind::Blind(blind));
    }
    Proof::Sound
}

/// Which requests are missing in which logs, if any are, and what may be done.
fn lost(looks: &[(&Sought, Found)]) -> Option<String> {
    let lacking: Vec<&(&Sought, Found)> = looks
        .iter()
        .filter(|(sought, found)| found.named < sought.least)
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let named: usize = lacking.iter().map(|(_, found)| found.named).sum();
    let ids: usize = lacking.iter().map(|(sought, _)| sought.ids.len()).sum();
    let who: Vec<String> = lacking
        .iter()
        .map(|(sought, found)| format!("{} {} of {}", sought.who, found.named, sought.ids.len()))
        .collect();
    let logged = lacking
        .iter()
        .all(|(sought, found)| found.lines >= sought.least.max(1));
    let hint = if logged {
        "lines did come: does its format name the request's id (`%REQ(X-REQUEST-ID)%`)?"
    } else {
        "is its access log switched on (`meshConfig.accessLogFile: /dev/stdout`, or a Telemetry \
         resource with `accessLogging`)?"
    };
    Some(format!(
        "marked-requests: {named} of {ids} were found in the logs of `{SIDECAR}` ({}); {hint}",
        who.join(", ")
    ))
}

/// What can be read of the lines only in part.
fn doubts(looks: &[(&Sought, Found)]) -> Vec<Blindness> {
    let sum = |of: fn(&Found) -> usize| looks.iter().map(|(_, found)| of(found)).sum::<usize>();
    let doubt = |what: &str, reason: &str| Blindness {
        what: what.to_owned(),
        from: None,
        to: None,
        reason: reason.to_owned(),
        uids: None,
        resumed: false,
    };
    if sum(|found| found.named) == 0 {
        return Vec::new();
    }
    if sum(|found| found.understood) == 0 {
        let reason = "the access lines name the requests and are in no format that is known; \
                      declare it with `spec.observe.accessLogFormat`";
        return vec![doubt("access-log-format", reason)];
    }
    if sum(|found| found.kept) == 0 {
        let reason = "something on the way replaces `x-request-id`: lines are joined by path and \
                      time; `idInQuery: true` joins them by id";
        return vec![doubt("request-ids", reason)];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Fact, RunClock, RunOffset};

    fn pod(name: &str, sidecar: bool) -> PodState {
        PodState {
            name: name.to_owned(),
            sidecar,
            ..PodState::default()
        }
    }

    fn marked(id: &str, pod: Option<&str>, status: Option<u16>) -> Marked {
        Marked {
            id: id.to_owned(),
            sent: RunOffset::default(),
            answered: status.map(|_| RunOffset(1)),
            pod: pod.map(str::to_owned),
            status,
            failure: None,
        }
    }

    fn named(lines: usize, named: usize) -> Found {
        Found {
            lines,
            named,
            understood: named,
            kept: named,
        }
    }

    #[test]
    fn a_log_that_is_off_in_one_pod_of_two_is_told_with_its_name() {
        let pods = [pod("a", true), pod("b", true)];
        let marked = [
            marked("1", Some("a"), Some(200)),
            marked("2", Some("b"), Some(200)),
            marked("3", Some("b"), Some(200)),
            marked("4", None, None),
        ];
        let sought = sought(&marked, &pods, None);
        let looks: Vec<_> = sought.iter().zip([named(1, 1), named(0, 0)]).collect();
        let told = lost(&looks).expect("b's log is off");
        assert!(told.contains("0 of 2") && told.contains("`b`"), "{told}");
        assert!(
            !told.contains("`a`") && told.contains("switched on"),
            "{told}"
        );
        let looks: Vec<_> = sought.iter().zip([named(1, 1), named(2, 2)]).collect();
        assert_eq!(lost(&looks), None);
    }

    #[test]
    fn fewer_found_than_were_answered_is_a_loss_though_no_answer_names_its_pod() {
        let pods = [pod("a", true), pod("b", true)];
        let marked = [
            marked("1", None, Some(200)),
            marked("2", Some("a-name-that-no-pod-has"), Some(200)),
            marked("3", None, Some(503)),
        ];
        let sought = sought(&marked, &pods, None);
        assert_eq!(
            sought[0].ids,
            ["1", "2"],
            "a proxy may have answered the third"
        );
        let told = lost(&[(&sought[0], named(9, 1))]).expect("one is missing");
        assert!(told.contains("1 of 2 were found"), "{told}");
        assert!(told.contains("does its format name"), "{told}");
    }

    #[test]
    fn pods_without_a_sidecar_owe_no_lines() {
        let pods = [pod("a", true), pod("plain", false)];
        let of_plain = [marked("1", Some("plain"), Some(200))];
        assert_eq!(sought(&of_plain, &pods, None), []);
        let unnamed = [marked("1", None, Some(200)), marked("2", None, Some(200))];
        assert_eq!(sought(&unnamed, &pods, None)[0].least, 1);
    }

    #[test]
    fn the_sidecar_that_requests_leave_through_owes_them_all() {
        let pods = [pod("a", true)];
        let marked = [
            marked("1", Some("a"), Some(200)),
            marked("2", None, Some(503)),
        ];
        let sought = sought(&marked, &pods, Some("load"));
        let client = sought.last().expect("the client's");
        assert_eq!(client.ids, ["1", "2"]);
        let told = lost(&[(client, named(0, 0))]).expect("its log is off");
        assert!(told.contains("`load` 0 of 2"), "{told}");
    }

    #[test]
    fn a_marked_request_is_recorded_from_its_sending_to_its_answer() {
        let (sink, mut fact_rx) = EventSink::new(RunClock::start());
        let cases = [
            (Some(RunOffset(7)), Some(200), 7),
            // Nobody knows when a request ended that nobody answered.
            (None, None, 3),
        ];
        for (answered, status, hi) in cases {
            let one = Marked {
                sent: RunOffset(3),
                answered,
                ..marked("1", Some("a"), status)
            };
            record(&one, "local", &sink);
            let Ok(Fact::Event(event)) = fact_rx.try_recv() else {
                panic!("nothing was recorded");
            };
            assert_eq!((event.at.lo.0, event.at.hi.0), (3, hi));
            let EventKind::RequestMarked(kept) = event.kind else {
                panic!("something else was recorded");
            };
            assert_eq!(
                (kept.request_id.as_str(), kept.client.as_str()),
                ("1", "local")
            );
            assert_eq!((kept.answered, kept.status), (answered, status));
        }
    }

    #[test]
    fn an_id_that_was_replaced_is_no_loss_and_is_told() {
        let sought = Sought::all("`a`".to_owned(), "a", vec!["1".to_owned()]);
        let replaced = Found {
            kept: 0,
            ..named(1, 1)
        };
        assert_eq!(lost(&[(&sought, replaced)]), None);
        assert_eq!(doubts(&[(&sought, replaced)])[0].what, "request-ids");
        assert_eq!(doubts(&[(&sought, named(1, 1))]), []);
    }
}
