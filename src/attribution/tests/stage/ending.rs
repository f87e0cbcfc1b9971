//! A deletion of a pod, with or without a proxy, as watches and logs tell it.

use super::{MILLI, SECOND, Stage, fine_stamp, stamp};
use crate::evidence::{Change, EventKind, Resource};
use serde_json::{Value, json};

/// How a pod that is deleted ends, in nanoseconds after the deletion.
#[derive(Clone, Copy)]
pub(in crate::attribution::tests) struct Ending {
    pub(in crate::attribution::tests) grace: i64,
    /// Its app's log tells of the signal.
    pub(in crate::attribution::tests) reacts: Option<i64>,
    /// End and exit code of the app.
    pub(in crate::attribution::tests) app: (i64, i64),
    /// It is the OOM killer that ends the app.
    pub(in crate::attribution::tests) oom: bool,
    /// End and exit code of the proxy, where it has one.
    pub(in crate::attribution::tests) proxy: (i64, i64),
}

impl Ending {
    /// The app ends by itself at once, a proxy after the default five seconds.
    pub(in crate::attribution::tests) fn at_once() -> Self {
        Self {
            grace: 30 * SECOND,
            reacts: None,
            app: (20 * MILLI, 0),
            oom: false,
            proxy: (5_040 * MILLI, 0),
        }
    }

    /// The app hears of it and serves on for 12 s.
    pub(in crate::attribution::tests) fn serves_on() -> Self {
        Self {
            reacts: Some(30 * MILLI),
            app: (12 * SECOND, 0),
            ..Self::at_once()
        }
    }
}

impl Stage {
    /// A pod is deleted at `at`, and its processes end as told; the slices follow at once.
    pub(in crate::attribution::tests) fn end(
        &mut self,
        name: &str,
        at: i64,
        ending: Ending,
        others: &[(&str, bool, bool, bool)],
    ) {
        let mut listed = others.to_vec();
        listed.push((name, false, true, true));
        self.slice(at + 50 * MILLI, &listed);
        let last = self.die(name, at, ending);
        self.slice(at + last + 350 * MILLI, others);
    }

    /// The same without a word of the slices; tells how long after the deletion the last process ends.
    pub(in crate::attribution::tests) fn die(
        &mut self,
        name: &str,
        at: i64,
        ending: Ending,
    ) -> i64 {
        let deletion = Some((at, ending.grace / SECOND));
        let running = json!({"running": {"startedAt": stamp(-60 * SECOND)}});
        let going = self.pod(name, running, deletion, true);
        self.object(
            at + 5 * MILLI,
            Resource::Pods,
            Change::Modified,
            going.clone(),
        );
        if let Some(reacts) = ending.reacts {
            self.log(name, "app", at + reacts, "received SIGTERM");
        }
        let proxied = self.sidecar || self.native;
        let mut ends = vec![("containerStatuses", 0, ending.app)];
        if proxied {
            let (holder, index) = if self.native {
                ("initContainerStatuses", 0)
            } else {
                ("containerStatuses", 1)
            };
            ends.push((holder, index, ending.proxy));
            self.agent(
                name,
                at + 20 * MILLI,
                "Agent draining Proxy for termination",
            );
            if ending.proxy.1 == 0 {
                self.agent(name, at + ending.proxy.0 - 20 * MILLI, "Aborting proxy");
            }
        }
        ends.sort_by_key(|(_, _, (after, _))| *after);
        let mut state = going;
        for (holder, index, (after, code)) in ends {
            let reason = match code {
                0 => "Completed",
                137 if ending.oom => "OOMKilled",
                _ => "Error",
            };
            state["status"][holder][index]["state"] = json!({"terminated": {"exitCode": code,
                "reason": reason, "startedAt": stamp(-60 * SECOND), "finishedAt": stamp(at + after)}});
            state["status"]["conditions"][0]["status"] = json!("False");
            self.object(
                at + after + 300 * MILLI,
                Resource::Pods,
                Change::Modified,
                state.clone(),
            );
        }
        let last = ending.app.0.max(if proxied { ending.proxy.0 } else { 0 });
        self.object(
            at + last + 900 * MILLI,
            Resource::Pods,
            Change::Deleted,
            state,
        );
        last
    }

    /// A pod's object is taken away by force at `at`, and what it ran lives on for two seconds; with
    /// `asked`, a usual deletion came so long before.
    pub(in crate::attribution::tests) fn force(
        &mut self,
        name: &str,
        at: i64,
        asked: Option<i64>,
        others: &[(&str, bool, bool, bool)],
    ) {
        let running = || json!({"running": {"startedAt": stamp(-60 * SECOND)}});
        if let Some(asked) = asked {
            let going = self.pod(name, running(), Some((at - asked, 30)), true);
            let seen = at - asked + 5 * MILLI;
            self.object(seen, Resource::Pods, Change::Modified, going);
            let mut listed = others.to_vec();
            listed.push((name, false, true, true));
            self.slice(at - asked + 50 * MILLI, &listed);
        }
        let mut taken = self.pod(name, running(), Some((at, 0)), true);
        taken["spec"]["terminationGracePeriodSeconds"] = json!(30);
        self.object(
            at + 5 * MILLI,
            Resource::Pods,
            Change::Modified,
            taken.clone(),
        );
        self.object(at + 7 * MILLI, Resource::Pods, Change::Deleted, taken);
        self.slice(at + 30 * MILLI, others);
    }

    /// All pods have another container, the first of theirs; that of a pod that is over has ended so.
    pub(in crate::attribution::tests) fn beside(
        &mut self,
        app: &Value,
        other: &Value,
        ended: &Value,
    ) {
        for (_, kind) in &mut self.events {
            let EventKind::Object {
                resource: Resource::Pods,
                object,
                ..
            } = kind
            else {
                continue;
            };
            object["spec"]["containers"] = json!([other, app]);
            let own = object["status"]["containerStatuses"][0].clone();
            let over = own["state"]["terminated"].is_object();
            let state = if over { ended } else { &own["state"] };
            let beside = json!({"name": other["name"], "state": state});
            object["status"]["containerStatuses"] = json!([beside, own]);
        }
    }

    /// The slices list these ports.
    pub(in crate::attribution::tests) fn route_to(&mut self, ports: &[u16]) {
        let ports = ports
            .iter()
            .map(|port| json!({"name": format!("port-{port}"), "port": port, "protocol": "TCP"}));
        let ports: Vec<Value> = ports.collect();
        for (_, kind) in &mut self.events {
            if let EventKind::Object {
                resource: Resource::EndpointSlices,
                object,
                ..
            } = kind
            {
                object["ports"] = json!(ports);
            }
        }
    }

    /// All clients ask for `target`; the Service has port 80 for 8080, and one for metrics.
    pub(in crate::attribution::tests) fn ask(&mut self, target: &str) {
        for (_, kind) in &mut self.events {
            if let EventKind::Client(client) = kind {
                client.target = Some(target.to_owned());
            }
        }
        let ports = json!([{"name": "port-8080", "port": 80}, {"name": "port-9113", "port": 9113}]);
        let service = json!({"metadata": {"name": "demo", "namespace": "n"},
            "spec": {"clusterIP": "10.96.0.10", "ports": ports}});
        self.object(0, Resource::Services, Change::Added, service);
    }

    /// No slice was seen.
    pub(in crate::attribution::tests) fn without_slices(&mut self) {
        self.events.retain(|(_, kind)| {
            let slice = Resource::EndpointSlices;
            !matches!(kind, EventKind::Object { resource, .. } if *resource == slice)
        });
    }

    /// A line of the agent of a pod's proxy.
    pub(in crate::attribution::tests) fn agent(&mut self, pod: &str, at: i64, text: &str) {
        let line = format!("{}\tinfo\t{text}", fine_stamp(at, 6));
        self.log(pod, "istio-proxy", at, &line);
    }
}
