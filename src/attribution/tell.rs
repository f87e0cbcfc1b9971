//! How is an explanation put into words that a reader can check?
//!
//! Every sentence carries its figures and the numbers of the events that show them. Words are made
//! only for the explanation that won and for its best competitor.

mod against;

pub(super) use against::{against, as_evidence, refuted};

use super::case::{Case, Link, LinkKind, Shape};
use super::explain::{Because, Hypothesis, context, intermediary, says};
use super::scene::{Outage, Pod, Reaction, Scene};
use super::{Cause, Evidence, Hop};
use crate::evidence::Interval;

/// What the failure itself shows.
pub(super) fn case(scene: &Scene<'_>, case: &Case<'_>) -> Vec<Evidence> {
    let elapsed = seconds(case.end.0 - case.sent().0);
    let text = match case.shape {
        Shape::Link(link) => link_text(case, link, &elapsed),
        Shape::AppReply(code) => format!("the app answered {code} after {elapsed}"),
        Shape::NobodyChosen => format!("a proxy answered `no healthy upstream` after {elapsed}"),
        Shape::Overload => "a proxy refused by its circuit breaker".to_owned(),
        Shape::Config => "a proxy refused by its configuration".to_owned(),
        Shape::NoAnswer => format!("no answer came within the client's patience of {elapsed}"),
        Shape::ProxyTimeout => format!("no answer came within a proxy's patience of {elapsed}"),
        Shape::Local => "the client had no port or file handle left".to_owned(),
        Shape::Resolve => "the client could not resolve the name".to_owned(),
        Shape::OwnSidecar => {
            format!("the client's connection to its own sidecar failed after {elapsed}")
        }
        Shape::Other => format!("the request failed in a way of its own after {elapsed}"),
    };
    let mut told = vec![context(Some(case.span()), text, vec![case.event])];
    if let Some(known) = &case.pod {
        let mut evidence = says(
            None,
            format!("{}: `{}`", known.by, scene.pods[known.pod].life.name),
            vec![case.event],
        );
        evidence.line.clone_from(&known.line);
        told.push(evidence);
    }
    if matches!(case.shape, Shape::Link(_)) && !case.pointed() {
        let rules = scene.reach.told(case.client);
        let told_of = |text: &str| context(None, text.to_owned(), Vec::new());
        told.extend(rules.into_iter().map(told_of));
    }
    told.extend(lines(case));
    if case.doubtful {
        let text = "no access line carries its id; others fit as well by peer, time and path";
        told.push(context(None, text.to_owned(), vec![case.event]));
    }
    told
}

/// What both sides' sidecars logged of it, beside the line that names the pod.
fn lines(case: &Case<'_>) -> Vec<Evidence> {
    let known = case.pod.as_ref().and_then(|known| known.line.as_ref());
    let sides = [
        (&case.client_line, "the client's proxy logged it"),
        (&case.server_line, "the server's proxy logged it"),
    ];
    let others = sides
        .into_iter()
        .filter(|(line, _)| line.is_some() && line.as_ref() != known);
    others
        .map(|(line, text)| Evidence {
            line: line.clone(),
            ..says(None, text.to_owned(), vec![case.event])
        })
        .collect()
}

/// The pod's proxy logs requests, and has no line of this one: it never got it, or was ended
/// before it could write (facts 9.11).
fn no_server_line(case: &Case<'_>, pod: &Pod) -> Option<Evidence> {
    let logs = pod.proxy.access_seen && case.server_line.is_none();
    logs.then(|| {
        let text = format!(
            "no line of the sidecar of `{}` tells of the request, although it logs requests",
            pod.life.name
        );
        says(None, text, Vec::new())
    })
}

fn link_text(case: &Case<'_>, link: Link, elapsed: &str) -> String {
    let connection = match link.reused {
        Some(true) => format!(
            "on a kept connection ({} requests before, idle for {})",
            case.request.connection.requests_before,
            seconds(case.request.connection.idle)
        ),
        Some(false) => "on a new connection".to_owned(),
        None => "behind a proxy".to_owned(),
    };
    let what = match (link.hop, link.kind) {
        (Hop::ServerSidecar, LinkKind::Refused) => "the pod's proxy found no listener behind it",
        (Hop::ServerSidecar, LinkKind::Vanished) => {
            "the pod's proxy got no answer from its app's address"
        }
        (Hop::ServerSidecar, LinkKind::Cut) => {
            "the pod's proxy lost the app's connection before an answer"
        }
        (_, LinkKind::Refused) => "refused in connect",
        (_, LinkKind::Vanished) => "no answer to the connect",
        (_, LinkKind::Cut) => "established, then ended before an answer",
    };
    format!("{what} {connection}, after {elapsed}")
}

/// What speaks for the explanation that won.
pub(super) fn hypothesis(
    scene: &Scene<'_>,
    case: &Case<'_>,
    hypothesis: &Hypothesis,
    pods: usize,
) -> Vec<Evidence> {
    let mut told = Vec::new();
    let pod = hypothesis.pod.map(|pod| &scene.pods[pod]);
    if let Some(pod) = pod {
        told.extend(because(scene, case, hypothesis, pod));
        if case.pod.is_none() && pods > 1 {
            let text = format!("{pods} pods fit; the one that fits best is described");
            told.push(context(None, text, Vec::new()));
        }
    } else {
        told.extend(without_pod(scene, case, hypothesis));
    }
    told
}

fn because(
    scene: &Scene<'_>,
    case: &Case<'_>,
    hypothesis: &Hypothesis,
    pod: &Pod,
) -> Vec<Evidence> {
    let mut told = Vec::new();
    let name = &pod.life.name;
    if let Some(deleted) = pod.deleted {
        let since = seconds(case.sent().0 - deleted.hi.0);
        let text =
            format!("`{name}` was being deleted; the request went out {since} after that was seen");
        told.push(says(
            Some(deleted),
            text,
            pod.deleted_event.into_iter().collect(),
        ));
    }
    match hypothesis.because {
        Because::AppStopped | Because::AppEnded | Because::PodGone => {
            told.extend(end_text(name, "app", pod.app_end));
            told.extend(shut_text(pod));
        }
        Because::ProxyGone | Because::ProxyEnded => {
            for mut ended in end_text(name, "proxy", pod.proxy_end) {
                ended.line = scene.agent_line(pod, pod.proxy.last_word());
                told.push(ended);
            }
            told.extend(end_text(name, "app", pod.app_end));
            told.extend(no_server_line(case, pod));
        }
        Because::IdleClosed => {
            told.extend(end_text(name, "app", pod.front_end()));
            let text = format!(
                "the connection was last good {} before the request",
                seconds(case.request.connection.idle)
            );
            told.push(says(None, text, vec![case.event]));
        }
        Because::Crashed => told.extend(crash_text(pod, case)),
        Because::NotListening => {
            if let Some(routed) = pod.routed {
                let text = format!("slices showed `{name}` as ready");
                told.push(says(Some(Interval::point(routed)), text, Vec::new()));
            }
            let (whose, begun) = if hypothesis.hop == Hop::Pod && pod.sidecar.is_some() {
                ("the proxy of ", pod.proxied)
            } else {
                ("", pod.listened)
            };
            if let Some(begun) = begun {
                let text = format!("{whose}`{name}` listened for the first time");
                told.push(says(Some(begun), text, Vec::new()));
            }
        }
        Because::Deregistration => {
            told.extend(end_text(name, "app", pod.app_end));
            if let Some(withdrawn) = pod.withdrawn {
                let text = format!(
                    "slices had withdrawn `{name}` {} before the request; the load balancer of the URL follows on its own",
                    seconds(case.sent().0 - withdrawn.0)
                );
                told.push(says(
                    Some(Interval::point(withdrawn)),
                    text,
                    vec![case.event],
                ));
            }
        }
        Because::NodeLost => told.push(says(
            None,
            format!("the node of `{name}` was lost"),
            Vec::new(),
        )),
        Because::Refusal => told.push(says(
            None,
            format!("the app of `{name}` was alive and answered by itself"),
            vec![case.event],
        )),
        _ => told.extend(without_pod(scene, case, hypothesis)),
    }
    told.extend(reaction_text(scene, pod, hypothesis.cause));
    told
}

fn end_text(name: &str, process: &str, end: Option<super::scene::End>) -> Vec<Evidence> {
    let Some(end) = end else {
        return Vec::new();
    };
    let how = match end.how {
        super::scene::How::Exited(code) => format!("by itself with code {code}"),
        super::scene::How::Killed => "by SIGKILL at the end of its grace period".to_owned(),
        super::scene::How::KilledEarly => {
            "by SIGKILL before the end of its grace period: the OOM killer's, or somebody's"
                .to_owned()
        }
        super::scene::How::Unknown => "in a way that was not seen".to_owned(),
    };
    let text = format!("the {process} of `{name}` ended {how}");
    vec![says(Some(end.at), text, end.event.into_iter().collect())]
}

/// What the probes of the pod's own address showed.
fn shut_text(pod: &Pod) -> Option<Evidence> {
    let probed = &pod.answers.probed;
    let span = Interval::between(probed.accepted?, probed.shut?);
    let text = format!("the address of `{}` stopped accepting", pod.life.name);
    Some(says(Some(span), text, probed.events.clone()))
}

fn crash_text(pod: &Pod, case: &Case<'_>) -> Vec<Evidence> {
    let crash = pod
        .crashes
        .iter()
        .filter(|crash| crash.at.lo <= case.end)
        .max_by_key(|crash| crash.at.hi);
    let Some(crash) = crash else {
        return Vec::new();
    };
    let text = format!(
        "a container of `{}` ended without a deletion, with code {}",
        pod.life.name, crash.code
    );
    vec![says(Some(crash.at), text, vec![crash.event])]
}

/// Whether the app reacted to SIGTERM: what tells `grace-exceeded` from `term-signal-unhandled`.
fn reaction_text(scene: &Scene<'_>, pod: &Pod, cause: Cause) -> Vec<Evidence> {
    let name = &pod.life.name;
    let line = |index: usize| scene.line(name, &pod.log.container, index);
    let at = pod.reacted_at(&scene.offsets);
    match (cause, pod.reaction) {
        (
            Cause::GraceExceeded
            | Cause::InFlightCut
            | Cause::ShutdownRefusal
            | Cause::EndpointPropagation,
            Reaction::Logged(index),
        ) => {
            let mut evidence = says(
                at,
                format!("the app of `{name}` told of its shutdown"),
                Vec::new(),
            );
            evidence.line = line(index);
            vec![evidence]
        }
        (Cause::TermSignalUnhandled, Reaction::Silent) => vec![says(
            None,
            format!("the log of `{name}` has no line about a signal or a shutdown"),
            Vec::new(),
        )],
        _ => Vec::new(),
    }
}

/// How many of the ready endpoints were the client's to choose, where its Service leaves it those of
/// one node.
fn on_its_node(scene: &Scene<'_>, case: &Case<'_>) -> String {
    let nodes = scene.reach.on_its_node(case.client);
    let Some(totals) = nodes.first().filter(|_| !case.pointed()) else {
        return String::new();
    };
    if !scene.reach.knows_its_node(case.client) {
        return "; how many of them were on the client's node is not known".to_owned();
    }
    let next = totals.partition_point(|(seen, _, _)| *seen <= case.sent());
    let ready = next.checked_sub(1).map_or(0, |last| totals[last].1);
    format!("; {ready} of the ready ones were on the client's node")
}

fn without_pod(scene: &Scene<'_>, case: &Case<'_>, hypothesis: &Hypothesis) -> Vec<Evidence> {
    let text = match hypothesis.because {
        Because::NobodyReady => match scene.endpoints.totals_at(case.sent()) {
            Some((ready, fallback)) => format!(
                "slices showed {ready} ready endpoints and {fallback} that could stand in{}",
                on_its_node(scene, case)
            ),
            None => "no slice was seen".to_owned(),
        },
        Because::AsBaseline => format!(
            "{} requests failed alike before anything was disturbed",
            scene.baseline.count(case.request)
        ),
        Because::OwnError => {
            let known = case.pod.as_ref().map(|known| &scene.pods[known.pod]);
            match known.and_then(|pod| pod.deleted) {
                Some(_) => "the app that answered had not been told to end".to_owned(),
                None => "the pod that answered was not being deleted".to_owned(),
            }
        }
        Because::GaveUp => "nothing shows that the time was lost on a pod that was going".to_owned(),
        Because::HungAttempt => {
            "a pod was gone while a proxy could still try it; its connect timeout outlasts the patience".to_owned()
        }
        Because::IdleTimeout => idle_text(scene, case),
        Because::HarnessFault => "the harness recorded a fault of its own".to_owned(),
        Because::SentTooLate => {
            "the harness sent it so late that most of its patience was gone".to_owned()
        }
        Because::ProxySays if case.client_line.is_some() || case.server_line.is_some() => {
            "a proxy says so in its access line".to_owned()
        }
        Because::ProxySays if case.lacks => {
            "the answer has no service time of a next hop: the client's own proxy made it".to_owned()
        }
        Because::ProxySays => "a proxy says so in its answer".to_owned(),
        Because::Intermediary => return intermediary_text(scene, case),
        _ => return Vec::new(),
    };
    vec![says(Some(case.span()), text, vec![case.event])]
}

fn idle_text(scene: &Scene<'_>, case: &Case<'_>) -> String {
    let idle = seconds(case.request.connection.idle);
    let going = |pod: &Pod| {
        let ending = pod.ending();
        ending.is_some_and(|ending| ending.intersect(case.silence()).is_some())
    };
    let deletion = match &case.pod {
        Some(known) if !going(&scene.pods[known.pod]) => "its pod was not being deleted",
        None if !scene.pods.iter().any(going) => "no pod was being deleted",
        _ => "nothing shows that its pod was being deleted",
    };
    format!(
        "{deletion} while the connection was idle for {idle}; its peer closes idle connections by itself"
    )
}

/// The proxy on the way whose end fits best, the nearest of them; the client's own, where its
/// connection broke.
fn intermediary_text(scene: &Scene<'_>, case: &Case<'_>) -> Vec<Evidence> {
    let link = match case.shape {
        Shape::Link(link) => Some(link),
        _ => None,
    };
    let all = scene.intermediaries.iter();
    let outages = all.flat_map(|one| one.outages.iter().map(move |outage| (one, outage)));
    let best = link.and_then(|link| {
        let fit = |outage: &Outage| intermediary::fits(case, link.kind, *outage);
        let far = |outage: &Outage| (outage.at.hi.0 - case.end.0).abs();
        outages.min_by(|(_, one), (_, other)| {
            let better = fit(other).total_cmp(&fit(one));
            better.then_with(|| far(one).cmp(&far(other)))
        })
    });
    let Some((one, outage)) = best else {
        let text = "the client's own sidecar is on the way; no pod of the target is";
        return vec![says(Some(case.span()), text.to_owned(), vec![case.event])];
    };
    let text = format!("the {} `{}` ended", one.kind, one.name);
    vec![says(Some(outage.at), text, vec![outage.event])]
}

fn seconds(nanos: i64) -> String {
    if nanos.abs() < 1_000_000_000 {
        format!("{:.1} ms", nanos as f64 / 1e6)
    } else {
        format!("{:.2} s", nanos as f64 / 1e9)
    }
}
