use super::*;
use serde_json::json;

fn deployment(replicas: i64, surge: Value, unavailable: Value) -> Value {
    json!({
        "metadata": {"name": "demo", "annotations": {REVISION: "2"}},
        "spec": {
            "replicas": replicas, "template": {"metadata": {"labels": {"app": "demo"}}, "spec": {"v": 2}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
        }
    })
}

fn set(version: i64, replicas: i64, available: i64, desired: i64) -> Arc<Value> {
    Arc::new(json!({
        "metadata": {"name": format!("v{version}"), "uid": format!("v{version}"), "labels": {HASH: format!("h{version}")},
            "annotations": {REVISION: version.to_string(), DESIRED: desired.to_string()}},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"app": "demo", HASH: format!("h{version}")}}, "spec": {"v": version}}},
        "status": {"replicas": replicas, "availableReplicas": available}
    }))
}

fn told(deployment: &Value, sets: &[Arc<Value>], running: &[Value]) -> Vec<String> {
    steps(&View::new(deployment, sets, running))
        .into_iter()
        .map(|step| match step {
            Step::Create { replicas, revision } => format!("create {replicas} r{revision}"),
            Step::Adopt { set, revision } => format!("adopt {set} r{revision}"),
            Step::Revise { revision } => format!("revise r{revision}"),
            Step::Scale(scale) => format!("{} {}->{}", scale.set, scale.from, scale.to),
            Step::Annotate { set } => format!("annotate {set}"),
            Step::Remove { set } => format!("remove {set}"),
        })
        .collect()
}

#[test]
fn surge_rounds_up_and_unavailable_down_and_one_is_left() {
    for (replicas, surge, unavailable, bounds) in [
        (3, json!("25%"), json!("25%"), (1, 0)),
        (10, json!("25%"), json!("25%"), (3, 2)),
        (4, json!(0), json!(0), (0, 1)),
        (4, json!(2), json!("50%"), (2, 2)),
        (1, json!(0), json!(5), (0, 1)),
        (0, json!("25%"), json!("25%"), (0, 0)),
    ] {
        let own = super::bounds(&deployment(replicas, surge, unavailable));
        assert_eq!((own.surge, own.unavailable), bounds, "{replicas}");
    }
}

#[test]
fn a_rolling_update_goes_up_and_down_within_its_bounds() {
    let standard = deployment(3, json!("25%"), json!("25%"));
    let strict = deployment(3, json!(0), json!(1));
    for (case, deployment, sets, wanted) in [
        ("first revision", &standard, vec![], vec!["create 3 r1"]),
        (
            "begins with what the surge allows",
            &standard,
            vec![set(1, 3, 3, 3)],
            vec!["create 1 r2"],
        ),
        (
            "waits for the new pod",
            &standard,
            vec![set(1, 3, 3, 3), set(2, 1, 0, 3)],
            vec![],
        ),
        (
            "takes an old one away",
            &standard,
            vec![set(1, 3, 3, 3), set(2, 1, 1, 3)],
            vec!["v1 3->2"],
        ),
        (
            "grows again",
            &standard,
            vec![set(1, 2, 2, 3), set(2, 1, 1, 3)],
            vec!["v2 1->2"],
        ),
        (
            "the last old one",
            &standard,
            vec![set(1, 1, 1, 3), set(2, 3, 3, 3)],
            vec!["v1 1->0"],
        ),
        (
            "is done",
            &standard,
            vec![set(1, 0, 0, 3), set(2, 3, 3, 3)],
            vec![],
        ),
        (
            "without surge begins with none",
            &strict,
            vec![set(1, 3, 3, 3)],
            vec!["create 0 r2"],
        ),
        (
            "without surge goes down first",
            &strict,
            vec![set(1, 3, 3, 3), set(2, 0, 0, 3)],
            vec!["v1 3->2"],
        ),
        (
            "without surge goes up after",
            &strict,
            vec![set(1, 2, 2, 3), set(2, 0, 0, 3)],
            vec!["v2 0->1"],
        ),
        (
            "broken old pods go first",
            &standard,
            vec![set(1, 3, 1, 3), set(2, 1, 1, 3)],
            vec!["v1 3->2"],
        ),
    ] {
        assert_eq!(told(deployment, &sets, &[]), wanted, "{case}");
    }
}

#[test]
fn a_changed_number_of_replicas_is_shared_in_proportion() {
    let five = deployment(5, json!("25%"), json!("25%"));
    let zero = deployment(0, json!("25%"), json!("25%"));
    for (case, deployment, sets, wanted) in [
        ("one set up", &five, vec![set(2, 3, 3, 3)], vec!["v2 3->5"]),
        (
            "one set down",
            &zero,
            vec![set(2, 3, 3, 3)],
            vec!["v2 3->0"],
        ),
        (
            "amid a rollout",
            &five,
            vec![set(1, 3, 3, 3), set(2, 1, 0, 3)],
            vec!["v1 3->5", "v2 1->2"],
        ),
        (
            "down amid a rollout",
            &zero,
            vec![set(1, 3, 3, 3), set(2, 1, 0, 3)],
            vec!["v1 3->0", "v2 1->0"],
        ),
    ] {
        assert_eq!(told(deployment, &sets, &[]), wanted, "{case}");
    }
}

#[test]
fn recreate_waits_until_every_old_pod_is_gone() {
    let mut deployment = deployment(3, json!(0), json!(0));
    deployment["spec"]["strategy"] = json!({"type": "Recreate"});
    assert_eq!(
        told(&deployment, &[set(1, 3, 3, 3)], &[json!("h1")]),
        ["v1 3->0"]
    );
    assert!(told(&deployment, &[set(1, 0, 0, 3)], &[json!("h1")]).is_empty());
    assert_eq!(told(&deployment, &[set(1, 0, 0, 3)], &[]), ["create 3 r2"]);
}

#[test]
fn a_rollback_takes_the_old_set_again_with_a_new_revision() {
    let deployment = deployment(3, json!("25%"), json!("25%"));
    let steps = told(&deployment, &[set(2, 0, 0, 3), set(3, 3, 3, 3)], &[]);
    assert_eq!(steps, ["adopt v2 r4", "v2 0->1"]);
}

#[test]
fn history_beyond_its_limit_is_removed_when_all_is_done() {
    let mut deployment = deployment(3, json!("25%"), json!("25%"));
    deployment["spec"]["revisionHistoryLimit"] = json!(1);
    deployment["metadata"]["annotations"][REVISION] = json!("2");
    let sets = [set(0, 0, 0, 3), set(1, 0, 0, 3), set(2, 3, 3, 3)];
    assert_eq!(told(&deployment, &sets, &[]), ["remove v0"]);
}

#[test]
fn equal_templates_have_equal_hashes_and_others_do_not() {
    let template = |v: i64| json!({"spec": {"v": v}});
    assert_eq!(hash(&template(1)), hash(&template(1)));
    assert_ne!(hash(&template(1)), hash(&template(2)));
    assert!(hash(&template(1)).len() <= 10);
}
