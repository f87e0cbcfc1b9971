use super::*;
use crate::evidence::{
    Change, Clock, Event, EventKind, Interval, Origin, Resource, RunInfo, RunOffset, Source,
};
use serde_json::json;

const SECOND: i64 = 1_000_000_000;

/// What these states of the Service's object say for a client that asks for `target`.
fn rules(specs: &[Value], target: Option<&str>) -> ServiceRules {
    let object = |spec: &Value| EventKind::Object {
        resource: Resource::Services,
        change: Change::Modified,
        object: json!({"metadata": {"name": "demo", "namespace": "n"}, "spec": spec}),
    };
    let event = |spec: &Value| Event {
        seq: 0,
        at: Interval::point(RunOffset(0)),
        clock: Clock::Harness,
        source: Source::Watch,
        kind: object(spec),
    };
    let timeline = Timeline {
        run: RunInfo {
            schema_version: 1,
            tool_version: "0".to_owned(),
            id: "r".to_owned(),
            origin: Origin::Live,
            argv: Vec::new(),
            started_at: 0,
            cluster: "c".to_owned(),
            namespace: "n".to_owned(),
            workload: None,
            service: Some("demo".to_owned()),
            plan: Value::Null,
        },
        events: specs.iter().map(event).collect(),
        logs: Vec::new(),
    };
    let client = ClientInfo {
        name: "local".to_owned(),
        meshed: false,
        pod: None,
        target: target.map(str::to_owned),
        counted: true,
    };
    ServiceRules::of(&timeline, Some("demo"), &client)
}

#[test]
fn a_policy_applies_to_the_way_by_which_a_client_asks() {
    use TrafficPolicy::{Cluster, Local, MaybeLocal};
    let of = |kind: &str, internal: &str, external: &str| {
        json!({"clusterIP": "10.96.0.10", "type": kind, "internalTrafficPolicy": internal,
            "externalTrafficPolicy": external})
    };
    let inside = of("ClusterIP", "Local", "");
    let outside = of("LoadBalancer", "Cluster", "Local");
    let both = of("NodePort", "Local", "Local");
    for (spec, target, policy, own_proxy) in [
        (&inside, Some("10.96.0.10:80"), Local, true),
        (&inside, Some("demo.n.svc:80"), Local, true),
        (&inside, Some("shop.example:443"), Cluster, false),
        (&inside, None, MaybeLocal, false),
        (&outside, Some("10.96.0.10:80"), Cluster, true),
        (&outside, Some("203.0.113.7:80"), MaybeLocal, false),
        (&both, Some("10.96.0.10:80"), Local, true),
        (&both, Some("192.0.2.4:30080"), MaybeLocal, false),
    ] {
        let found = rules(std::slice::from_ref(spec), target);
        let expected = (policy, own_proxy);
        let found = (found.policy, found.own_proxy);
        assert_eq!(found, expected, "{spec} by {target:?}");
    }
}

#[test]
fn a_policy_that_changed_is_not_known_to_apply() {
    let of = |policy: &str| json!({"clusterIP": "10.96.0.10", "internalTrafficPolicy": policy});
    let target = Some("10.96.0.10:80");
    let found = rules(&[of("Cluster"), of("Local")], target).policy;
    assert_eq!(found, TrafficPolicy::MaybeLocal);
    assert_eq!(rules(&[], target), ServiceRules::default());
}

#[test]
fn an_affinity_lasts_as_long_as_the_service_says_and_a_gateway_knows_none() {
    let kept = |spec: Value, target: &str| rules(&[spec], Some(target)).affinity;
    let sticky = json!({"clusterIP": "10.96.0.10", "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}});
    let usual = json!({"clusterIP": "10.96.0.10", "sessionAffinity": "ClientIP"});
    let headless = json!({"clusterIP": "None", "sessionAffinity": "ClientIP"});
    let none = json!({"clusterIP": "10.96.0.10", "sessionAffinity": "None"});
    for (spec, target, expected) in [
        (&sticky, "10.96.0.10:80", Some(60 * SECOND)),
        (&usual, "10.96.0.10:80", Some(10_800 * SECOND)),
        (&sticky, "shop.example:443", None),
        (&headless, "10.0.0.4:8080", None),
        (&none, "10.96.0.10:80", None),
    ] {
        assert_eq!(kept(spec.clone(), target), expected, "{spec} by {target}");
    }
}
