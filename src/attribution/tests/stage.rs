//! A small rollout that a test can stage: pods, slices, logs, requests, each at an instant.

mod ending;
mod lines;
mod service;

pub(super) use ending::Ending;
pub(super) use lines::Line;

use crate::attribution::{Cause, Findings, SidecarKind, attribute};
use crate::evidence::{
    Change, ClientInfo, Clock, Connection, ConnectionKind, ContainerLog, ErrorClass, Event,
    EventKind, FailedRequest, Interval, LogLine, Origin, Outcome, RequestCounts, RequestPhase,
    Resource, ResponseFacts, RunInfo, RunOffset, RunPhase, Source, Timeline,
};
use serde_json::{Value, json};

pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const MILLI: i64 = 1_000_000;

/// `old-1` is deleted then, unless a test says otherwise.
pub(super) const AT: i64 = 12 * SECOND;

/// What the slices list beside it.
pub(super) const STAYS: &[(&str, bool, bool, bool)] = &[("old-2", true, true, false)];

/// The two old pods in the slices: `(ready, serving, terminating)`.
pub(super) fn both(state: (bool, bool, bool)) -> [(&'static str, bool, bool, bool); 2] {
    [
        ("old-1", state.0, state.1, state.2),
        ("old-2", state.0, state.1, state.2),
    ]
}

/// The wall clock at offset 0.
const STARTED: i64 = 1_795_533_600 * SECOND;

/// A run in which nothing has happened yet: two pods `old-1` and `old-2`, ready, of a Service.
pub(super) struct Stage {
    events: Vec<(i64, EventKind)>,
    logs: Vec<ContainerLog>,
    pub(super) sidecar: bool,
    pub(super) native: bool,
    pub(super) probe: bool,
    /// The preStop hook of the apps sleeps for so many seconds.
    pub(super) hook: i64,
    /// What the pods' annotation says of their proxies.
    pub(super) proxy_config: Option<&'static str>,
    /// The preStop hook of the apps runs a program.
    pub(super) quits: bool,
    /// The apps' logs were recorded without the runtime's stamps.
    pub(super) bare: bool,
    pub(super) origin: Origin,
    pub(super) plan: Value,
}

pub(super) fn fine_stamp(at: i64, digits: usize) -> String {
    let fraction = format!("{:09}", at.rem_euclid(SECOND));
    let whole = stamp(at - at.rem_euclid(SECOND));
    format!("{}.{}Z", whole.trim_end_matches('Z'), &fraction[..digits])
}

pub(super) fn stamp(at: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(STARTED + at)).expect("a stamp");
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The address of a pod.
pub(super) fn address(name: &str) -> String {
    let (first, last) = (name.as_bytes()[0], name.as_bytes()[name.len() - 1]);
    format!("10.0.{first}.{last}")
}

impl Stage {
    /// A stage whose pods have a proxy of that kind; without one, none.
    pub(super) fn with_sidecar(kind: Option<SidecarKind>) -> Self {
        let mut stage = Self::new();
        stage.sidecar = kind == Some(SidecarKind::Classic);
        stage.native = kind == Some(SidecarKind::Native);
        stage
    }

    pub(super) fn new() -> Self {
        let mut stage = Self {
            events: Vec::new(),
            logs: Vec::new(),
            sidecar: false,
            native: false,
            probe: true,
            hook: 0,
            proxy_config: None,
            quits: false,
            bare: false,
            origin: Origin::Live,
            plan: Value::Null,
        };
        stage.at(0, EventKind::Phase(RunPhase::Baseline));
        stage.client("local", false);
        stage.at(10 * SECOND, EventKind::Phase(RunPhase::Disruption));
        stage
    }

    /// Adds the pods and their slice as the watches list them at the start.
    pub(super) fn with_old_pods(mut self) -> Self {
        for name in ["old-1", "old-2"] {
            let pod = self.pod(
                name,
                json!({"running": {"startedAt": stamp(-60 * SECOND)}}),
                None,
                true,
            );
            self.object(0, Resource::Pods, Change::Added, pod);
            self.log(name, "app", -60 * SECOND, "listening on :8080");
        }
        self.slice(
            0,
            &[("old-1", true, true, false), ("old-2", true, true, false)],
        );
        self
    }

    pub(super) fn at(&mut self, at: i64, kind: EventKind) {
        self.events.push((at, kind));
    }

    pub(super) fn client(&mut self, name: &str, meshed: bool) {
        let client = ClientInfo {
            name: name.to_owned(),
            meshed,
            pod: meshed.then(|| "loadgen".to_owned()),
            target: None,
            counted: true,
        };
        self.at(0, EventKind::Client(client));
    }

    pub(super) fn object(&mut self, at: i64, resource: Resource, change: Change, object: Value) {
        let kind = EventKind::Object {
            resource,
            change,
            object,
        };
        self.at(at, kind);
    }

    pub(super) fn pod(
        &self,
        name: &str,
        state: Value,
        deleted: Option<(i64, i64)>,
        ready: bool,
    ) -> Value {
        let mut app = json!({"name": "app", "ports": [{"containerPort": 8080}]});
        if self.probe {
            app["readinessProbe"] = json!({"httpGet": {"path": "/", "port": 8080}});
        }
        if self.hook > 0 {
            app["lifecycle"] = json!({"preStop": {"sleep": {"seconds": self.hook}}});
        }
        if self.quits {
            let quit = json!({"exec": {"command": ["nginx", "-s", "quit"]}});
            app["lifecycle"] = json!({"preStop": quit});
        }
        let mut containers = vec![app];
        let mut statuses = vec![json!({"name": "app", "state": state})];
        let (mut init, mut init_statuses) = (Vec::new(), Vec::new());
        let proxy = json!({"name": "istio-proxy", "state": {"running": {"startedAt": stamp(-60 * SECOND)}}});
        if self.native {
            init.push(json!({"name": "istio-proxy", "restartPolicy": "Always"}));
            init_statuses.push(proxy);
        } else if self.sidecar {
            containers.push(json!({"name": "istio-proxy"}));
            statuses.push(proxy);
        }
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": "demo"},
                "creationTimestamp": stamp(-61 * SECOND),
                "ownerReferences": [{"kind": "ReplicaSet", "name": "demo-1", "controller": true}]},
            "spec": {"nodeName": "node1", "containers": containers, "initContainers": init,
                "terminationGracePeriodSeconds": deleted.map_or(30, |(_, grace)| grace)},
            "status": {"phase": "Running", "podIP": address(name),
                "conditions": [{"type": "Ready", "status": if ready {"True"} else {"False"}, "lastTransitionTime": stamp(0)}],
                "containerStatuses": statuses, "initContainerStatuses": init_statuses},
        });
        if let Some(config) = self.proxy_config {
            pod["metadata"]["annotations"] = json!({"proxy.istio.io/config": config});
        }
        if let Some((at, grace)) = deleted {
            pod["metadata"]["deletionTimestamp"] = json!(stamp(at + grace * SECOND));
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
        pod
    }

    /// `(name, ready, serving, terminating)`
    pub(super) fn slice(&mut self, at: i64, endpoints: &[(&str, bool, bool, bool)]) {
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|(name, ready, serving, terminating)| {
                json!({"addresses": [address(name)], "targetRef": {"uid": name, "name": name},
                    "conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
            })
            .collect();
        let slice = json!({"metadata": {"name": "demo-x", "labels": {"kubernetes.io/service-name": "demo"}},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints});
        self.object(at, Resource::EndpointSlices, Change::Modified, slice);
    }

    pub(super) fn log(&mut self, pod: &str, container: &str, at: i64, text: &str) {
        let line = LogLine {
            stamp: Some(STARTED + at),
            text: text.to_owned(),
        };
        let known = self
            .logs
            .iter_mut()
            .find(|log| log.pod == pod && log.container == container);
        match known {
            Some(log) => log.lines.push(line),
            None => self.logs.push(ContainerLog {
                pod: pod.to_owned(),
                container: container.to_owned(),
                lines: vec![line],
            }),
        }
    }

    /// A pod is deleted at `at` and its app ends by itself `lived` later; the slices follow at once.
    pub(super) fn delete(
        &mut self,
        name: &str,
        at: i64,
        lived: i64,
        others: &[(&str, bool, bool, bool)],
    ) {
        let running = json!({"running": {"startedAt": stamp(-60 * SECOND)}});
        let going = self.pod(name, running, Some((at, 30)), true);
        self.object(at + 5 * MILLI, Resource::Pods, Change::Modified, going);
        let mut listed = others.to_vec();
        listed.push((name, false, true, true));
        self.slice(at + 50 * MILLI, &listed);
        self.log(name, "app", at + lived - 2 * MILLI, "shutdown complete");
        let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed",
            "startedAt": stamp(-60 * SECOND), "finishedAt": stamp(at + lived)}});
        let over = self.pod(name, ended, Some((at, 30)), false);
        self.object(
            at + lived + 200 * MILLI,
            Resource::Pods,
            Change::Modified,
            over.clone(),
        );
        self.slice(at + lived + 220 * MILLI, others);
        self.object(
            at + lived + 900 * MILLI,
            Resource::Pods,
            Change::Deleted,
            over,
        );
    }

    /// Requests a second of a client on new connections, answered by these pods in turn.
    pub(super) fn answers(&mut self, client: &str, from: i64, to: i64, rate: u64, pods: &[&str]) {
        let width = 100 * MILLI;
        let mut bucket = from;
        while bucket < to {
            for (index, pod) in pods.iter().enumerate() {
                let sent = bucket + width * index as i64 / pods.len() as i64;
                self.at(
                    bucket + width,
                    EventKind::Requests(RequestCounts {
                        client: client.to_owned(),
                        bucket: RunOffset(bucket),
                        width,
                        class: "/".to_owned(),
                        connection: ConnectionKind::New,
                        pod: Some((*pod).to_owned()),
                        ok: rate / 10 / pods.len() as u64,
                        failed: 0,
                        attempts_told: 0,
                        retried: 0,
                        latest_sent: Some(RunOffset(sent)),
                        earliest_end: Some(RunOffset(sent + MILLI)),
                        latest_end: Some(RunOffset(sent + MILLI)),
                    }),
                );
            }
            bucket += width;
        }
    }

    /// A container dies without a deletion and is back two seconds later.
    pub(super) fn crash(&mut self, name: &str, at: i64, code: i64, reason: &str) {
        let ended = json!({"exitCode": code, "reason": reason,
            "startedAt": stamp(-60 * SECOND), "finishedAt": stamp(at)});
        let down = self.pod(name, json!({"terminated": ended}), None, false);
        self.object(at + 300 * MILLI, Resource::Pods, Change::Modified, down);
        let mut back = self.pod(
            name,
            json!({"running": {"startedAt": stamp(at + SECOND)}}),
            None,
            true,
        );
        back["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": ended});
        self.log(name, "app", at + 1_500 * MILLI, "listening on :8080");
        self.object(at + 2 * SECOND, Resource::Pods, Change::Modified, back);
    }

    pub(super) fn fail(
        &mut self,
        at: i64,
        took: i64,
        outcome: Outcome,
        phase: RequestPhase,
    ) -> &mut FailedRequest {
        let sent = RunOffset(at);
        let request = FailedRequest {
            request_id: format!("r{}", self.events.len()),
            client: "local".to_owned(),
            class: "/".to_owned(),
            method: "GET".to_owned(),
            path: "/".to_owned(),
            intended: sent,
            sent: Some(sent),
            connected: None,
            written: None,
            first_byte: None,
            end: RunOffset(at + took),
            connection: Connection {
                kind: ConnectionKind::New,
                id: 1,
                age: 0,
                requests_before: 0,
                idle: 0,
            },
            local: None,
            remote: None,
            phase,
            outcome,
            response: ResponseFacts::default(),
        };
        self.at(at + took, EventKind::RequestFailed(Box::new(request)));
        match &mut self.events.last_mut().expect("pushed above").1 {
            EventKind::RequestFailed(request) => request,
            _ => unreachable!("pushed above"),
        }
    }

    pub(super) fn refused(&mut self, at: i64) {
        self.fail(
            at,
            MILLI,
            transport(ErrorClass::Refused),
            RequestPhase::Connect,
        );
    }

    pub(super) fn status(
        &mut self,
        at: i64,
        code: u16,
        body: &str,
        server: &str,
    ) -> &mut FailedRequest {
        let request = self.fail(
            at,
            3 * MILLI,
            Outcome::Status { code, grpc: None },
            RequestPhase::Body,
        );
        request.response.body = Some(body.to_owned());
        request.response.server = Some(server.to_owned());
        request
    }

    /// As many requests a second as sent, all answered but `failed`.
    pub(super) fn counts(&mut self, second: i64, ok: u64, failed: u64) {
        self.at(
            (second + 1) * SECOND,
            EventKind::Requests(RequestCounts {
                client: "local".to_owned(),
                bucket: RunOffset(second * SECOND),
                width: SECOND,
                class: "/".to_owned(),
                connection: ConnectionKind::New,
                pod: None,
                ok,
                failed,
                attempts_told: 0,
                retried: 0,
                latest_sent: None,
                earliest_end: None,
                latest_end: None,
            }),
        );
    }

    /// Of the answers that were counted last, so many told that a proxy had tried them, so many of
    /// them more than once.
    pub(super) fn echoed(&mut self, told: u64, retried: u64) {
        let Some((_, EventKind::Requests(counts))) = self.events.last_mut() else {
            panic!("nothing was counted");
        };
        (counts.attempts_told, counts.retried) = (told, retried);
    }

    pub(super) fn explain(mut self) -> Findings {
        self.events.sort_by_key(|(at, _)| *at);
        for log in &mut self.logs {
            log.lines.sort_by_key(|line| line.stamp);
            if self.bare && log.container == "app" {
                log.lines.iter_mut().for_each(|line| line.stamp = None);
            }
        }
        let events = self.events.into_iter().enumerate();
        let timeline = Timeline {
            run: RunInfo {
                schema_version: 1,
                tool_version: "0".to_owned(),
                id: "r".to_owned(),
                origin: self.origin,
                argv: Vec::new(),
                started_at: STARTED,
                cluster: "c".to_owned(),
                namespace: "n".to_owned(),
                workload: Some("deployment/demo".to_owned()),
                service: Some("demo".to_owned()),
                plan: self.plan,
            },
            events: events
                .map(|(seq, (at, kind))| Event {
                    seq: seq as u64,
                    at: Interval::point(RunOffset(at)),
                    clock: Clock::Harness,
                    source: Source::Run,
                    kind,
                })
                .collect(),
            logs: self.logs,
        };
        attribute(&timeline)
    }

    pub(super) fn causes(self) -> Vec<Cause> {
        self.explain()
            .failures
            .iter()
            .map(|found| found.cause)
            .collect()
    }
}

pub(super) fn transport(class: ErrorClass) -> Outcome {
    Outcome::Transport {
        class,
        errno: None,
        text: String::new(),
    }
}
